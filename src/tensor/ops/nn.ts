// The operations of layers: embedding, normalisation, convolution, pooling, loss.
import { elements, type Shape, sameShape, show } from '../shape.js'
import {
  at,
  badShape,
  flag,
  type Input,
  like,
  list,
  needDType,
  needFloat,
  needRank,
  needSameDType,
  op,
} from './spec.js'

export type Pair = readonly [height: number, width: number]

export interface Window {
  kernel: Pair
  stride: Pair
  padding: Pair
}

export const reductions = { none: 0, mean: 1, sum: 2 } as const
export type Reduction = keyof typeof reductions

/** Output size of a window that moves over `size`: ⌊(size + 2·padding − dilation·(kernel−1) − 1) / stride⌋ + 1. */
function windowed(size: number, kernel: number, stride: number, padding: number, dilation = 1): number {
  return Math.floor((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1
}

function pool(name: string) {
  return op<Window>({
    outputs: (inputs, { kernel, stride, padding }) => {
      const x = at(inputs, 0)
      needFloat(x, name)
      needRank(x, 4, name, 'input', '[B, C, H, W]')
      const [b, c, h, w] = x.shape as [number, number, number, number]
      const out = [windowed(h, kernel[0], stride[0], padding[0]), windowed(w, kernel[1], stride[1], padding[1])]
      if (out.some((size) => size < 1)) throw badShape(name, 'input', `at least the window ${show(kernel)}`, x.shape)
      return [like(x, [b, c, ...out])]
    },
    attributes: ({ kernel, stride, padding }) => [...kernel, ...stride, ...padding],
  })
}

function needVector(x: Input, size: number, name: string, what: string): void {
  if (x !== undefined && (x.shape.length !== 1 || x.shape[0] !== size))
    throw badShape(name, what, `[C=${size}]`, x.shape)
}

export const nn = {
  embedding: op<{ paddingIndex: number }>({
    outputs: (inputs) => {
      const weight = at(inputs, 0)
      const index = at(inputs, 1)
      needRank(weight, 2, 'embedding', 'weight', '[N, D]')
      needDType(index, 'int64', 'embedding', 'index')
      return [like(weight, [...index.shape, weight.shape[1] as number])]
    },
    attributes: ({ paddingIndex }) => [paddingIndex],
  }),
  layerNorm: op<{ shape: Shape; eps: number }>({
    outputs: (inputs, { shape }) => {
      const x = at(inputs, 0)
      needFloat(x, 'layerNorm')
      needSameDType(inputs, 'layerNorm')
      if (shape.length === 0 || !sameShape(x.shape.slice(-shape.length), shape))
        throw badShape('layerNorm', 'input', `[…, ${shape.join(', ')}]`, x.shape)
      for (const affine of [inputs[1], inputs[2]]) {
        if (affine !== undefined && !sameShape(affine.shape, shape))
          throw badShape('layerNorm', 'weight and bias', show(shape), affine.shape)
      }
      return [like(x)]
    },
    attributes: ({ shape, eps }) => [...list(shape), eps],
  }),
  batchNorm: op<{ train: boolean; momentum: number; eps: number }>({
    outputs: (inputs, { train }) => {
      const x = at(inputs, 0)
      needFloat(x, 'batchNorm')
      if (x.shape.length < 2) throw badShape('batchNorm', 'input', '[B, C, …]', x.shape)
      const channels = x.shape[1] as number
      for (const i of [1, 2, 3, 4]) needVector(inputs[i], channels, 'batchNorm', 'weight, bias and statistics')
      if (train && channels > 0 && elements(x.shape) / channels === 1) {
        throw badShape('batchNorm', 'input', 'more than one value per channel while training', x.shape)
      }
      return [like(x)]
    },
    attributes: ({ train, momentum, eps }) => [flag(train), momentum, eps],
  }),
  crossEntropy: op<{ ignoreIndex: number; reduction: Reduction; labelSmoothing: number }>({
    outputs: (inputs, { reduction }) => {
      const logits = at(inputs, 0)
      const target = at(inputs, 1)
      needFloat(logits, 'crossEntropy', 'logits')
      needDType(target, 'int64', 'crossEntropy', 'target')
      if (logits.shape.length === 0) throw badShape('crossEntropy', 'logits', '[…, C]', logits.shape)
      const leading = logits.shape.slice(0, -1)
      if (!sameShape(target.shape, leading))
        throw badShape(
          'crossEntropy',
          'target',
          `${show(leading)}, the logits' shape without the class axis`,
          target.shape,
        )
      return [like(logits, reduction === 'none' ? target.shape : [])]
    },
    attributes: ({ ignoreIndex, reduction, labelSmoothing }) => [ignoreIndex, reductions[reduction], labelSmoothing],
  }),
  conv2d: op<{ stride: Pair; padding: Pair; dilation: Pair; groups: number }>({
    outputs: (inputs, { stride, padding, dilation, groups }) => {
      const x = at(inputs, 0)
      const weight = at(inputs, 1)
      needFloat(x, 'conv2d')
      needSameDType(inputs, 'conv2d')
      needRank(weight, 4, 'conv2d', 'weight', '[O, C/groups, h, w]')
      const [o, c, kh, kw] = weight.shape as [number, number, number, number]
      needRank(x, 4, 'conv2d', 'input', `[B, C=${c * groups}, H, W]`)
      const [b, channels, h, w] = x.shape as [number, number, number, number]
      if (channels !== c * groups) throw badShape('conv2d', 'input', `[B, C=${c * groups}, H, W]`, x.shape)
      if (o % groups !== 0) throw badShape('conv2d', 'weight', `[O divisible by groups=${groups}, …]`, weight.shape)
      needVector(inputs[2], o, 'conv2d', 'bias')
      const out = [
        windowed(h, kh, stride[0], padding[0], dilation[0]),
        windowed(w, kw, stride[1], padding[1], dilation[1]),
      ]
      if (out.some((size) => size < 1))
        throw badShape('conv2d', 'input', `at least the kernel [${kh}, ${kw}] after padding`, x.shape)
      return [like(x, [b, o, ...out])]
    },
    attributes: ({ stride, padding, dilation, groups }) => [...stride, ...padding, ...dilation, groups],
  }),
  maxPool2d: pool('maxPool2d'),
  avgPool2d: pool('avgPool2d'),
  adaptiveAvgPool2d: op<{ size: Pair }>({
    outputs: (inputs, { size }) => {
      const x = at(inputs, 0)
      needFloat(x, 'adaptiveAvgPool2d')
      needRank(x, 4, 'adaptiveAvgPool2d', 'input', '[B, C, H, W]')
      return [like(x, [...x.shape.slice(0, 2), ...size])]
    },
    attributes: ({ size }) => size,
  }),
}
