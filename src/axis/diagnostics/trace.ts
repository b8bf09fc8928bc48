// Traces: the carried state at every step along an axis, kept so that gradients can be taken for it.
import { ArgumentError } from '../../errors.js'
import { Module } from '../../nn/module.js'
import { unscope } from '../../tensor/lifetime.js'
import { synchronous } from '../../tensor/scope.js'
import { Tensor } from '../../tensor/tensor.js'
import { rebuild, type Tree, tensorsIn } from '../../tensor/tree.js'
import { Variable } from '../../tensor/variable.js'
import { broken, type Carrier, type Context, type Stepped } from '../carrier.js'
import { needList, needSequence, needStack, refused } from '../need.js'
import type { Stack } from '../stack.js'

/** States s_0 … s_K of one run; each is a list of tensors whose first axis is the rows. */
export interface Trace {
  readonly axis: 'time' | 'depth' | 'modules'
  /** What the points are called: `layer 3`, `step 17`, or the path of a module. */
  readonly names: readonly string[]
  readonly points: readonly (readonly Tensor[])[]
}

/** Called in place of a carrier's step along depth. */
export type Instead = (
  carrier: Carrier,
  parameters: object,
  state: Tree,
  input: Tensor,
  context: Context,
) => Stepped<Tree>

/** Runs `fn` while every step along depth of `stack` goes through `instead`. */
export function steppingBy<T>(stack: Stack, op: string, instead: Instead, fn: () => T): T {
  const carrier = stack.alongDepth
  if (carrier === undefined) throw broken(stack.alongTime, `it fills both axes: ${op} needs a carrier along depth`)
  const writable = stack as { alongDepth: Carrier | undefined }
  writable.alongDepth = {
    ...carrier,
    step: (parameters, state, input, context) => instead(carrier, parameters, state, input, context),
  }
  try {
    return fn()
  } finally {
    writable.alongDepth = carrier
  }
}

/**
 * Along depth: s_0 as it enters, then after every write. x [B, T, width]; rows are the B·T positions. Gradients of the points are those of one run of
 * `stack.run`. Errors: `ERR_ARGUMENT` for a carrier that fills both axes or whose state grows (its points are no states of one shape).
 */
export function traceDepth(stack: Stack, x: Tensor): Trace {
  needSequence(x, needStack(stack, 'axis.traceDepth'), 'axis.traceDepth')
  if (stack.alongDepth?.grows) throw grown(stack.alongDepth)
  const points: Tensor[][] = []
  const observe: Instead = (carrier, parameters, state, input, context) => {
    let before = state
    if (context.index === 0) {
      before = leaves(state)
      points.push(tensorsIn(before))
    }
    const next = carrier.step(parameters, before, input, context) as Stepped<Tree>
    for (const part of tensorsIn(next.state)) unscope(part)
    points.push(tensorsIn(next.state))
    return next
  }
  steppingBy(stack, 'axis.traceDepth', observe, () => stack.run(x))
  return { axis: 'depth', names: points.map((_, k) => `layer ${k}`), points }
}

/** Along time: the states of all layers before the first step and after each. x [B, T, width]; rows are the B rows. Errors: as `traceDepth`. */
export function traceTime(stack: Stack, x: Tensor): Trace {
  needSequence(x, needStack(stack, 'axis.traceTime'), 'axis.traceTime')
  if (stack.alongTime.grows) throw grown(stack.alongTime)
  const [batch, steps] = x.shape as [number, number]
  const start = stack.initialState({ batch })
  let state = { ...start, time: leaves(start.time as Tree) as readonly Tree[] }
  const points = [tensorsIn(state.time)]
  for (let t = 0; t < steps; t++) {
    state = stack.step(x.select(1, t), state).state
    points.push(tensorsIn(state.time))
  }
  return { axis: 'time', names: points.map((_, t) => `step ${t}`), points }
}

/**
 * Of any module: what the modules at `paths` (as `namedModules` has them) gave, in that order, while `run` ran. A result that is an object counts by
 * its `output`. A module that runs more than once counts by its last run. Errors: `ERR_ARGUMENT` for a path that is not there or did not run.
 */
export function traceModules(module: Module, paths: readonly string[], run: () => unknown): Trace {
  const op = 'axis.traceModules'
  if (!(module instanceof Module)) throw refused(op, 'needs a module', 'a module', module)
  needList(paths, op, 'paths', 'paths of modules', (path) => typeof path === 'string')
  const named = module.namedModules()
  const seen = new Map<string, Tensor>()
  const watched = paths.map((path) => {
    const part = named.get(path)
    if (part === undefined)
      throw new ArgumentError(`${op}: there is no module ${path}; there are ${[...named.keys()].join(', ')}`, {
        op,
        expected: 'a path of namedModules',
        got: path,
      })
    const runs = part as Module & { forward: (...inputs: never[]) => unknown }
    if (typeof runs.forward !== 'function') throw refused(op, `${path} must have a forward`, 'a forward', runs.forward)
    return runs
  })
  for (const [i, part] of watched.entries()) {
    const forward = part.forward
    part.forward = (...inputs) => {
      const result = forward.apply(part, inputs)
      const output = result instanceof Tensor ? result : (result as { output?: unknown })?.output
      if (output instanceof Tensor) {
        unscope(output)
        seen.set(paths[i] as string, output)
      }
      return result
    }
  }
  try {
    synchronous(run, op)
  } finally {
    // The own property that shadowed the method goes again.
    for (const part of watched) Reflect.deleteProperty(part, 'forward')
  }
  const points = paths.map((path) => {
    const output = seen.get(path)
    if (output === undefined)
      throw new ArgumentError(`${op}: ${path} did not run, or gave no tensor`, { op, expected: 'a tensor', got: path })
    return [output]
  })
  return { axis: 'modules', names: [...paths], points }
}

/** A trace of one of the three functions above, or one of the same form. */
export function needTrace(trace: Trace, op: string): Trace {
  const points = (trace as Trace | null | undefined)?.points
  const whole = (parts: unknown): boolean =>
    Array.isArray(parts) && parts.length > 0 && parts.every((part) => part instanceof Tensor)
  if (Array.isArray(points) && points.length > 0 && points.every(whole)) return trace
  throw refused(op, 'needs a trace', 'a trace, as axis.traceDepth gives it', trace)
}

/** Copies that gradients are taken for. */
function leaves(state: Tree): Tree {
  const parts = tensorsIn(state)
  let next = 0
  return rebuild(state, () => new Variable((parts[next++] as Tensor).detach()))
}

function grown(carrier: Carrier): Error {
  return broken(carrier, 'its state grows with the steps: there is no Jacobian from one state to another')
}
