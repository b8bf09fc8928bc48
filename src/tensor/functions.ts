// Operations as functions: those over several tensors, and the usual ones by name.
import { ArgumentError } from '../errors.js'
import type { DType } from './dtype.js'
import { axis } from './shape.js'
import { call, type Floating, operand, Tensor } from './tensor.js'

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
  const first = tensors[0]
  if (first === undefined)
    throw new ArgumentError(`${op}: at least one tensor is needed`, { op, expected: 'tensors', got: 'none' })
  return first
}

/** Elements of `a` where the condition holds, of `b` elsewhere; either may be a number. */
export function where(condition: Tensor, a: Tensor | number, b: Tensor | number): Tensor {
  const [x, y] = [a, b].map((value) => (value instanceof Tensor ? value : undefined))
  const scalars = { ...(x ? {} : { a: operand('where', a) }), ...(y ? {} : { b: operand('where', b) }) }
  return call('where', [condition, x, y], scalars)
}

export const sigmoid = <D extends DType>(x: Tensor<D>): Tensor<Floating<D>> => x.sigmoid()
export const tanh = <D extends DType>(x: Tensor<D>): Tensor<Floating<D>> => x.tanh()
export const relu = <D extends DType>(x: Tensor<D>): Tensor<D> => x.relu()
export const exp = <D extends DType>(x: Tensor<D>): Tensor<Floating<D>> => x.exp()
export const log = <D extends DType>(x: Tensor<D>): Tensor<Floating<D>> => x.log()
export const sqrt = <D extends DType>(x: Tensor<D>): Tensor<Floating<D>> => x.sqrt()
export const matmul = <D extends DType>(a: Tensor<D>, b: Tensor): Tensor<D> => a.matmul(b)
