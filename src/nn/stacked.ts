// What all recurrent layers share: how layers, directions and dropout are put together, whatever one layer is made of.

import { ArgumentError, ShapeError } from '../errors.js'
import { ones, zeros } from '../tensor/create.js'
import { cat, stack } from '../tensor/functions.js'
import { needOptions } from '../tensor/options.js'
import { needTensor } from '../tensor/record.js'
import { scope } from '../tensor/scope.js'
import { sameShape, show, whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { dropout } from './functional.js'
import type { ParameterOptions } from './linear.js'
import { snakeCase } from './members.js'
import { Module } from './module.js'
import { type Lengths, lengthsTensor } from './sequence.js'

export interface StackedOptions extends ParameterOptions {
  /** Layers K, each over the output of the one before. @default 1 */
  numLayers?: number
  /** @default true */
  bias?: boolean
  /** Probability of dropout on the output of every layer but the last, in training. @default 0 */
  dropout?: number
  /** D = 2: a second set of weights runs from the last step to the first; outputs are joined. @default false */
  bidirectional?: boolean
}

/** How one call reads its sequences. */
export interface ForwardOptions {
  /**
   * The number of steps of each row, 0 … T: int64 [B], or an array. Later steps give output 0 and touch neither state nor gradient; the second
   * direction starts at the row's own last step. As torch's packed sequences. Default: all steps.
   */
  lengths?: Lengths | undefined
}

/** How one layer in one direction is run: by its weights, over its sequence. */
export interface Pass<W> {
  weights: W
  reverse: boolean
  lengths: Tensor | undefined
}

/** One layer, one direction: x [B, T, I] and the parts of the state, each [B, size], to the output and the last parts. */
export type RunLayer<W> = (
  x: Tensor,
  state: readonly Tensor[],
  pass: Pass<W>,
) => { output: Tensor; state: readonly Tensor[] }

/** What all layers give: the output of the last, and the parts of the state of each layer and direction, [K·D, B, size]. */
export interface StackResult {
  output: Tensor
  state: readonly Tensor[]
}

/** Layers and directions of one kind of recurrence; `W` are the weights of one layer in one direction. */
export abstract class Stacked<W extends object> extends Module {
  readonly inputSize: number
  readonly hiddenSize: number
  readonly numLayers: number
  readonly bidirectional: boolean
  readonly dropout: number
  /** By layer and, within a layer, direction: `weights[layer * D + direction]`. */
  readonly weights: readonly W[]

  /** `outputSize` is the width of one direction's output; `make` makes the weights for an input of some width. */
  protected constructor(
    inputSize: number,
    hiddenSize: number,
    options: StackedOptions,
    outputSize: number,
    make: (inputSize: number) => W,
  ) {
    super()
    const name = new.target.name
    const { numLayers = 1, dropout: p = 0, bidirectional = false } = needOptions(options, name)
    this.inputSize = whole(inputSize, 'inputSize', name, 1)
    this.hiddenSize = whole(hiddenSize, 'hiddenSize', name, 1)
    this.numLayers = whole(numLayers, 'numLayers', name, 1)
    if (!(p >= 0 && p <= 1))
      throw new ArgumentError(`${name}: dropout must be within 0 … 1, got ${String(p)}`, {
        op: name,
        expected: '0 … 1',
        got: String(p),
      })
    this.dropout = p
    this.bidirectional = bidirectional
    const directions = bidirectional ? 2 : 1
    this.weights = Array.from({ length: numLayers * directions }, (_, i) =>
      make(i < directions ? inputSize : directions * outputSize),
    )
  }

  /** The keys of torch: `weight_ih_l0`, `bias_hh_l1_reverse`. */
  protected override *members(): Iterable<readonly [string, unknown]> {
    const directions = this.bidirectional ? 2 : 1
    for (const [i, weights] of this.weights.entries()) {
      const suffix = `l${Math.floor(i / directions)}${i % directions === 1 ? '_reverse' : ''}`
      for (const [name, weight] of Object.entries(weights)) yield [`${snakeCase(name)}_${suffix}`, weight]
    }
    // What a subclass adds in fields of its own.
    for (const [key, value] of Object.entries(this)) if (key !== 'weights') yield [key, value]
  }

  /** Runs all layers over x [B, T, I]; `state` holds the parts, each [K·D, B, its size], absent: zeros. */
  protected run<N extends string>(
    op: string,
    sizes: Readonly<Record<N, number>>,
    x: Tensor,
    state: Readonly<Record<N, Tensor>> | undefined,
    options: ForwardOptions,
    layer: RunLayer<W>,
  ): { output: Tensor; state: Record<N, Tensor> } {
    const names = Object.keys(sizes) as N[]
    this.#check(op, sizes, x, state)
    return scope(() => {
      const directions = this.bidirectional ? 2 : 1
      const [batch] = x.shape as [number]
      const lengths = lengthsTensor(options.lengths, x, op)
      const parts = state && names.map((name) => state[name])
      const together = this.runTogether(x, parts, lengths)
      if (together !== undefined) return named(names, together)
      const zeroOf = new Map<number, Tensor>()
      if (state === undefined)
        for (const size of new Set(Object.values<number>(sizes)))
          zeroOf.set(size, zeros([batch, size], { dtype: x.dtype, device: x.device }))
      const last = names.map((): Tensor[] => [])
      let output = x
      for (let k = 0; k < this.numLayers; k++) {
        const input = k > 0 ? dropout(output, this.dropout, { training: this.training }) : output
        const outputs = Array.from({ length: directions }, (_, d) => {
          const index = k * directions + d
          const before = names.map((name) => state?.[name].select(0, index) ?? (zeroOf.get(sizes[name]) as Tensor))
          const result = layer(input, before, { weights: this.weights[index] as W, reverse: d === 1, lengths })
          for (const [i, part] of result.state.entries()) last[i]?.push(part)
          return result.output
        })
        output = directions === 1 ? (outputs[0] as Tensor) : cat(outputs, 2)
      }
      return named(names, { output, state: last.map(joined) })
    })
  }

  /** All layers as one operation, where there is one that computes them; otherwise nothing, and they run one after the other. */
  protected runTogether(
    _x: Tensor,
    _state: readonly Tensor[] | undefined,
    _lengths: Tensor | undefined,
  ): StackResult | undefined {
    return undefined
  }

  /**
   * What dropout multiplies the outputs of all layers but the last by, [K − 1, B, T, `width`], or nothing: the same numbers that dropout of
   * each output by itself would draw.
   */
  protected masks(x: Tensor, width: number): Tensor | undefined {
    if (this.numLayers === 1 || this.dropout === 0 || !this.training) return undefined
    const [batch, time] = x.shape as [number, number]
    const one = ones([batch, time, width], { dtype: x.dtype, device: x.device })
    return joined(Array.from({ length: this.numLayers - 1 }, () => dropout(one, this.dropout)))
  }

  /** Everything is checked before any work, in the user's terms. */
  #check<N extends string>(
    op: string,
    sizes: Readonly<Record<N, number>>,
    x: Tensor,
    state: Readonly<Record<N, Tensor>> | undefined,
  ): void {
    needTensor(x, op, 'input')
    const wrong = (what: string, expected: string, got: string): ShapeError =>
      new ShapeError(`${op}: ${what} must be ${expected}, got ${got}`, { op, expected, got })
    if (x.rank !== 3 || x.shape[2] !== this.inputSize)
      throw wrong('input', `[B, T, I=${this.inputSize}]`, show(x.shape))
    if (state === undefined) return
    for (const [name, size] of Object.entries(sizes) as [N, number][]) {
      const part: Tensor | undefined = state[name]
      const shape = [this.weights.length, x.shape[0] as number, size]
      const letter = size === this.hiddenSize ? 'H' : 'P'
      const expected = `[K·D=${shape[0]}, B=${shape[1]}, ${letter}=${size}]`
      if (part === undefined || !sameShape(part.shape, shape))
        throw wrong(`state.${name}`, expected, part === undefined ? 'none' : show(part.shape))
    }
  }
}

/** Tensors of one shape along a new first axis. */
function joined(parts: readonly Tensor[]): Tensor {
  return parts.length === 1 ? (parts[0] as Tensor).unsqueeze(0) : stack(parts)
}

function named<N extends string>(
  names: readonly N[],
  { output, state }: StackResult,
): { output: Tensor; state: Record<N, Tensor> } {
  return { output, state: Object.fromEntries(names.map((name, i) => [name, state[i]])) as Record<N, Tensor> }
}
