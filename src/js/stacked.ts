// What all recurrent layers share: how layers and directions are put together, whatever one layer is made of.
import { OutOfRangeError } from '../errors.js'
import { Layer, needElements, needGradient, wrongShape } from './layer.js'
import { type Shape, show, whole } from './parameter.js'
import { Workspace } from './workspace.js'

export interface StackedOptions {
  /** Layers K, each over the output of the one before. @default 1 */
  numLayers?: number
  /** @default true */
  bias?: boolean
  /** D = 2: a second set of weights runs from the last step to the first; outputs are joined. @default false */
  bidirectional?: boolean
}

/** The state after the last step, or before the first: each part [K·D, B, H]. */
export interface State {
  h: Float32Array
  /** Of an LSTM. */
  c?: Float32Array
}

export interface ForwardOptions {
  /** Absent: zeros. It takes no gradient. */
  state?: State
  /** The number of steps of each row, 0 … T: later ones give output 0 and touch neither state nor gradient. Absent: all steps. */
  lengths?: readonly number[]
}

/** A part of a wider array: the columns `at` … of rows of `stride` elements. */
export interface Columns {
  data: Float32Array
  at: number
  stride: number
}

/** What one pass goes over. */
export interface Sequence {
  batch: number
  steps: number
  lengths: readonly number[] | undefined
  reverse: boolean
}

/** One layer in one direction. */
export interface Pass {
  /** The state, [B, H] each: set before `forward`, and the last one after it. Only an LSTM has `c`. */
  readonly h: Workspace
  readonly c: Workspace | undefined
  /** x [B·T, I] → out [B·T, H] */
  forward(x: Float32Array, out: Columns, sequence: Sequence): void
  /** Adds to dx [B·T, I], where that is there, and to the gradients of its parameters. */
  backward(dx: Float32Array | undefined, dOut: Columns, sequence: Sequence): void
  parameters(): Record<string, unknown>
}

/** Layers and directions of one kind of recurrence: x [B, T, I] → output [B, T, D·H]; `state` holds the last states. */
export abstract class Stacked extends Layer {
  readonly inputSize: number
  readonly hiddenSize: number
  readonly numLayers: number
  readonly bidirectional: boolean
  /** After the last step that counts of the last forward pass. */
  state: State = { h: new Float32Array(0) }
  readonly #op: string
  readonly #passes: Pass[]
  readonly #outputs: Workspace[]
  readonly #gradients: Workspace[]
  #sequence: Sequence = { batch: 0, steps: -1, lengths: undefined, reverse: false }

  protected constructor(
    op: string,
    inputSize: number,
    hiddenSize: number,
    { numLayers = 1, bidirectional = false }: StackedOptions,
    make: (inputSize: number) => Pass,
  ) {
    super()
    this.#op = op
    this.inputSize = whole(inputSize, 'inputSize', op)
    this.hiddenSize = whole(hiddenSize, 'hiddenSize', op)
    this.numLayers = whole(numLayers, 'numLayers', op)
    this.bidirectional = bidirectional
    const directions = bidirectional ? 2 : 1
    this.#passes = Array.from({ length: numLayers * directions }, (_, i) =>
      make(i < directions ? inputSize : directions * hiddenSize),
    )
    this.#outputs = Array.from({ length: numLayers }, () => new Workspace())
    this.#gradients = Array.from({ length: numLayers }, () => new Workspace())
  }

  /** The keys of torch: `weight_ih_l0`, `bias_hh_l1_reverse`. */
  protected override *members(): Iterable<readonly [string, unknown]> {
    const directions = this.bidirectional ? 2 : 1
    for (const [i, pass] of this.#passes.entries()) {
      const suffix = `l${Math.floor(i / directions)}${i % directions === 1 ? '_reverse' : ''}`
      for (const [name, parameter] of Object.entries(pass.parameters())) yield [`${name}_${suffix}`, parameter]
    }
  }

  forward(x: Float32Array, shape: Shape, { state, lengths }: ForwardOptions = {}): Float32Array {
    const [batch, steps] = this.#check(x, shape, state, lengths)
    const directions = this.bidirectional ? 2 : 1
    const part = batch * this.hiddenSize
    const stride = directions * this.hiddenSize
    this.#sequence = { batch, steps, lengths, reverse: false }
    let input = x
    for (let k = 0; k < this.numLayers; k++) {
      const data = (this.#outputs[k] as Workspace).take(batch * steps * stride)
      for (let d = 0; d < directions; d++) {
        const i = k * directions + d
        const pass = this.#passes[i] as Pass
        start(pass.h.take(part), state?.h, i)
        if (pass.c !== undefined) start(pass.c.take(part), state?.c, i)
        pass.forward(input, { data, at: d * this.hiddenSize, stride }, { ...this.#sequence, reverse: d === 1 })
      }
      input = data
    }
    this.#keepState(part)
    this.outputShape = [batch, steps, stride]
    return input
  }

  backward(dy: Float32Array, inputGradient = true): Float32Array {
    const { batch, steps } = this.#sequence
    const directions = this.bidirectional ? 2 : 1
    const stride = directions * this.hiddenSize
    needGradient(this.#op, dy, steps < 0 ? -1 : batch * steps, stride)
    let gradient = dy
    for (let k = this.numLayers - 1; k >= 0; k--) {
      const width = k === 0 ? this.inputSize : stride
      const needed = k > 0 || inputGradient
      const dx = (this.#gradients[k] as Workspace).zeros(needed ? batch * steps * width : 0)
      for (let d = 0; d < directions; d++) {
        const columns = { data: gradient, at: d * this.hiddenSize, stride }
        const pass = this.#passes[k * directions + d] as Pass
        pass.backward(needed ? dx : undefined, columns, { ...this.#sequence, reverse: d === 1 })
      }
      gradient = dx
    }
    this.#sequence = { ...this.#sequence, steps: -1 }
    return gradient
  }

  /** `state` becomes the last states of all passes. */
  #keepState(part: number): void {
    const size = this.#passes.length * part
    const parts = this.state.h.length === size ? this.state : { h: new Float32Array(size) }
    const withCells = this.#passes[0]?.c !== undefined
    if (withCells && parts.c === undefined) parts.c = new Float32Array(size)
    for (const [i, { h, c }] of this.#passes.entries()) {
      parts.h.set(h.take(part), i * part)
      if (c !== undefined) parts.c?.set(c.take(part), i * part)
    }
    this.state = parts
  }

  #check(
    x: Float32Array,
    shape: Shape,
    state: State | undefined,
    lengths: readonly number[] | undefined,
  ): [batch: number, steps: number] {
    const op = this.#op
    const [batch, steps, width] = shape as [number, number, number]
    if (shape.length !== 3 || width !== this.inputSize)
      throw wrongShape(op, 'input', `[B, T, I=${this.inputSize}]`, show(shape))
    needElements(op, x, shape)
    const size = this.#passes.length * batch * this.hiddenSize
    for (const name of ['h', 'c'] as const) {
      if (state === undefined || this.#passes[0]?.[name] === undefined || state[name]?.length === size) continue
      const expected = `the elements of [K·D=${this.#passes.length}, B=${batch}, H=${this.hiddenSize}]`
      throw wrongShape(op, `state.${name}`, expected, state[name] === undefined ? 'none' : `${state[name].length}`)
    }
    if (lengths !== undefined && lengths.length !== batch)
      throw wrongShape(op, 'lengths', `[B=${batch}]`, `[${lengths.length}]`)
    const wrong = lengths?.find((length) => !Number.isInteger(length) || length < 0 || length > steps)
    if (wrong !== undefined) {
      const expected = `whole numbers within 0 … T=${steps}`
      throw new OutOfRangeError(`${op}: lengths must be ${expected}, got ${String(wrong)}`, {
        op,
        expected,
        got: String(wrong),
      })
    }
    return [batch, steps]
  }
}

/** A pass begins at its part of the state, absent: zeros. */
function start(own: Float32Array, state: Float32Array | undefined, index: number): void {
  if (state === undefined) own.fill(0)
  else own.set(state.subarray(index * own.length, (index + 1) * own.length))
}
