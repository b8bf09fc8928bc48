// What a carrier along depth keeps and writes at every step, measured: mixing matrix, direct path, half-life.
import { grad } from '../../tensor/grad.js'
import { needOptions } from '../../tensor/options.js'
import { whole } from '../../tensor/shape.js'
import { Tensor } from '../../tensor/tensor.js'
import { Variable } from '../../tensor/variable.js'
import { broken, type Stepped } from '../carrier.js'
import { needSequence, needStack, refused } from '../need.js'
import type { Stack } from '../stack.js'
import { type Instead, steppingBy } from './trace.js'

/** One unit of one row at every step: s_(k+1) = a_k s_k + b_k v_k. */
export interface CarryStep {
  a: number[]
  b: number[]
  /** What was written. */
  v: number[]
  /** The state after it. */
  s: number[]
}

export interface Carry {
  readonly width: number
  /** s_0, row by row: entry row · width + unit, as in all lists of the steps. */
  readonly start: number[]
  readonly steps: readonly CarryStep[]
}

/** How much b may change with v, relative, before gates count as reading the write. */
const AFFINE = 1e-3

/**
 * The factors a_k and b_k of the carried stream over one run of x [B, T, width], for every position and unit: b_k = ∂s_(k+1)/∂v_k, and a_k = what is
 * left, (s_(k+1) − b_k v_k)/s_k; for a linear carrier ∂s_(k+1)/∂s_k. Use float64: the division loses digits where s_k is small, and is NaN at 0.
 *
 * Errors: `ERR_ARGUMENT` where s' = a ⊙ s + b ⊙ v does not describe the carrier: a state that is not one stream, or gates that read the write.
 */
export async function carry(stack: Stack, x: Tensor): Promise<Carry> {
  needSequence(x, needStack(stack, 'axis.carry'), 'axis.carry')
  const taken: { s: Tensor; v: Tensor; b: Tensor; twice: Tensor; next: Tensor; a: Tensor | undefined }[] = []
  const measure: Instead = (carrier, parameters, state, input, context) => {
    if (!(state instanceof Tensor) || state.rank !== 2)
      throw broken(carrier, 'its state is not one stream [N, width]: a and b of s’ = a ⊙ s + b ⊙ v are not defined')
    const [s, v, v2] = [new Variable(state.detach()), new Variable(input.detach()), new Variable(input.detach().mul(2))]
    const next = (carrier.step(parameters, s, v, context) as Stepped<Tensor>).state
    if (!next.requiresGrad) throw broken(carrier, 'what it carries does not depend on what is written')
    const partial = (of: Tensor, by: Variable): Tensor =>
      grad(of.sum(), [by], { retain: true, unused: 'zeros' }).get(by)
    const twice = partial((carrier.step(parameters, s, v2, context) as Stepped<Tensor>).state, v2)
    taken.push({ s, v, b: partial(next, v), twice, next, a: carrier.linear ? partial(next, s) : undefined })
    return carrier.step(parameters, state, input, context) as Stepped<Tensor>
  }
  const carrier = stack.alongDepth
  steppingBy(stack, 'axis.carry', measure, () => stack.run(x))
  const steps: CarryStep[] = []
  let start: number[] | undefined
  for (const step of taken) {
    const [s, v, b, twice, next] = await Promise.all([step.s, step.v, step.b, step.twice, step.next].map(numbers))
    const [before, write, factor, after] = [s, v, b, next] as number[][] as [number[], number[], number[], number[]]
    if (factor.some((value, i) => Math.abs(value - (twice?.[i] as number)) > AFFINE * (1e-6 + Math.abs(value))))
      throw broken(carrier ?? stack.alongTime, 'its gates read the write: b of s’ = a ⊙ s + b ⊙ v is not defined')
    const rest = after.map((value, i) => (value - (factor[i] as number) * (write[i] as number)) / (before[i] as number))
    steps.push({ a: step.a ? await numbers(step.a) : rest, b: factor, v: write, s: after })
    start ??= before
  }
  return { width: stack.width, start: start ?? [], steps }
}

async function numbers(x: Tensor): Promise<number[]> {
  return Array.from((await x.data()) as ArrayLike<number>)
}

/**
 * M of one unit at one position, (K+1) × (K+1) and lower triangular: s_k = M_k0 s_0 + Σ_i M_ki v_(i−1),
 * M_k0 = ∏_(j<k) a_j,  M_ki = b_(i−1) ∏_(i≤j<k) a_j. All ones for a residual stream; rows that sum to one for Highway.
 * Source: section 6 of Attention Residuals (arXiv 2603.15031) for the view.
 */
export function mixingMatrix(carry: Carry, unit: number, position = 0): number[][] {
  const op = 'axis.mixingMatrix'
  const { steps, start, width } = needCarry(carry, op)
  whole(unit, 'unit', op, 0, width - 1)
  const at = whole(position, 'position', op, 0, start.length / width - 1) * width + unit
  const rows = [[1]]
  for (const { a, b } of steps) {
    const before = rows.at(-1) as number[]
    rows.push([...before.map((weight) => weight * (a[at] as number)), b[at] as number])
  }
  return rows.map((row) => [...row, ...Array.from({ length: steps.length + 1 - row.length }, () => 0)])
}

/** The direct path: ∏ a_k over all steps, for every position and unit. The full path is `jacobian(trace, 0, K)`. */
export function directPath(carry: Carry): number[] {
  const { steps, start } = needCarry(carry, 'axis.directPath')
  return start.map((_, i) => steps.reduce((product, { a }) => product * (a[i] as number), 1))
}

/** Steps after which a factor per step has halved what is carried, ln ½ / ln a: 0 for a = 0, ∞ for a ≥ 1. */
export function halfLife(a: number): number {
  if (typeof a !== 'number') throw refused('axis.halfLife', 'a must be a number', 'a number', a)
  const size = Math.abs(a)
  return size >= 1 ? Infinity : size === 0 ? 0 : Math.LN2 / -Math.log(size)
}

/** What `carry` gives. */
function needCarry(carry: Carry, op: string): Carry {
  const { start, steps, width } = needOptions(carry, op, 'what is carried')
  const numbers = (list: unknown): boolean => Array.isArray(list) && list.every((x) => typeof x === 'number')
  const rows = Number.isSafeInteger(width) && width > 0 && numbers(start) && start.length % width === 0
  const whole = (step: CarryStep): boolean =>
    [step?.a, step?.b, step?.v, step?.s].every((list) => numbers(list) && list.length === start.length)
  if (rows && Array.isArray(steps) && steps.every(whole)) return carry
  throw refused(op, 'needs what axis.carry gives', 'what axis.carry gives', carry)
}

/** The half-life of what every unit carries, by the geometric mean of |a| over steps and positions. */
export function carryHalfLife(carry: Carry): number[] {
  const { steps, width } = needCarry(carry, 'axis.carryHalfLife')
  return Array.from({ length: width }, (_, unit) => {
    let [sum, count] = [0, 0]
    for (const { a } of steps) {
      for (let i = unit; i < a.length; i += width, count++) sum += Math.log(Math.abs(a[i] as number))
    }
    return halfLife(Math.exp(sum / count))
  })
}
