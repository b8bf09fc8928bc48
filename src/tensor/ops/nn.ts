// The operations of layers: embedding and normalisation.
import type { Meta } from '../record.js'
import { elements, type Shape, sameShape, show } from '../shape.js'
import {
  at,
  badShape,
  flag,
  type Input,
  like,
  list,
  needFloat,
  needIndex,
  needRank,
  needSameDType,
  op,
} from './spec.js'

export function needVector(x: Input, size: number, name: string, what: string): void {
  if (x !== undefined && (x.shape.length !== 1 || x.shape[0] !== size))
    throw badShape(name, what, `[C=${size}]`, x.shape)
}

/** The last axes must be those that are normalised. */
function needLast(x: Meta, shape: Shape, name: string): void {
  if (!Array.isArray(shape) || shape.length === 0 || !sameShape(x.shape.slice(-shape.length), shape))
    throw badShape(name, 'input', `[…, ${show(shape).slice(1)}`, x.shape)
}

export const nn = {
  embedding: op<{ paddingIndex: number }>({
    outputs: (inputs) => {
      const weight = at(inputs, 0)
      const index = at(inputs, 1)
      needRank(weight, 2, 'embedding', 'weight', '[N, D]')
      needIndex(index, 'embedding')
      return [like(weight, [...index.shape, weight.shape[1] as number])]
    },
    attributes: ({ paddingIndex }) => [paddingIndex],
  }),
  layerNorm: op<{ shape: Shape; eps: number }>({
    outputs: (inputs, { shape }) => {
      const x = at(inputs, 0)
      needFloat(x, 'layerNorm')
      needSameDType(inputs, 'layerNorm')
      needLast(x, shape, 'layerNorm')
      for (const affine of [inputs[1], inputs[2]]) {
        if (affine !== undefined && !sameShape(affine.shape, shape))
          throw badShape('layerNorm', 'weight and bias', show(shape), affine.shape)
      }
      return [like(x)]
    },
    attributes: ({ shape, eps }) => [...list(shape), eps],
  }),
  batchNorm: op<{ train: boolean; momentum: number; eps: number; relu: boolean }>({
    outputs: (inputs, { train }) => {
      const x = at(inputs, 0)
      needFloat(x, 'batchNorm')
      if (x.shape.length < 2) throw badShape('batchNorm', 'input', '[B, C, …]', x.shape)
      const channels = x.shape[1] as number
      for (const i of [1, 2, 3, 4]) needVector(inputs[i], channels, 'batchNorm', 'weight, bias and statistics')
      if (train && channels > 0 && elements(x.shape) / channels === 1) {
        throw badShape('batchNorm', 'input', 'more than one value per channel while training', x.shape)
      }
      const residual = inputs[5]
      if (residual !== undefined) {
        needSameDType([x, residual], 'batchNorm')
        if (!sameShape(residual.shape, x.shape))
          throw badShape('batchNorm', 'residual', `${show(x.shape)}, the shape of the input`, residual.shape)
      }
      return [like(x)]
    },
    attributes: ({ train, momentum, eps, relu }) => [flag(train), momentum, eps, flag(relu)],
  }),
  groupNorm: op<{ groups: number; eps: number }>({
    outputs: (inputs, { groups }) => {
      const x = at(inputs, 0)
      needFloat(x, 'groupNorm')
      needSameDType(inputs, 'groupNorm')
      if (x.shape.length < 2) throw badShape('groupNorm', 'input', '[B, C, …]', x.shape)
      const channels = x.shape[1] as number
      if (channels % groups !== 0)
        throw badShape('groupNorm', 'input', `[B, C divisible by groups=${groups}, …]`, x.shape)
      for (const i of [1, 2]) needVector(inputs[i], channels, 'groupNorm', 'weight and bias')
      return [like(x)]
    },
    attributes: ({ groups, eps }) => [groups, eps],
  }),
  rmsNorm: op<{ shape: Shape; eps: number }>({
    outputs: (inputs, { shape }) => {
      const x = at(inputs, 0)
      needFloat(x, 'rmsNorm')
      needSameDType(inputs, 'rmsNorm')
      needLast(x, shape, 'rmsNorm')
      if (inputs[1] !== undefined && !sameShape(inputs[1].shape, shape))
        throw badShape('rmsNorm', 'weight', show(shape), inputs[1].shape)
      return [like(x)]
    },
    attributes: ({ shape, eps }) => [...list(shape), eps],
  }),
}
