// Windows that move over signals [B, C, L] and images [B, C, H, W]: convolutions, pooling, resampling.
import { type Shape, sameShape, show } from '../shape.js'
import { needVector } from './nn.js'
import { at, badShape, flag, like, list, needFloat, needRank, needSameDType, type OpSpec, op } from './spec.js'

export type Pair = readonly [height: number, width: number]
/** One number for each axis that the window moves along: [length], or [height, width]. */
export type Sizes = readonly number[]

export interface Window {
  kernel: Sizes
  stride: Sizes
  padding: Sizes
}

export interface Convolution {
  stride: Sizes
  padding: Sizes
  dilation: Sizes
  groups: number
  /** Of images: whether a ReLU follows, after the residual. */
  relu?: boolean
}

export const interpolations = { nearest: 0, linear: 1, bilinear: 1, bicubic: 2 } as const
export type Interpolation = keyof typeof interpolations

const letters = ['', 'L', 'H, W'] as const

/** Output size of a window that moves over `size`: ⌊(size + 2·padding − dilation·(kernel−1) − 1) / stride⌋ + 1. */
function windowed(size: number, kernel: number, stride: number, padding: number, dilation = 1): number {
  return Math.floor((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1
}

function pool(name: string, axes: 1 | 2): OpSpec<Window> {
  return op<Window>({
    outputs: (inputs, { kernel, stride, padding }) => {
      const x = at(inputs, 0)
      needFloat(x, name)
      needRank(x, 2 + axes, name, 'input', `[B, C, ${letters[axes]}]`)
      const out = kernel.map((size, i) =>
        windowed(x.shape[2 + i] as number, size, stride[i] as number, padding[i] as number),
      )
      if (out.some((size) => size < 1)) throw badShape(name, 'input', `at least the window ${show(kernel)}`, x.shape)
      return [like(x, [...x.shape.slice(0, 2), ...out])]
    },
    attributes: ({ kernel, stride, padding }) => [...kernel, ...stride, ...padding],
  })
}

function adaptive(name: string, axes: 1 | 2): OpSpec<{ size: Sizes }> {
  return op<{ size: Sizes }>({
    outputs: (inputs, { size }) => {
      const x = at(inputs, 0)
      needFloat(x, name)
      needRank(x, 2 + axes, name, 'input', `[B, C, ${letters[axes]}]`)
      if (x.shape.slice(1).includes(0)) throw badShape(name, 'input', 'without an empty axis but the first', x.shape)
      return [like(x, [...x.shape.slice(0, 2), ...size])]
    },
    attributes: ({ size }) => size,
  })
}

function convolution(name: string, axes: 1 | 2): OpSpec<Convolution> {
  return op<Convolution>({
    outputs: (inputs, { stride, padding, dilation, groups }) => {
      const [x, weight] = [at(inputs, 0), at(inputs, 1)]
      needFloat(x, name)
      needSameDType(inputs, name)
      needRank(weight, 2 + axes, name, 'weight', `[O, C/groups, ${letters[axes].toLowerCase()}]`)
      const [o, c, ...kernel] = weight.shape as [number, number, ...number[]]
      const form = `[B, C=${c * groups}, ${letters[axes]}]`
      needRank(x, 2 + axes, name, 'input', form)
      if (x.shape[1] !== c * groups) throw badShape(name, 'input', form, x.shape)
      if (o % groups !== 0) throw badShape(name, 'weight', `[O divisible by groups=${groups}, …]`, weight.shape)
      needVector(inputs[2], o, name, 'bias')
      const out = kernel.map((size, i) =>
        windowed(x.shape[2 + i] as number, size, stride[i] as number, padding[i] as number, dilation[i]),
      )
      if (out.some((size) => size < 1))
        throw badShape(name, 'input', `at least the kernel ${show(kernel)} after padding`, x.shape)
      const shape = [x.shape[0] as number, o, ...out]
      const residual = inputs[3]
      if (residual !== undefined && !sameShape(residual.shape, shape))
        throw badShape(name, 'residual', `${show(shape)}, the shape of the output`, residual.shape)
      return [like(x, shape)]
    },
    attributes: ({ stride, padding, dilation, groups, relu }) => {
      const all = [...stride, ...padding, ...dilation, groups]
      return axes === 1 ? all : [...all, flag(relu === true)]
    },
  })
}

/** (size − 1)·stride − 2·padding + dilation·(kernel − 1) + outputPadding + 1 along each axis. */
function transposed(name: string, axes: 1 | 2): OpSpec<Convolution & { outputPadding: Sizes }> {
  return op<Convolution & { outputPadding: Sizes }>({
    outputs: (inputs, { stride, padding, dilation, groups, outputPadding }) => {
      const [x, weight] = [at(inputs, 0), at(inputs, 1)]
      needFloat(x, name)
      needSameDType(inputs, name)
      needRank(weight, 2 + axes, name, 'weight', `[C, O/groups, ${letters[axes].toLowerCase()}]`)
      const [c, o, ...kernel] = weight.shape as [number, number, ...number[]]
      const form = `[B, C=${c}, ${letters[axes]}]`
      needRank(x, 2 + axes, name, 'input', form)
      if (x.shape[1] !== c) throw badShape(name, 'input', form, x.shape)
      if (c % groups !== 0) throw badShape(name, 'weight', `[C divisible by groups=${groups}, …]`, weight.shape)
      needVector(inputs[2], o * groups, name, 'bias')
      const out = kernel.map((size, i) => {
        const [step, around, spread] = [stride[i], padding[i], dilation[i]] as [number, number, number]
        const extra = outputPadding[i] as number
        if (extra >= Math.max(step, spread))
          throw badShape(name, 'outputPadding', 'smaller than stride or dilation', outputPadding)
        return ((x.shape[2 + i] as number) - 1) * step - 2 * around + spread * (size - 1) + extra + 1
      })
      if (out.some((size) => size < 1)) throw badShape(name, 'input', 'large enough for the padding', x.shape)
      return [like(x, [x.shape[0] as number, o * groups, ...out])]
    },
    attributes: ({ stride, padding, dilation, groups, outputPadding }) => [
      ...stride,
      ...padding,
      ...dilation,
      groups,
      ...outputPadding,
    ],
  })
}

export const convolutions = {
  conv1d: convolution('conv1d', 1),
  conv2d: convolution('conv2d', 2),
  convTranspose1d: transposed('convTranspose1d', 1),
  convTranspose2d: transposed('convTranspose2d', 2),
  maxPool1d: pool('maxPool1d', 1),
  avgPool1d: pool('avgPool1d', 1),
  maxPool2d: pool('maxPool2d', 2),
  avgPool2d: pool('avgPool2d', 2),
  adaptiveAvgPool1d: adaptive('adaptiveAvgPool1d', 1),
  adaptiveAvgPool2d: adaptive('adaptiveAvgPool2d', 2),
  adaptiveMaxPool1d: adaptive('adaptiveMaxPool1d', 1),
  adaptiveMaxPool2d: adaptive('adaptiveMaxPool2d', 2),
  interpolate: op<{ mode: Interpolation; alignCorners: boolean; size: Shape; scales: readonly number[] }>({
    outputs: (inputs, { mode, size }) => {
      const x = at(inputs, 0)
      needFloat(x, 'interpolate')
      const axes = mode === 'nearest' ? size.length : mode === 'linear' ? 1 : 2
      if (size.length !== axes || axes < 1 || axes > 2)
        throw badShape('interpolate', 'size', axes === 1 ? '[L]' : '[H, W]', size)
      needRank(x, 2 + axes, 'interpolate', 'input', `[B, C, ${letters[axes as 1 | 2]}]`)
      if (x.shape.slice(1).includes(0))
        throw badShape('interpolate', 'input', 'without an empty axis but the first', x.shape)
      return [like(x, [...x.shape.slice(0, 2), ...size])]
    },
    // A scale of 0: none was given, it follows from the sizes.
    attributes: ({ mode, alignCorners, size, scales }) => [
      interpolations[mode],
      flag(alignCorners),
      ...list(size),
      ...list(scales.length === 0 ? size.map(() => 0) : scales),
    ],
  }),
}
