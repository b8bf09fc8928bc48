// Operations as functions: those over several tensors, and the usual ones by name.
import { ArgumentError } from '../errors.js'
import { told } from '../told.js'
import type { DType } from './dtype.js'
import { needOptions } from './options.js'
import { needTensor, record } from './record.js'
import { scope } from './scope.js'
import { axes, axis, list, whole } from './shape.js'
import { call, type Floating, operand, type ReduceOptions, Tensor } from './tensor.js'

/** Tensors joined along an existing axis. */
export function cat<D extends DType>(tensors: readonly Tensor<D>[], dim = 0): Tensor<D> {
  const first = some(tensors, 'cat')
  return call<D>('cat', tensors, { dim: axis(dim, first.rank, 'cat') })
}

/** Tensors of one shape joined along a new axis. */
export function stack<D extends DType>(tensors: readonly Tensor<D>[], dim = 0): Tensor<D> {
  const first = some(tensors, 'stack')
  return call<D>('stack', tensors, { dim: axis(dim, first.rank + 1, 'stack') })
}

function some(tensors: readonly Tensor[], op: string): Tensor {
  const first = list(tensors, 'tensors', op)[0]
  if (first !== undefined) needTensor(first, op)
  if (first === undefined)
    throw new ArgumentError(`${op}: at least one tensor is needed`, { op, expected: 'tensors', got: 'none' })
  return first
}

/** Elements of `a` where the condition holds, of `b` elsewhere; either may be a number. */
export function where(condition: Tensor, a: Tensor | number, b: Tensor | number): Tensor {
  needTensor(condition, 'where', 'condition')
  const [x, y] = [a, b].map((value) => (value instanceof Tensor ? value : undefined))
  const scalars = { ...(x ? {} : { a: operand('where', a) }), ...(y ? {} : { b: operand('where', b) }) }
  return call('where', [condition, x, y], scalars)
}

/** 1 where the class stands, 0 elsewhere: index […] → […, classes] of int64. A class outside 0 … classes−1 is found while running: `ERR_RANGE`. */
export function oneHot(index: Tensor, classes: number): Tensor<'int64'> {
  return call('oneHot', [index], { classes: whole(classes, 'classes', 'oneHot', 1) })
}

/**
 * Products summed over the letters that the result lacks: `einsum('bij,bjk->bik', a, b)` multiplies matrices. Every letter names an axis, the same
 * size wherever it stands; without `->` the result has the letters that occur once, in alphabetical order.
 *
 * Errors: `ERR_SHAPE` where the equation does not fit. Differs from torch: no `...`, and an axis of size 1 does not stretch.
 */
export function einsum<D extends DType>(equation: string, ...tensors: Tensor<D>[]): Tensor<D> {
  if (typeof equation !== 'string')
    throw new ArgumentError(`einsum: the equation must be a string, got ${typeof equation}`, { op: 'einsum' })
  some(tensors, 'einsum')
  return call<D>('einsum', tensors, { equation })
}

/**
 * a = q·r: a […, M, N] → q […, M, K] with orthonormal columns and r […, K, N] upper triangular, K = min(M, N). float32 and float64.
 *
 * The gradient asks for M ≥ N or, of r, independent leading columns. Differs from torch: the reduced form only.
 */
export function qr<D extends DType>(a: Tensor<D>): { q: Tensor<D>; r: Tensor<D> } {
  const [q, r] = record('qr', [a], {}).map((result) => new Tensor<D>(result))
  return { q: q as Tensor<D>, r: r as Tensor<D> }
}

/**
 * a = u·diag(s)·vh: a […, M, N] → u […, M, K], s […, K] in descending order, vh […, K, N], K = min(M, N). float32 and float64.
 *
 * The gradient through u and vh is finite only where the singular values differ. Differs from torch: the reduced form only.
 */
export function svd<D extends DType>(a: Tensor<D>): { u: Tensor<D>; s: Tensor<D>; vh: Tensor<D> } {
  const [u, s, vh] = record('svd', [a], {}).map((result) => new Tensor<D>(result))
  return { u: u as Tensor<D>, s: s as Tensor<D>, vh: vh as Tensor<D> }
}

/**
 * The x of a·x = b: a […, N, N], b […, N, K] → […, N, K]; the leading axes are the same. float32 and float64. A singular matrix is found while
 * running: `ERR_ENGINE`. Differs from torch: b always has the axis K.
 */
export function solve<D extends DType>(a: Tensor<D>, b: Tensor<D>): Tensor<D> {
  return call<D>('solve', [a, b], {})
}

/**
 * The norm of the matrices in the last two axes: `'fro'` √Σx², `'nuc'` the sum of the singular values, 2 the largest of them, 1 the largest column
 * sum of |x|, Infinity the largest row sum.
 */
export function matrixNorm<D extends DType>(
  a: Tensor<D>,
  order: 'fro' | 'nuc' | number = 'fro',
  options: ReduceOptions = {},
): Tensor<D> {
  const { keepDim = false } = needOptions(options, 'matrixNorm')
  needTensor(a, 'matrixNorm')
  const rank = a.rank
  const [rows, columns] = axes([-2, -1], Math.max(2, rank), 'matrixNorm') as [number, number]
  const keep = { keepDim: true }
  const kept = scope((): Tensor => {
    switch (order) {
      case 'fro':
        return a.norm([rows, columns], keep)
      case 'nuc':
        return svd(a).s.sum(-1, keep).unsqueeze(-1)
      case 2:
        return svd(a).s.amax(-1, keep).unsqueeze(-1)
      case 1:
        return a.abs().sum(rows, keep).amax(columns, keep)
      case Infinity:
        return a.abs().sum(columns, keep).amax(rows, keep)
      default:
        throw new ArgumentError(`matrixNorm: order must be 'fro', 'nuc', 1, 2 or Infinity, got ${told(order)}`, {
          op: 'matrixNorm',
          got: told(order),
        })
    }
  })
  return (keepDim ? kept : kept.reshape(a.shape.slice(0, -2))) as Tensor<D>
}

export const sigmoid = <D extends DType>(x: Tensor<D>): Tensor<Floating<D>> => call<Floating<D>>('sigmoid', [x], {})
export const tanh = <D extends DType>(x: Tensor<D>): Tensor<Floating<D>> => call<Floating<D>>('tanh', [x], {})
export const relu = <D extends DType>(x: Tensor<D>): Tensor<D> => call<D>('relu', [x], {})
export const exp = <D extends DType>(x: Tensor<D>): Tensor<Floating<D>> => call<Floating<D>>('exp', [x], {})
export const log = <D extends DType>(x: Tensor<D>): Tensor<Floating<D>> => call<Floating<D>>('log', [x], {})
export const sqrt = <D extends DType>(x: Tensor<D>): Tensor<Floating<D>> => call<Floating<D>>('sqrt', [x], {})
export const matmul = <D extends DType>(a: Tensor<D>, b: Tensor): Tensor<D> => call<D>('matmul', [a, b], {})
