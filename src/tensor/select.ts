// Selections whose size depends on the values. The engine computes them at their place in the order; their shape is known once their size was read.
import type { DType } from './dtype.js'
import { unscope } from './lifetime.js'
import { needTensor, record } from './record.js'
import { broadcast } from './shape.js'
import { Tensor } from './tensor.js'

/**
 * The positions of the elements that are not 0, in row-major order: [N, rank] of int64.
 *
 * Async as everything whose shape depends on values; it cannot be used in a recorded function (`ERR_CAPTURE`).
 */
export async function nonzero(x: Tensor): Promise<Tensor<'int64'>> {
  const [positions, count] = aside(record('nonzero', [x], {}).map((result) => new Tensor(result)))
  return (await firsts(count, positions))[0] as Tensor<'int64'>
}

/**
 * The elements of `x` where `mask`, of bool, holds, in row-major order: [N]; the two broadcast. Gradients flow to `x`.
 *
 * Async as everything whose shape depends on values; it cannot be used in a recorded function (`ERR_CAPTURE`).
 */
export async function maskedSelect<D extends DType>(x: Tensor<D>, mask: Tensor): Promise<Tensor<D>> {
  needTensor(x, 'maskedSelect', 'x')
  needTensor(mask, 'maskedSelect', 'mask')
  const shape = broadcast(x.shape, mask.shape, 'maskedSelect')
  const results = record('maskedSelect', [x.expand(shape), mask.expand(shape)], {})
  const [values, count] = aside(results.map((result) => new Tensor(result)))
  return (await firsts(count, values))[0] as Tensor<D>
}

export interface Unique<D extends DType> {
  /** The distinct values in ascending order, [N]. */
  values: Tensor<D>
  /** Where each element of x is among them: the shape of x. */
  inverse: Tensor<'int64'>
  /** How often each value occurs, [N]. */
  counts: Tensor<'int64'>
}

/**
 * The distinct values of `x`; no gradient flows. Differs from torch: always sorted, always with `inverse` and `counts`.
 *
 * Async as everything whose shape depends on values; it cannot be used in a recorded function (`ERR_CAPTURE`).
 */
export async function unique<D extends DType>(x: Tensor<D>): Promise<Unique<D>> {
  const [values, inverse, counts, count] = aside(record('unique', [x], {}).map((result) => new Tensor(result)))
  const [distinct, often] = await firsts(count, values, counts)
  return { values: distinct as Tensor<D>, inverse: inverse as Tensor<'int64'>, counts: often as Tensor<'int64'> }
}

/** The tensors, which outlive the scope that the function was called in. */
function aside(tensors: Tensor[]): Tensor[] {
  for (const tensor of tensors) unscope(tensor)
  return tensors
}

/** The rows of each that count, copied, so that the rest is freed. */
async function firsts(count: Tensor | undefined, ...padded: (Tensor | undefined)[]): Promise<Tensor[]> {
  const known = [count, ...padded] as [Tensor, ...Tensor[]]
  try {
    const n = await known[0].item()
    return known.slice(1).map((x) => {
      const head = x.slice(0, 0, n)
      const rows = head.clone()
      head.dispose()
      return rows
    })
  } finally {
    for (const x of known) x.dispose()
  }
}
