// Stack: a carrier along time and a carrier along depth. The backbone that every cell of the table is built from.
import { ArgumentError, ShapeError } from '../errors.js'
import { dropout, gelu } from '../nn/functional.js'
import { LayerNorm } from '../nn/layer-norm.js'
import { Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { RMSNorm } from '../nn/rms-norm.js'
import { stack as joined } from '../tensor/functions.js'
import { needOptions } from '../tensor/options.js'
import { checkpoint } from '../tensor/program.js'
import { needTensor } from '../tensor/record.js'
import { scope } from '../tensor/scope.js'
import { show, whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { rebuild, type Tree, tensorsIn } from '../tensor/tree.js'
import { told } from '../told.js'
import {
  broken,
  type Carrier,
  type Context,
  entered,
  type Form,
  type Norm,
  placed,
  type Stepped,
  stepped,
} from './carrier.js'
import { overTime, overTimeAgain } from './sequence.js'
import { type Inject, OP, type StackOptions, settled } from './stack-options.js'

/** What a stream goes on from: one state of the time carrier for each layer. */
export interface StackState {
  /** Which stacks it fits. */
  readonly of: string
  readonly time: readonly Tree[]
}

/** One write of a layer and the step along depth that takes it up. */
export interface Write {
  norm?: Norm
  time?: object
  mlp?: { linear1: Linear; linear2: Linear }
  depth?: object
}

/**
 * L layers, each of which reads the stream r, mixes it along time and hands what it writes to the carrier along depth:
 * ```
 * v_k = time(norm(r_k))          s_(k+1), r_(k+1) = depth(s_k, v_k)          k = 0 … K−1, K = L, or 2·L with an MLP as every second write
 * ```
 * Shapes: x [B, T, width] → [B, T, width]. `step` takes x [B, width] and a state and gives what `forward` gives at that place.
 *
 * Errors: `ERR_ARGUMENT` for a carrier on an axis where it has no meaning, options that exclude each other, and a state of another stack;
 * `ERR_SHAPE` for widths that do not fit and for steps of wrong shape. Each names the carrier and the rule. Not in torch.
 * Source: each carrier names its own; one engine for both axes is ours.
 *
 * @example
 * const net = new axis.Stack({ width: 16, layers: 3, alongTime: axis.minLSTM(), alongDepth: axis.highway() })
 * net.forward(zeros([4, 10, 16])).shape   // [4, 10, 16]
 * const { output, state } = net.step(zeros([4, 16]), net.initialState({ batch: 4 }))
 */
export class Stack extends Module {
  readonly alongTime: Carrier
  /** None where one carrier fills both axes. */
  readonly alongDepth: Carrier | undefined
  readonly width: number
  readonly layers: number
  readonly tied: boolean
  readonly inject: Inject
  readonly dropout: number
  readonly norm: 'layer' | 'rms' | 'none'
  readonly mlp: number
  readonly checkpoint: 'time' | 'depth' | 'none'
  form: Form | 'auto'
  /** By step along depth; one layer's where tied. */
  readonly writes: readonly Write[]
  #signature: string | undefined

  constructor(given: StackOptions) {
    super()
    const options = settled(given)
    this.width = options.width
    this.layers = options.layers
    this.alongTime = options.alongTime
    this.alongDepth = options.alongDepth
    this.mlp = options.mlp
    this.norm = options.norm
    this.tied = options.tied
    this.inject = options.inject
    this.dropout = options.dropout
    this.form = options.form
    this.checkpoint = options.checkpoint
    this.writes = this.#make()
  }

  #make(): Write[] {
    const { width, layers, tied, alongTime, alongDepth } = this
    if (alongDepth === undefined)
      return [{ time: alongTime.parameters({ width, layers, index: 0, axis: 'both', tied }) }]
    const per = this.perLayer
    return Array.from({ length: (tied ? 1 : layers) * per }, (_, index) => {
      const sizes = { width, layers: layers * per, index, tied }
      const mixes = index % per === 0
      const hidden = Math.round(this.mlp * width)
      const write: Write = {}
      if (this.norm !== 'none') write.norm = this.norm === 'rms' ? new RMSNorm(width) : new LayerNorm(width)
      if (mixes) write.time = alongTime.parameters({ ...sizes, axis: 'time' })
      else write.mlp = { linear1: new Linear(width, hidden), linear2: new Linear(hidden, width) }
      write.depth = alongDepth.parameters({ ...sizes, axis: 'depth' })
      return write
    })
  }

  /** Writes of one layer: 2 with an MLP. */
  get perLayer(): 1 | 2 {
    return this.mlp > 0 ? 2 : 1
  }

  /** Which states fit. */
  get signature(): string {
    this.#signature ??= `${this.alongTime.name} × ${this.alongDepth?.name ?? 'itself'}, ${this.layers} layers of width ${this.width}`
    return this.#signature
  }

  /** The state before the first step: zeros, but for a carrier that says otherwise. */
  initialState(sizes: { batch: number }): StackState {
    const { alongTime, width, layers } = this
    const op = `${OP}.initialState`
    const rows = whole(needOptions(sizes, op, 'sizes').batch, 'batch', op, 1)
    const like = this.parameters()[0]
    const made = (): Tree => {
      const state = alongTime.initialState({ batch: rows, width, layers })
      return like === undefined ? state : placed(state, like)
    }
    const count = this.alongDepth === undefined ? 1 : layers
    return { of: this.signature, time: Array.from({ length: count }, made) }
  }

  /** x [B, T, width] → [B, T, width]; with `inject: 'sequence'` x [B, L, width] → what each layer hands on, [B, L, width]. */
  forward(x: Tensor): Tensor {
    return scope(() => this.run(x).output)
  }

  /** `forward` from a state, and the state after it. */
  run(x: Tensor, state?: StackState): { output: Tensor; state: StackState } {
    needTensor(x, OP, 'the input')
    if (x.rank !== 3 || x.shape[2] !== this.width || (x.shape[1] as number) < 1)
      throw this.#wrong('the input', `[B, T, width=${this.width}]`, show(x.shape))
    const [batch, steps] = x.shape as [number, number]
    const before = state === undefined ? this.initialState({ batch }) : this.#fitting(state, batch)
    if (this.inject === 'sequence') return this.#alongDepth(x, before)
    const rows = x.reshape([batch * steps, this.width])
    const mix: Mix = (write, r, add, old, context) => {
      const again = this.checkpoint === 'time' ? overTimeAgain : overTime
      const seq = readBy(write, r, add).reshape([batch, steps, this.width])
      const result = again(this.alongTime, write.time as object, seq, old, context, this.form)
      return { state: result.state, output: result.output.reshape([batch * steps, this.width]) }
    }
    const { outputs, time } = this.#walk(this.layers, () => rows, mix, before.time)
    return { output: (outputs.at(-1) as Tensor).reshape(x.shape), state: { of: this.signature, time } }
  }

  /** One step along time: x [B, width]. */
  step(x: Tensor, state: StackState): { output: Tensor; state: StackState } {
    needTensor(x, `${OP}.step`, 'the input')
    if (x.rank !== 2 || x.shape[1] !== this.width)
      throw this.#wrong('the input of step', `[B, width=${this.width}]`, show(x.shape))
    if (this.inject === 'sequence')
      throw new ArgumentError(`${OP}.step: the input lies along depth: there is no step along time`, {
        op: `${OP}.step`,
      })
    const before = this.#fitting(state, x.shape[0] as number)
    return scope(() => {
      const { outputs, time } = this.#walk(
        this.layers,
        () => x,
        (...given) => this.#one(...given),
        before.time,
      )
      return { output: outputs.at(-1) as Tensor, state: { of: this.signature, time } }
    })
  }

  #one(write: Write, r: Tensor, add: Tensor | undefined, old: Tree, context: Context): Stepped<Tree> {
    const { alongTime } = this
    const parameters = write.time as object
    if (alongTime.stream && add === undefined) return alongTime.stream(parameters, old, r, write.norm)
    const x = readBy(write, r, add)
    if (alongTime.stream) return alongTime.stream(parameters, old, x, undefined)
    if (alongTime.kernel) {
      const { state, output } = alongTime.kernel(parameters, x.unsqueeze(1), old, context)
      return { state, output: output.squeeze(1) }
    }
    const noise = alongTime.noise?.([x.shape[0] as number, 1, this.width], context)?.select(1, 0)
    return stepped(alongTime, parameters, old, x, { ...context, noise })
  }

  /** One step along time, whose inputs lie along depth. */
  #alongDepth(x: Tensor, before: StackState): { output: Tensor; state: StackState } {
    const layers = x.shape[1] as number
    const old = Array.from({ length: layers }, (_, k) => before.time[k] ?? (before.time[0] as Tree))
    const { outputs } = this.#walk(
      layers,
      (k) => x.select(1, k),
      (...given) => this.#one(...given),
      old,
    )
    return { output: joined(outputs, 1), state: before }
  }

  /** Along depth: every layer's readout, and the states along time. */
  #walk(
    layers: number,
    input: (layer: number) => Tensor,
    mix: Mix,
    before: readonly Tree[],
  ): { outputs: Tensor[]; time: Tree[] } {
    const { alongDepth, training, perLayer: per } = this
    const first = this.writes[0] as Write
    const x = input(0)
    if (alongDepth === undefined) {
      const context = { axis: 'both', index: 0, layers, training } as const
      const { output, state } = mix(first, x, undefined, before[0] as Tree, context)
      return { outputs: [output], time: [state] }
    }
    const injected = this.inject !== 'first'
    let state: Tree = injected
      ? placed(alongDepth.initialState({ batch: x.shape[0] as number, width: this.width, layers: layers * per }), x)
      : entered(alongDepth, x, first.depth as object)
    let r = injected ? x.mul(0) : x
    const [outputs, time]: [Tensor[], Tree[]] = [[], []]
    for (let k = 0; k < layers * per; k++) {
      const write = this.writes[k % this.writes.length] as Write
      const layer = Math.floor(k / per)
      const context = { index: k, layers: layers * per, training } as const
      const u = injected ? input(layer) : undefined
      const v = this.#write(write, r, u, time, before[layer] as Tree, mix, { ...context, axis: 'time' })
      const next = stepped(alongDepth, write.depth as object, state, dropout(v, this.dropout, { training }), {
        ...context,
        axis: 'depth',
      })
      state = next.state
      r = next.output
      if (k % per === per - 1) outputs.push(r)
    }
    return { outputs, time }
  }

  /** v = time(norm(r)) or mlp(norm(r)), with the injected input added; without a carrier along time the injected input alone. */
  #write(write: Write, r: Tensor, u: Tensor | undefined, time: Tree[], old: Tree, mix: Mix, context: Context): Tensor {
    const { mlp } = write
    if (mlp) {
      const apply = (s: Tensor): Tensor =>
        mlp.linear2.forward(gelu(mlp.linear1.forward(readBy(write, s)), { approximate: true }))
      return this.checkpoint === 'depth' ? (checkpoint(apply, r) as Tensor) : apply(r)
    }
    if (u !== undefined && this.alongTime.name === 'none') {
      time.push(old)
      return u
    }
    const apply = (s: Tensor, state: Tree, add: Tensor | undefined): Stepped<Tree> => mix(write, s, add, state, context)
    const result = this.checkpoint === 'depth' ? again(apply, r, old, u) : apply(r, old, u)
    time.push(result.state)
    return result.output
  }

  /** A state of this stack and this batch, in its form. */
  #fitting(state: StackState, batch: number): StackState {
    if (state?.of !== this.signature)
      throw broken(
        this.alongTime,
        `the state is of another stack: it must be of ${this.signature}, got ${told(state?.of)}`,
        {
          expected: this.signature,
          got: told(state?.of),
        },
      )
    const count = Array.isArray(state.time) ? state.time.length : -1
    const needed = this.alongDepth === undefined ? 1 : this.layers
    if (count !== needed)
      throw broken(this.alongTime, `a state of this stack has ${needed} parts along time, got ${told(state.time)}`)
    for (const part of tensorsIn(state.time)) {
      if (part.shape[0] !== batch)
        throw broken(
          this.alongTime,
          `a state must have ${batch} rows, as the input, got ${show(part.shape)}`,
          { expected: String(batch), got: show(part.shape) },
          true,
        )
    }
    return state
  }

  #wrong(what: string, expected: string, got: string): ShapeError {
    const op = `${OP} (${this.signature})`
    return new ShapeError(`${op}: ${what} must be ${expected}, got ${got}`, { op: OP, expected, got })
  }
}

/** What the carrier along time makes of the stream r, from a state; `add` is the injected input. */
type Mix = (write: Write, r: Tensor, add: Tensor | undefined, state: Tree, context: Context) => Stepped<Tree>

/** norm(r), with the injected input added. */
function readBy(write: Write, r: Tensor, add?: Tensor): Tensor {
  const read = write.norm?.forward(r) ?? r
  return add === undefined ? read : read.add(add)
}

/** `apply` under a checkpoint: states are taken apart, since a recorded function has tensors for inputs. */
function again(
  apply: (s: Tensor, state: Tree, u: Tensor | undefined) => Stepped<Tree>,
  r: Tensor,
  state: Tree,
  u: Tensor | undefined,
): Stepped<Tree> {
  const injected = u === undefined ? [] : [u]
  return checkpoint(
    (s: Tensor, ...rest: Tensor[]) => {
      const add = u === undefined ? undefined : (rest.shift() as Tensor)
      return apply(
        s,
        rebuild(state, () => rest.shift() as Tensor),
        add,
      ) as { state: Tree; output: Tensor }
    },
    r,
    ...injected,
    ...tensorsIn(state),
  )
}
