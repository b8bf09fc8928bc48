// Lesions and shuffles: a stack without some of its layers, or with them in another order, and sequences without some of their steps.
import { ArgumentError } from '../../errors.js'
import { cat } from '../../tensor/functions.js'
import { synchronous } from '../../tensor/scope.js'
import { Tensor } from '../../tensor/tensor.js'
import { type Tree, tensorsIn } from '../../tensor/tree.js'
import type { Stepped } from '../carrier.js'
import type { Stack, Write } from '../stack.js'
import { type Instead, steppingBy } from './trace.js'

/**
 * Runs the synchronous `fn` while the writes of the given layers along depth are left out: state and readout pass them unchanged.
 * Source: Veit et al. 2016. Errors: `ERR_ARGUMENT` for a layer that is not there, or a carrier that fills both axes.
 */
export function lesioned<T>(stack: Stack, layers: Iterable<number>, fn: () => T): T {
  const left = new Set(layers)
  for (const layer of left) check(stack, 'axis.lesioned', layer)
  let read: Tensor | undefined
  const skip: Instead = (carrier, parameters, state, input, context) => {
    if (context.index === 0) read = undefined
    if (!left.has(Math.floor(context.index / stack.perLayer))) {
      const next = carrier.step(parameters, state, input, context) as Stepped<Tree>
      read = next.output
      return next
    }
    return { state, output: read ?? firstOf(state) }
  }
  return steppingBy(stack, 'axis.lesioned', skip, () => synchronous(fn, 'axis.lesioned'))
}

/** What is read of a state before anything was written: the stream that entered. */
function firstOf(state: Tree): Tensor {
  return state instanceof Tensor ? state : (tensorsIn(state)[0] as Tensor)
}

/** Runs the synchronous `fn` while the layers stand in another order: `order[k]` is the layer that stands at place k. */
export function shuffled<T>(stack: Stack, order: readonly number[], fn: () => T): T {
  const op = 'axis.shuffled'
  if (new Set(order).size !== stack.layers || order.length !== stack.layers)
    throw new ArgumentError(`${op}: order must be a permutation of 0 … ${stack.layers - 1}, got ${order.join(', ')}`, {
      op,
      expected: `a permutation of ${stack.layers} layers`,
      got: order.join(', '),
    })
  for (const layer of order) check(stack, op, layer)
  if (stack.tied) return synchronous(fn, op)
  const writes = stack.writes as Write[]
  const [before, per] = [[...writes], stack.perLayer]
  for (const [k, layer] of order.entries()) {
    for (let i = 0; i < per; i++) writes[k * per + i] = before[layer * per + i] as Write
  }
  try {
    return synchronous(fn, op)
  } finally {
    writes.splice(0, writes.length, ...before)
  }
}

function check(stack: Stack, op: string, layer: number): void {
  if (Number.isInteger(layer) && layer >= 0 && layer < stack.layers) return
  throw new ArgumentError(`${op}: a layer must be within 0 … ${stack.layers - 1}, got ${String(layer)}`, {
    op,
    expected: `0 … ${stack.layers - 1}`,
    got: String(layer),
  })
}

/** The lesion along time: x [B, T, …] without the given steps. */
export function withoutSteps(x: Tensor, steps: Iterable<number>): Tensor {
  const left = new Set(steps)
  const kept = Array.from({ length: x.shape[1] as number }, (_, t) => t).filter((t) => !left.has(t))
  const op = 'axis.withoutSteps'
  if (kept.length === 0) throw new ArgumentError(`${op}: no step is left`, { op, expected: 'a step that stays' })
  return cat(
    kept.map((t) => x.slice(1, t, t + 1)),
    1,
  )
}

/** Kendall's τ of an order against 0, 1, 2, …: 1 for the same, −1 for the reverse. */
export function kendallTau(order: readonly number[]): number {
  let sum = 0
  for (const [i, a] of order.entries()) for (const b of order.slice(i + 1)) sum += Math.sign(b - a)
  return sum / ((order.length * (order.length - 1)) / 2)
}
