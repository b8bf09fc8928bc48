// What LSTM, GRU and RNN share: weights by layer and direction, and how layers, directions and dropout are put together.
import { ArgumentError, ShapeError } from '../errors.js'
import { zeros } from '../tensor/create.js'
import { cat, stack } from '../tensor/functions.js'
import { type Implementation, implementations } from '../tensor/ops/recurrent.js'
import { scope } from '../tensor/scope.js'
import { sameShape, show, whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { dropout } from './functional.js'
import { uniform } from './init.js'
import type { ParameterOptions } from './linear.js'
import { Module } from './module.js'

export interface RecurrentOptions extends ParameterOptions {
  /** Layers K, each over the output of the one before. @default 1 */
  numLayers?: number
  /** @default true */
  bias?: boolean
  /** Probability of dropout on the output of every layer but the last, in training. @default 0 */
  dropout?: number
  /** D = 2: a second set of weights runs from the last step to the first; outputs are joined. @default false */
  bidirectional?: boolean
  /**
   * Whose arithmetic: our kernels (float32 on the CPU; other dtypes and devices use libtorch's all the same), or libtorch's own, as a second
   * opinion and for gradients of gradients of GRU and RNN. @default 'quarterturn'
   */
  implementation?: Implementation
}

/** The parameters of one layer in one direction, G·H rows gate by gate. */
export interface LayerWeights {
  /** [G·H, I], for later layers [G·H, D·H] */
  readonly weightIh: Variable
  /** [G·H, H] */
  readonly weightHh: Variable
  readonly biasIh: Variable | undefined
  readonly biasHh: Variable | undefined
}

/** One layer, one direction: x [B, T, I] and the parts of the state, each [B, H], to the output [B, T, H] and the last parts. */
export type RunLayer = (
  x: Tensor,
  state: readonly Tensor[],
  weights: LayerWeights,
  reverse: boolean,
) => { output: Tensor; state: readonly Tensor[] }

/** Layers and directions of one kind of recurrence. */
export abstract class Recurrent extends Module {
  readonly inputSize: number
  readonly hiddenSize: number
  readonly numLayers: number
  readonly bidirectional: boolean
  readonly dropout: number
  readonly implementation: Implementation
  /** By layer and, within a layer, direction: `weights[layer * D + direction]`. */
  readonly weights: readonly LayerWeights[]

  protected constructor(gates: number, inputSize: number, hiddenSize: number, options: RecurrentOptions) {
    super()
    const {
      numLayers = 1,
      bias = true,
      dropout: p = 0,
      bidirectional = false,
      implementation = 'quarterturn',
      ...place
    } = options
    const name = new.target.name
    this.inputSize = whole(inputSize, 'inputSize', name, 1)
    this.hiddenSize = whole(hiddenSize, 'hiddenSize', name, 1)
    this.numLayers = whole(numLayers, 'numLayers', name, 1)
    if (!(p >= 0 && p <= 1))
      throw new ArgumentError(`${name}: dropout must be within 0 … 1, got ${String(p)}`, {
        op: name,
        expected: '0 … 1',
        got: String(p),
      })
    if (!Object.hasOwn(implementations, implementation)) {
      const expected = Object.keys(implementations).join(' or ')
      throw new ArgumentError(`${name}: implementation must be ${expected}, got ${String(implementation)}`, {
        op: name,
        expected,
        got: String(implementation),
      })
    }
    this.dropout = p
    this.implementation = implementation
    this.bidirectional = bidirectional
    const directions = bidirectional ? 2 : 1
    const bound = 1 / Math.sqrt(hiddenSize)
    const make = (...shape: number[]): Variable => uniform(shape, -bound, bound, place)
    this.weights = Array.from({ length: numLayers * directions }, (_, i) => ({
      weightIh: make(gates * hiddenSize, i < directions ? inputSize : directions * hiddenSize),
      weightHh: make(gates * hiddenSize, hiddenSize),
      biasIh: bias ? make(gates * hiddenSize) : undefined,
      biasHh: bias ? make(gates * hiddenSize) : undefined,
    }))
  }

  /** The keys of torch: `weight_ih_l0`, `bias_hh_l1_reverse`. */
  protected override *members(): Iterable<readonly [string, unknown]> {
    const directions = this.bidirectional ? 2 : 1
    for (const [i, { weightIh, weightHh, biasIh, biasHh }] of this.weights.entries()) {
      const suffix = `l${Math.floor(i / directions)}${i % directions === 1 ? '_reverse' : ''}`
      yield [`weight_ih_${suffix}`, weightIh]
      yield [`weight_hh_${suffix}`, weightHh]
      yield [`bias_ih_${suffix}`, biasIh]
      yield [`bias_hh_${suffix}`, biasHh]
    }
    // What a subclass adds in fields of its own.
    for (const [key, value] of Object.entries(this)) if (key !== 'weights') yield [key, value]
  }

  /** Runs all layers over x [B, T, I]; `state` holds the named parts, each [K·D, B, H], absent: zeros. */
  protected run<N extends string>(
    names: readonly N[],
    x: Tensor,
    state: Readonly<Record<N, Tensor>> | undefined,
    layer: RunLayer,
  ): { output: Tensor; state: Record<N, Tensor> } {
    this.#check(names, x, state)
    return scope(() => {
      const directions = this.bidirectional ? 2 : 1
      const [batch] = x.shape as [number]
      const zero =
        state === undefined ? zeros([batch, this.hiddenSize], { dtype: x.dtype, device: x.device }) : undefined
      const last = names.map((): Tensor[] => [])
      let output = x
      for (let k = 0; k < this.numLayers; k++) {
        const input = k > 0 ? dropout(output, this.dropout, { training: this.training }) : output
        const outputs = Array.from({ length: directions }, (_, d) => {
          const index = k * directions + d
          const before = names.map((name) => zero ?? (state as Record<N, Tensor>)[name].select(0, index))
          const result = layer(input, before, this.weights[index] as LayerWeights, d === 1)
          for (const [i, part] of result.state.entries()) last[i]?.push(part)
          return result.output
        })
        output = directions === 1 ? (outputs[0] as Tensor) : cat(outputs, 2)
      }
      const parts = last.map((layers) => (layers.length === 1 ? (layers[0] as Tensor).unsqueeze(0) : stack(layers)))
      return { output, state: Object.fromEntries(names.map((name, i) => [name, parts[i]])) as Record<N, Tensor> }
    })
  }

  /** Everything is checked before any work, in the user's terms. */
  #check<N extends string>(names: readonly N[], x: Tensor, state: Readonly<Record<N, Tensor>> | undefined): void {
    const op = this.constructor.name.toLowerCase()
    const wrong = (what: string, expected: string, got: string): ShapeError =>
      new ShapeError(`${op}: ${what} must be ${expected}, got ${got}`, { op, expected, got })
    if (x.rank !== 3 || x.shape[2] !== this.inputSize)
      throw wrong('input', `[B, T, I=${this.inputSize}]`, show(x.shape))
    if (state === undefined) return
    const shape = [this.weights.length, x.shape[0] as number, this.hiddenSize]
    for (const name of names) {
      const part: Tensor | undefined = state[name]
      const expected = `[K·D=${shape[0]}, B=${shape[1]}, H=${shape[2]}]`
      if (part === undefined || !sameShape(part.shape, shape))
        throw wrong(`state.${name}`, expected, part === undefined ? 'none' : show(part.shape))
    }
  }
}
