// Carrier: how a stream is carried on along an axis. One concept for time and depth; stack.ts puts carriers along the two.
import { ArgumentError, type ErrorDetails, type QuarterturnError, ShapeError } from '../errors.js'
import type { LayerNorm } from '../nn/layer-norm.js'
import type { RMSNorm } from '../nn/rms-norm.js'
import { needOptions } from '../tensor/options.js'
import { sameShape, show } from '../tensor/shape.js'
import { Tensor } from '../tensor/tensor.js'
import { rebuild, type Tree, tensorsIn } from '../tensor/tree.js'
import { told } from '../told.js'

/** The two axes; `both` is a cell that fills the grid of time and depth by itself. */
export type Axis = 'time' | 'depth' | 'both'

/** What parameters are made for. */
export interface Sizes {
  width: number
  /** K: steps along depth that have parameters. */
  layers: number
  /** The step along depth, 0 … K−1. */
  index: number
  axis: Axis
  /** Whether one set serves every step along depth. */
  tied: boolean
}

/** What an initial state is made for: `batch` rows. */
export interface StateSizes {
  batch: number
  width: number
  layers: number
}

/** What a layer normalises its input with. */
export type Norm = LayerNorm | RMSNorm

/** What a step may know beside its inputs. */
export interface Context {
  axis: Axis
  /** The step along depth, and how many there are. */
  index: number
  layers: number
  training: boolean
  /** Random numbers of this step, [B, width], where the carrier asks for them; drawn outside, since a recorded step is run again as it was. */
  noise?: Tensor | undefined
}

/** A row of the table: s' = φ(a ⊙ s + b ⊙ v). */
export interface Row {
  a: string
  b: string
  /** φ, where it is not the identity. */
  phi?: string
  /** The readout r = o ⊙ ρ(s), where it is not s itself. */
  readout?: string
}

/** A parallel form: `scan` is a linear recurrence of the kernels, `chunked` products within chunks, `direct` one product over all steps. */
export type ParallelForm = 'scan' | 'chunked' | 'direct'
export type Form = 'recurrent' | ParallelForm

export interface Stepped<S> {
  state: S
  output: Tensor
}

/** Tensors keep their place in a state, whatever dtype they were made in. */
export type Loose<S> = S extends Tensor ? Tensor : { [K in keyof S]: S[K] extends Tensor ? Tensor : S[K] }

/**
 * How a stream is carried on. Along time the input is x_t and the output is handed upwards; along depth the input is what the layer writes, and the
 * output is what the next layer reads. `P` are the parameters of one layer, `S` is the state: tensors whose first axis is the rows.
 */
export interface Carrier<P extends object = object, S extends Tree = Tree> {
  readonly name: string
  /** s' and r in one line. */
  readonly equation: string
  readonly source: string
  readonly axes: readonly Axis[]
  readonly row: Row
  /** Why it has no place on the other axis. */
  readonly only?: string
  /** The form that bears the same name on another axis: softmax attention has one on each. */
  other?(axis: Axis): Carrier | undefined
  /** Whether the state grows with the steps: the cost of a step then does, too. @default false */
  readonly grows?: boolean
  /** Whether s' is affine in s: `check` holds it to that. @default false */
  readonly linear?: boolean
  /** Whether a layer writes from a normalised stream where this is along depth. @default true */
  readonly preNorm?: boolean
  readonly parallelForm?: ParallelForm
  parameters(sizes: Sizes): P
  initialState(sizes: StateSizes): S
  /** The state along depth where the stream x [N, width] enters it. By default every part of its shape becomes x. */
  enter?(x: Tensor, parameters: P): S
  step(parameters: P, state: S, input: Tensor, context: Context): Stepped<S>
  /** What `step` gives for the input normalised first, in as few operations as the engine has for it. */
  stream?(parameters: P, state: S, input: Tensor, norm: Norm | undefined): Stepped<S>
  /** All steps of x [B, T, width] at once. */
  parallel?(parameters: P, input: Tensor, state: S, context: Context): Stepped<S>
  /** All steps one after the other in a kernel: the recurrent form where the engine has one. */
  kernel?(parameters: P, input: Tensor, state: S, context: Context): Stepped<S>
  /** Random numbers for all steps of `rows`, [B, T, width]. */
  noise?(rows: readonly [batch: number, steps: number, width: number], context: Context): Tensor | undefined
  /** Multiply-adds times two of one step, of one row; `steps` matters where the state grows. */
  flops(sizes: { width: number; steps: number }): number
}

/** An error that names the carrier and the rule it breaks. */
export function broken(
  carrier: { name: string },
  rule: string,
  details: Omit<ErrorDetails, 'op'> = {},
  shape = false,
): QuarterturnError {
  const op = `axis.${carrier.name}`
  return new (shape ? ShapeError : ArgumentError)(`${op}: ${rule}`, { op, ...details })
}

/** A carrier, whether of the library or of one's own. */
export function needCarrier(value: unknown, op: string, name: string): Carrier {
  const given = value as Partial<Carrier> | null | undefined
  const methods = ['parameters', 'initialState', 'step', 'flops'] as const
  if (
    typeof given === 'object' &&
    typeof given?.name === 'string' &&
    Array.isArray(given.axes) &&
    methods.every((method) => typeof given[method] === 'function')
  )
    return given as Carrier
  const [expected, got] = ['a carrier, such as axis.lstm()', told(value)]
  throw new ArgumentError(`${op}: ${name} must be ${expected}, got ${got}`, { op, expected, got })
}

/** What a carrier of one's own consists of; only the first four are needed. */
export interface CustomCarrier<P extends object, S extends Tree> {
  name: string
  parameters(sizes: Sizes): P
  initialState(sizes: StateSizes): S
  step(parameters: P, state: Loose<S>, input: Tensor, context: Context): { state: Loose<S>; output: Tensor }
  parallel?(parameters: P, input: Tensor, state: Loose<S>, context: Context): { state: Loose<S>; output: Tensor }
  enter?(x: Tensor, parameters: P): Loose<S>
  equation?: string
  source?: string
  row?: Row
  axes?: readonly ('time' | 'depth')[]
  linear?: boolean
  grows?: boolean
  flops?(sizes: { width: number; steps: number }): number
}

/**
 * A carrier of one's own, for both axes: one step, run under `scan` along time and layer by layer along depth. Returns a factory, as those of
 * the library are. `step` uses its arguments and parameters; of other values only numbers.
 *
 * @throws ArgumentError (`ERR_ARGUMENT`) where a part is missing; shapes are checked when a Stack uses it, and by `axis.check`.
 *
 * @example
 * const leaky = axis.carrier({
 *   name: 'leaky',
 *   parameters: ({ width }) => ({ decay: nn.init.uniform([width], 1, 4), write: new nn.Linear(width, width) }),
 *   initialState: ({ batch, width }) => zeros([batch, width]),
 *   step: ({ decay, write }, state, input) => {
 *     const d = sigmoid(decay)
 *     const next = d.mul(state).add(d.neg().add(1).mul(write.forward(input)))
 *     return { state: next, output: next }
 *   },
 * })
 * const net = new axis.Stack({ width: 8, layers: 2, alongTime: leaky(), alongDepth: axis.highway() })
 * net.forward(zeros([4, 10, 8])).shape   // [4, 10, 8]
 */
export function carrier<P extends object, S extends Tree>(given: CustomCarrier<P, S>): () => Carrier<P, S> {
  const custom = needOptions(given, 'axis.carrier')
  const { name } = custom
  const needed = ['parameters', 'initialState', 'step'] as const
  const missing =
    typeof name === 'string' && name !== '' ? needed.find((key) => typeof custom[key] !== 'function') : 'name'
  if (missing !== undefined) {
    const op = 'axis.carrier'
    throw new ArgumentError(`${op}: ${missing} is missing: a carrier has a name, parameters, initialState and step`, {
      op,
      expected: 'name, parameters, initialState, step',
      got: `no ${missing}`,
    })
  }
  for (const key of ['parallel', 'enter', 'flops'] as const) {
    if (custom[key] !== undefined && typeof custom[key] !== 'function')
      throw broken(custom, `${key} must be a function, got ${told(custom[key])}`)
  }
  const { axes = ['time', 'depth'] } = custom
  if (!Array.isArray(axes) || axes.length === 0 || !axes.every((each) => each === 'time' || each === 'depth'))
    throw broken(custom, `axes must be an array of 'time' and 'depth', got ${told(axes)}`)
  const made = {
    axes,
    equation: 'of your own',
    source: 'of your own',
    row: { a: 'custom', b: 'custom' },
    flops: () => Number.NaN,
    ...(custom.parallel && { parallelForm: 'scan' as const }),
    ...custom,
  } as unknown as Carrier<P, S>
  return () => made
}

/** The state with every tensor in the dtype and on the device of `like`. */
export function placed<S extends Tree>(state: S, like: Tensor): S {
  const parts = tensorsIn(state).map((part) =>
    part.dtype === like.dtype && part.device === like.device ? part : part.to(like.dtype, like.device),
  )
  let next = 0
  return rebuild(state, () => parts[next++] as Tensor)
}

/** Where the stream x [N, width] enters along depth. */
export function entered<P extends object, S extends Tree>(carrier: Carrier<P, S>, x: Tensor, parameters: P): S {
  if (carrier.enter) return carrier.enter(x, parameters)
  const [batch, width] = x.shape as [number, number]
  const empty = carrier.initialState({ batch, width, layers: 1 })
  const all = tensorsIn(empty)
  if (all.some(({ shape }) => shape.length !== 2 || shape[0] !== batch || shape[1] !== width))
    throw broken(
      carrier,
      'along depth a state must be of the stream’s shape [batch, width], or `enter` say how it enters',
    )
  return rebuild(empty, () => x)
}

/** One step, whose output must be of the width and whose state keeps its form unless it grows. */
export function stepped<P extends object, S extends Tree>(
  carrier: Carrier<P, S>,
  parameters: P,
  state: S,
  input: Tensor,
  context: Context,
): Stepped<S> {
  const result = carrier.step(parameters, state, input, context)
  checkOutput(carrier, result, input)
  if (!carrier.grows) {
    const [before, after] = [tensorsIn(state), tensorsIn(result.state)]
    const form = (parts: Tensor[]): string => parts.map(({ shape, dtype }) => `${dtype} ${show(shape)}`).join(', ')
    const alike = (a: Tensor, b: Tensor | undefined): boolean => a.dtype === b?.dtype && sameShape(a.shape, b.shape)
    if (before.length !== after.length || !before.every((part, i) => alike(part, after[i])))
      throw broken(
        carrier,
        `step must return a state of the form it was given: ${form(before)}, got ${form(after) || 'none'}`,
        { expected: form(before), got: form(after) },
        true,
      )
  }
  return result
}

/** Outputs have the shape of inputs: the stream keeps its width. */
export function checkOutput(carrier: { name: string }, result: Stepped<unknown>, input: Tensor): void {
  const output: unknown = result?.output
  if (output instanceof Tensor && sameShape(output.shape, input.shape)) return
  const got = output instanceof Tensor ? show(output.shape) : 'no tensor'
  const expected = show(input.shape)
  throw broken(carrier, `step must return an output of ${expected}, got ${got}`, { expected, got }, true)
}
