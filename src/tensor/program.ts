// Sub-programs: functions recorded once and run again by the engine: checkpoint, customGrad, scan.
import { ArgumentError, CaptureError, ShapeError } from '../errors.js'
import { needFunction, needOptions } from './options.js'
import { into, newId, newSink, write } from './queue.js'
import {
  type Handle,
  inputId,
  type Meta,
  needTensor,
  type Program,
  type Result,
  record,
  withProgram,
} from './record.js'
import { synchronous } from './scope.js'
import { axis as checkAxis, sameShape, show, without } from './shape.js'
import { Tensor } from './tensor.js'
import { leaves, rebuild, type Tree } from './tree.js'
import { Variable } from './variable.js'

/** A function as the engine knows it. @internal */
export interface Recorded {
  id: number
  outputs: Meta[]
  /** The form in which the function returned its outputs. */
  form: unknown
  /** Variables of the outside that it uses: they are inputs after the declared ones. */
  captured: Variable[]
}

class Recording implements Program {
  readonly captured = new Map<number, Variable>()

  constructor(
    readonly op: string,
    readonly liftsVariables: boolean,
  ) {}

  capture(handle: Handle, op: string): number {
    if (this.liftsVariables && handle instanceof Variable) {
      this.captured.set(handle.id, handle)
      return handle.id
    }
    throw new CaptureError(
      `${op}: a value from outside is used within ${this.op}; pass it as an input${this.liftsVariables ? ' (only Variables are taken in by themselves)' : ''}`,
      { op: this.op, expected: 'declared inputs', got: String(handle) },
    )
  }
}

/** Records `fn` over placeholders for `inputs` and defines it in the engine; `captured` variables join the inputs at `position`. @internal */
export function define(
  op: string,
  inputs: readonly (Meta & { requiresGrad: boolean })[],
  fn: (placeholders: Tensor[]) => unknown,
  position = inputs.length,
  liftsVariables = true,
): Recorded {
  const recording = new Recording(op, liftsVariables)
  const sink = newSink('program')
  const placeholders = inputs.map(
    ({ shape, dtype, device, requiresGrad }) =>
      new Tensor({ id: newId(), shape, dtype, device, requiresGrad, program: recording, lane: 0, bytes: 0 }),
  )
  const { form, outputs, outputIds } = into(sink, () =>
    withProgram(recording, () => {
      const form = synchronous(() => fn(placeholders), op)
      const outputs = leaves(form, op)
      return { form, outputs, outputIds: outputs.map((output) => inputId(output, op)) }
    }),
  )
  const ids = placeholders.map(({ id }) => id)
  const inputIds = [...ids.slice(0, position), ...recording.captured.keys(), ...ids.slice(position)]
  const id = newId()
  const words = [id, inputIds.length, ...inputIds, outputIds.length, ...outputIds].concat(Array.from(sink.words.view()))
  write('define', 0, [], [], words)
  return { id, outputs: outputs.map(meta), form, captured: [...recording.captured.values()] }
}

function meta({ shape, dtype, device }: Meta): Meta {
  return { shape, dtype, device }
}

/** The outputs in the form in which the recorded function returned them. */
function shaped<T>(form: T, results: readonly Result[]): T {
  let next = 0
  return rebuild(form, () => new Tensor(results[next++] as Result))
}

/** What runs or waits to run keeps the program; nothing else can name it any more. @internal */
export function forget({ id }: Recorded): void {
  write('undefine', 0, [], [], [id])
}

/**
 * `fn(...inputs)`, keeping only the inputs for the backward pass, which computes `fn` again: memory for time.
 * `fn` is synchronous and uses its inputs and Variables; other values from outside throw `ERR_CAPTURE`. Dropout repeats its mask.
 */
export function checkpoint<A extends readonly Tensor[], T extends Tree>(fn: (...inputs: A) => T, ...inputs: A): T {
  needFunction(fn, 'checkpoint')
  for (const input of inputs) needTensor(input, 'checkpoint')
  const recorded = define('checkpoint', inputs, (placeholders) => fn(...(placeholders as unknown as A)))
  const results = record('checkpoint', [...inputs, ...recorded.captured], {
    metas: recorded.outputs,
    program: recorded.id,
  })
  forget(recorded)
  return shaped(recorded.form as T, results)
}

/** What a backward function is given. */
export interface BackwardContext {
  inputs: Tensor[]
  outputs: Tensor[]
  /** The gradient of the loss for each output. */
  gradients: Tensor[]
}

/**
 * A function with a gradient of your own. `backward` returns the gradient of the loss for each input, `undefined` where there is none; it may be
 * differentiated again. Both are synchronous and use only what they are given.
 */
export function customGrad<A extends readonly Tensor[], T extends Tree>(
  forward: (...inputs: A) => T,
  backward: (context: BackwardContext) => readonly (Tensor | undefined)[],
): (...inputs: A) => T {
  return (...inputs) => {
    const ahead = define(
      'customGrad',
      inputs,
      (placeholders) => forward(...(placeholders as unknown as A)),
      inputs.length,
      false,
    )
    const given = [...inputs, ...ahead.outputs, ...ahead.outputs].map((m) => ({ ...meta(m), requiresGrad: true }))
    const back = defineBackward(given, inputs, ahead.outputs.length, backward)
    const results = record('customGrad', inputs, { metas: ahead.outputs, forward: ahead.id, backward: back.id })
    forget(ahead)
    forget(back)
    return shaped(ahead.form as T, results)
  }
}

/** The backward program: absent gradients become zeros, so that it has one output per input. */
function defineBackward(
  given: readonly (Meta & { requiresGrad: boolean })[],
  inputs: readonly Tensor[],
  outputs: number,
  backward: (context: BackwardContext) => readonly (Tensor | undefined)[],
): Recorded {
  const n = inputs.length
  return define(
    'customGrad',
    given,
    (all) => {
      const gradients = backward({
        inputs: all.slice(0, n),
        outputs: all.slice(n, n + outputs),
        gradients: all.slice(n + outputs),
      })
      if (!Array.isArray(gradients) || gradients.length !== n) {
        throw new ArgumentError(`customGrad: backward must return one gradient (or undefined) per input, ${n} in all`, {
          op: 'customGrad',
          expected: String(n),
        })
      }
      return (gradients as readonly (Tensor | undefined)[]).map((gradient, i) => {
        const input = all[i] as Tensor
        if (gradient === undefined) return input.mul(0)
        if (!sameShape(gradient.shape, input.shape)) {
          throw new ShapeError(`customGrad: gradient ${i} must be ${show(input.shape)}, got ${show(gradient.shape)}`, {
            op: 'customGrad',
            expected: show(input.shape),
            got: show(gradient.shape),
          })
        }
        return gradient
      })
    },
    given.length,
    false,
  )
}

export interface ScanOptions<C> {
  /** The axis of `xs` that is walked, and of the outputs that is made (default 1: time in [B, T, …]). */
  axis?: number
  /** From the end to the start. */
  reverse?: boolean
  /** Values that every step uses, passed to `body` as its third argument. */
  constants?: C
}

/**
 * Runs `body` once per position of an axis, carrying a state: a recurrence of your own, recorded once and run by the engine.
 *
 * `body(state, x, constants)` returns the next state, of the same form, shapes and dtypes, and an output, which is stacked along the axis.
 * Variables are taken in by themselves; other values from outside are declared as `constants`.
 *
 * @throws ShapeError where the state changes its form; CaptureError for undeclared values.
 */
export function scan<S extends Tree, X extends Tree, Y extends Tree, C extends Tree = readonly []>(
  body: (state: S, x: X, constants: C) => { state: S; output: Y },
  init: S,
  xs: X,
  options: ScanOptions<C> = {},
): { state: S; output: Y } {
  needFunction(body, 'scan', 'body')
  const { axis = 1, reverse = false, constants = [] as unknown as C } = needOptions(options, 'scan')
  const states = leaves(init, 'scan')
  const sequences = leaves(xs, 'scan')
  const fixed = leaves(constants, 'scan')
  const along = scanAxis(sequences, axis)
  const slices = sequences.map((x) => ({
    ...meta(x),
    shape: without(x.shape, along.axis),
    requiresGrad: x.requiresGrad,
  }))
  const carried = states.map((s) => ({ ...meta(s), requiresGrad: true }))
  const recorded = define(
    'scan',
    [...fixed, ...carried, ...slices],
    (all) => {
      let next = fixed.length
      const state = rebuild(init, () => all[next++] as Tensor)
      const x = rebuild(xs, () => all[next++] as Tensor)
      next = 0
      const result = body(
        state,
        x,
        rebuild(constants, () => all[next++] as Tensor),
      )
      checkState(states, leaves(result.state, 'scan'))
      return [result.state, result.output]
    },
    fixed.length,
  )
  const final = recorded.outputs.slice(0, states.length)
  const stacked = recorded.outputs
    .slice(states.length)
    .map((m) => ({ ...m, shape: withStep(m, along.axis, along.steps) }))
  const results = record('scan', [...fixed, ...recorded.captured, ...states, ...sequences], {
    metas: [...final, ...stacked],
    program: recorded.id,
    constants: fixed.length + recorded.captured.length,
    states: states.length,
    sequences: sequences.length,
    axis: along.axis,
    reverse,
  })
  forget(recorded)
  const [state, output] = shaped(recorded.form as [S, Y], results)
  return { state, output }
}

function scanAxis(sequences: readonly Tensor[], axis: number): { axis: number; steps: number } {
  const first = sequences[0]
  if (first === undefined)
    throw new ArgumentError('scan: at least one sequence is needed', { op: 'scan', expected: 'sequences', got: 'none' })
  const at = checkAxis(axis, first.rank, 'scan')
  const steps = first.shape[at] as number
  for (const x of sequences) {
    if (x.shape[at] !== steps) {
      throw new ShapeError(`scan: every sequence must have ${steps} steps along axis ${at}, got ${show(x.shape)}`, {
        op: 'scan',
        expected: String(steps),
        got: show(x.shape),
      })
    }
  }
  return { axis: at, steps }
}

function withStep({ shape }: Meta, axis: number, steps: number): number[] {
  if (axis > shape.length)
    throw new ShapeError(`scan: an output of shape ${show(shape)} has no place for axis ${axis}`, {
      op: 'scan',
      got: show(shape),
    })
  return [...shape.slice(0, axis), steps, ...shape.slice(axis)]
}

function checkState(before: readonly Tensor[], after: readonly Tensor[]): void {
  const same =
    before.length === after.length &&
    before.every((s, i) => sameShape(s.shape, after[i]?.shape ?? [-1]) && s.dtype === after[i]?.dtype)
  if (same) return
  const text = (all: readonly Tensor[]): string => all.map(({ dtype, shape }) => `${dtype} ${show(shape)}`).join(', ')
  throw new ShapeError(`scan: the state must keep its form: it was ${text(before)}, the body returned ${text(after)}`, {
    op: 'scan',
    expected: text(before),
    got: text(after),
  })
}
