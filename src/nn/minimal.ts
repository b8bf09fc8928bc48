// What MinGRU and MinLSTM share: one linear map of the input by layer and direction, and the choice of candidates.
import { needOptions } from '../tensor/options.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { type HiddenState, linear, type MinimalOptions } from './functional.js'
import { uniform } from './init.js'
import { type ForwardOptions, Stacked, type StackedOptions } from './stacked.js'

export interface MinimalLayerOptions extends StackedOptions {
  /** Candidates by g(x) = x + ½ from 0 on and σ(x) below, always positive (appendix B of the paper), instead of g(x) = x. @default false */
  positive?: boolean
}

/** The map to the pre-activations of one layer in one direction, G·H rows gate by gate. */
export interface InputWeights {
  /** [G·H, I], for later layers [G·H, D·H] */
  readonly weightIh: Variable
  readonly biasIh: Variable | undefined
}

/** Layers and directions of one kind of recurrence whose gates do not read the state. */
export abstract class Minimal extends Stacked<InputWeights> {
  readonly positive: boolean

  protected constructor(gates: number, inputSize: number, hiddenSize: number, options: MinimalLayerOptions) {
    const { bias = true, positive = false, dtype, device } = needOptions(options, new.target.name)
    super(inputSize, hiddenSize, options, hiddenSize, (input) => {
      const bound = 1 / Math.sqrt(input)
      const make = (...shape: number[]): Variable => uniform(shape, -bound, bound, { dtype, device })
      return {
        weightIh: make(gates * hiddenSize, input),
        biasIh: bias ? make(gates * hiddenSize) : undefined,
      }
    })
    this.positive = positive
  }

  protected scan(
    op: string,
    x: Tensor,
    state: HiddenState | undefined,
    options: ForwardOptions,
    fn: (p: Tensor, state: HiddenState, options: MinimalOptions) => { output: Tensor; state: HiddenState },
  ): { output: Tensor; state: HiddenState } {
    return this.run(op, { h: this.hiddenSize }, x, state, options, (input, [h], { weights, reverse, lengths }) => {
      const p = linear(input, weights.weightIh, weights.biasIh)
      const result = fn(p, { h: h as Tensor }, { positive: this.positive, reverse, lengths })
      return { output: result.output, state: [result.state.h] }
    })
  }
}
