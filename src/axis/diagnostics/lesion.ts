// Lesions and shuffles: a stack without some of its layers, or with them in another order, and sequences without some of their steps.
import { ArgumentError, ShapeError } from '../../errors.js'
import { cat } from '../../tensor/functions.js'
import { needTensor } from '../../tensor/record.js'
import { synchronous } from '../../tensor/scope.js'
import { show } from '../../tensor/shape.js'
import { Tensor } from '../../tensor/tensor.js'
import { type Tree, tensorsIn } from '../../tensor/tree.js'
import type { Stepped } from '../carrier.js'
import { needIndices, needList, needStack, refused } from '../need.js'
import type { Stack, Write } from '../stack.js'
import { type Instead, steppingBy } from './trace.js'

/**
 * Runs the synchronous `fn` while the writes of the given layers along depth are left out: state and readout pass them unchanged.
 * Source: Veit et al. 2016. Errors: `ERR_ARGUMENT` for a layer that is not there, or a carrier that fills both axes.
 */
export function lesioned<T>(stack: Stack, layers: Iterable<number>, fn: () => T): T {
  needStack(stack, 'axis.lesioned')
  const left = new Set(needIndices(layers, 'axis.lesioned', 'a layer', stack.layers))
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
  needStack(stack, op)
  const layers = needIndices(order, op, 'a layer', stack.layers)
  if (new Set(layers).size !== stack.layers || layers.length !== stack.layers)
    throw refused(
      op,
      `order must be a permutation of 0 … ${stack.layers - 1}`,
      `a permutation of ${stack.layers} layers`,
      layers,
    )
  if (stack.tied) return synchronous(fn, op)
  const writes = stack.writes as Write[]
  const [before, per] = [[...writes], stack.perLayer]
  for (const [k, layer] of layers.entries()) {
    for (let i = 0; i < per; i++) writes[k * per + i] = before[layer * per + i] as Write
  }
  try {
    return synchronous(fn, op)
  } finally {
    writes.splice(0, writes.length, ...before)
  }
}

/** The lesion along time: x [B, T, …] without the given steps. */
export function withoutSteps(x: Tensor, steps: Iterable<number>): Tensor {
  const op = 'axis.withoutSteps'
  needTensor(x, op, 'the input')
  if (!(x.rank >= 2)) throw new ShapeError(`${op}: the input must be [B, T, …], got ${show(x.shape)}`, { op })
  const length = x.shape[1] as number
  const left = new Set(needIndices(steps, op, 'a step', length))
  const kept = Array.from({ length }, (_, t) => t).filter((t) => !left.has(t))
  if (kept.length === 0) throw new ArgumentError(`${op}: no step is left`, { op, expected: 'a step that stays' })
  return cat(
    kept.map((t) => x.slice(1, t, t + 1)),
    1,
  )
}

/** Kendall's τ of an order against 0, 1, 2, …: 1 for the same, −1 for the reverse. */
export function kendallTau(order: readonly number[]): number {
  needList(order, 'axis.kendallTau', 'order', 'numbers', (place) => typeof place === 'number')
  let sum = 0
  for (const [i, a] of order.entries()) for (const b of order.slice(i + 1)) sum += Math.sign(b - a)
  return sum / ((order.length * (order.length - 1)) / 2)
}
