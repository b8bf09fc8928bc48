// Reductions, and functions along one axis.

import { ShapeError } from '../../errors.js'
import { type DType, floating, isFloat } from '../dtype.js'
import type { Meta } from '../record.js'
import { axis, reduced, whole, without, withSize } from '../shape.js'
import { at, flag, like, list, needFloat, needNumbers, type OpSpec, op } from './spec.js'

export interface Over {
  /** The axes to reduce; none: all. */
  dims: readonly number[]
  keepDim: boolean
}

export interface Along {
  dim: number
}

function over(dtype: (d: DType) => DType, check?: (x: Meta) => void): OpSpec<Over> {
  return op<Over>({
    outputs: (inputs, { dims, keepDim }) => {
      const x = at(inputs, 0)
      check?.(x)
      return [like(x, reduced(x.shape, dims, keepDim), dtype(x.dtype))]
    },
    attributes: ({ dims, keepDim }) => [...list(dims), flag(keepDim)],
  })
}

/** A maximum of nothing has no value. */
function extreme(name: string): OpSpec<Over> {
  return op<Over>({
    ...over((d) => d),
    outputs: (inputs, { dims, keepDim }) => {
      const x = at(inputs, 0)
      const gone = dims.length === 0 ? x.shape.map((_, i) => i) : dims
      if (gone.some((dim) => x.shape[dim] === 0)) {
        throw new ShapeError(`${name}: an empty axis has no ${name === 'amax' ? 'maximum' : 'minimum'}`, {
          op: name,
          got: `[${x.shape}]`,
        })
      }
      return [like(x, reduced(x.shape, dims, keepDim))]
    },
  })
}

function index(name: string): OpSpec<Along & { keepDim: boolean }> {
  return op<Along & { keepDim: boolean }>({
    outputs: (inputs, { dim, keepDim }) => {
      const x = at(inputs, 0)
      needNumbers(x, name)
      if (x.shape[dim] === 0)
        throw new ShapeError(`${name}: an empty axis has no extreme`, { op: name, got: `[${x.shape}]` })
      return [like(x, keepDim ? withSize(x.shape, dim, 1) : without(x.shape, dim), 'int64')]
    },
    attributes: ({ dim, keepDim }) => [dim, flag(keepDim)],
    differentiable: false,
  })
}

/** Sums and products of whole numbers are int64. */
const accumulated = (dtype: DType): DType => (isFloat(dtype) ? dtype : 'int64')
const asBool = (): DType => 'bool'

function along(name: string): OpSpec<Along> {
  return op<Along>({
    outputs: (inputs, { dim }) => {
      const x = at(inputs, 0)
      needFloat(x, name)
      axis(dim, x.shape.length, name)
      return [like(x)]
    },
    attributes: ({ dim }) => [dim],
  })
}

const cumulative = op<Along>({
  outputs: (inputs) => [like(at(inputs, 0), undefined, accumulated(at(inputs, 0).dtype))],
  attributes: ({ dim }) => [dim],
})

export const reduce = {
  sum: over(accumulated),
  mean: over(
    (d) => d,
    (x) => needFloat(x, 'mean'),
  ),
  amax: extreme('amax'),
  amin: extreme('amin'),
  any: { ...over(asBool), differentiable: false as const },
  all: { ...over(asBool), differentiable: false as const },
  prod: op<{ dim: number; keepDim: boolean }>({
    outputs: (inputs, { dim, keepDim }) => {
      const x = at(inputs, 0)
      return [like(x, reduced(x.shape, dim === -1 ? [] : [dim], keepDim), accumulated(x.dtype))]
    },
    attributes: ({ dim, keepDim }) => [dim, flag(keepDim)],
  }),
  variance: op<Over & { correction: number }>({
    outputs: (inputs, { dims, keepDim }) => {
      const x = at(inputs, 0)
      needFloat(x, 'variance')
      return [like(x, reduced(x.shape, dims, keepDim))]
    },
    attributes: ({ dims, keepDim, correction }) => [...list(dims), flag(keepDim), correction],
  }),
  logSumExp: op<Over>({
    outputs: (inputs, { dims, keepDim }) => {
      const x = at(inputs, 0)
      return [like(x, reduced(x.shape, dims, keepDim), floating(x.dtype))]
    },
    attributes: ({ dims, keepDim }) => [...list(dims), flag(keepDim)],
  }),
  argmax: index('argmax'),
  argmin: index('argmin'),
  softmax: along('softmax'),
  logSoftmax: along('logSoftmax'),
  cumsum: cumulative,
  cumprod: cumulative,
  norm: op<Over & { p: number }>({
    outputs: (inputs, { dims, keepDim, p }) => {
      const x = at(inputs, 0)
      needFloat(x, 'norm')
      const gone = dims.length === 0 ? x.shape : dims.map((dim) => x.shape[dim])
      if (gone.includes(0) && (p < 0 || p === Infinity))
        throw new ShapeError(`norm: an empty axis has no norm of order ${p}`, { op: 'norm', got: `[${x.shape}]` })
      return [like(x, reduced(x.shape, dims, keepDim))]
    },
    attributes: ({ dims, keepDim, p }) => [...list(dims), flag(keepDim), p],
  }),
  topk: op<{ k: number; dim: number; largest: boolean }>({
    outputs: (inputs, { k, dim }) => {
      const x = at(inputs, 0)
      needNumbers(x, 'topk')
      whole(k, 'k', 'topk', 0, x.shape[dim] ?? 0)
      const shape = withSize(x.shape, dim, k)
      return [like(x, shape), like(x, shape, 'int64')]
    },
    attributes: ({ k, dim, largest }) => [k, dim, flag(largest)],
  }),
  sort: op<{ dim: number; descending: boolean }>({
    outputs: (inputs) => [like(at(inputs, 0)), like(at(inputs, 0), undefined, 'int64')],
    attributes: ({ dim, descending }) => [dim, flag(descending)],
  }),
}
