// What LSTM, GRU and RNN share: dense weights by layer and direction, and the choice of whose arithmetic.

import { ArgumentError } from '../errors.js'
import { type Implementation, implementations, refuseLibtorch, refuseProjection } from '../tensor/ops/recurrent.js'
import { needOptions } from '../tensor/options.js'
import { record } from '../tensor/record.js'
import { whole } from '../tensor/shape.js'
import { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import type { SequenceOptions } from './functional.js'
import { uniform } from './init.js'
import { type Pass, Stacked, type StackedOptions, type StackResult } from './stacked.js'

export interface RecurrentOptions extends StackedOptions {
  /**
   * Whose arithmetic: our kernels (float32 and bfloat16 on the CPU; other dtypes and devices use libtorch's all the same), or libtorch's own, as a second
   * opinion and for gradients of gradients of GRU and RNN. @default 'quarterturn'
   */
  implementation?: Implementation
  /**
   * Saves memory in training: only the state after every `recompute`-th step is kept, and each stretch between runs forward once more in the
   * backward pass. About √T is best; 0 keeps everything. @default 0
   */
  recompute?: number
}

/** The parameters of one layer in one direction, G·H rows gate by gate. */
export interface LayerWeights {
  /** [G·H, I], for later layers [G·H, D·H] */
  readonly weightIh: Variable
  /** [G·H, H]; with a projection [G·H, P] */
  readonly weightHh: Variable
  readonly biasIh: Variable | undefined
  readonly biasHh: Variable | undefined
  /** [P, H], of an LSTM with a projection only. */
  readonly weightHr?: Variable | undefined
}

/** Layers and directions of one kind of dense recurrence. */
export abstract class Recurrent extends Stacked<LayerWeights> {
  readonly implementation: Implementation
  readonly recompute: number

  /** `projSize` is P, or 0 for none. */
  protected constructor(gates: number, inputSize: number, hiddenSize: number, options: RecurrentOptions, projSize = 0) {
    const {
      bias = true,
      implementation = 'quarterturn',
      recompute = 0,
      dtype,
      device,
    } = needOptions(options, new.target.name)
    const name = new.target.name
    if (!Object.hasOwn(implementations, implementation)) {
      const expected = Object.keys(implementations).join(' or ')
      throw new ArgumentError(`${name}: implementation must be ${expected}, got ${String(implementation)}`, {
        op: name,
        expected,
        got: String(implementation),
      })
    }
    whole(recompute, 'recompute', name)
    if (recompute > 0 && implementation === 'libtorch') throw refuseLibtorch(name, 'recompute')
    if (recompute > 0 && projSize > 0) throw refuseProjection(name, 'recompute')
    const width = projSize || hiddenSize
    super(inputSize, hiddenSize, options, width, (input) => {
      const bound = 1 / Math.sqrt(hiddenSize)
      const make = (...shape: number[]): Variable => uniform(shape, -bound, bound, { dtype, device })
      return {
        weightIh: make(gates * hiddenSize, input),
        weightHh: make(gates * hiddenSize, width),
        biasIh: bias ? make(gates * hiddenSize) : undefined,
        biasHh: bias ? make(gates * hiddenSize) : undefined,
        weightHr: projSize > 0 ? make(projSize, hiddenSize) : undefined,
      }
    })
    this.implementation = implementation
    this.recompute = recompute
  }

  /** Our operation for several layers and directions, if there is one. */
  protected get stackOp(): 'lstmStack' | 'gruStack' | undefined {
    return undefined
  }

  /** Our kernels run layers and directions side by side, in float32 on the CPU; with `recompute`, in bfloat16 and elsewhere they follow one another. */
  protected override runTogether(
    x: Tensor,
    state: readonly Tensor[] | undefined,
    lengths: Tensor | undefined,
  ): StackResult | undefined {
    const op = this.stackOp
    const ours = this.implementation === 'quarterturn' && x.dtype === 'float32' && x.device === 'cpu'
    const one = this.weights.length === 1 || this.recompute > 0
    if (op === undefined || !ours || one || this.weights[0]?.weightHr !== undefined) return undefined
    const none = op === 'lstmStack' ? [undefined, undefined] : [undefined]
    const width = (this.bidirectional ? 2 : 1) * this.hiddenSize
    const sets = this.weights.flatMap(({ weightIh, weightHh, biasIh, biasHh }) => [weightIh, weightHh, biasIh, biasHh])
    const inputs = [x, ...(state ?? none), lengths, this.masks(x, width), ...sets]
    const [output, ...last] = record(op, inputs, { bidirectional: this.bidirectional }).map((made) => new Tensor(made))
    return { output: output as Tensor, state: last }
  }

  /** The options of one layer's function. */
  protected optionsOf({ reverse, lengths }: Pass<LayerWeights>): SequenceOptions {
    return { reverse, lengths, implementation: this.implementation, recompute: this.recompute }
  }
}
