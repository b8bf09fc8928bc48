// LSTM: long short-term memory, in layers and directions.
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { type LSTMState, lstm } from './functional.js'
import { Recurrent, type RecurrentOptions } from './recurrent.js'
import type { ForwardOptions } from './stacked.js'

export interface LSTMOptions extends RecurrentOptions {
  /**
   * P < H: after each step h becomes W_hr h, P wide (torch's `proj_size`); 0 for no projection. libtorch computes it, whatever `implementation` says,
   * so it excludes `lengths` and `recompute`. @default 0
   */
  projSize?: number
}

/**
 * Long short-term memory. For each step, with gates in the order i, f, g, o:
 * ```
 * i = σ(W_ii x + b_ii + W_hi h + b_hi)        c' = f ⊙ c + i ⊙ g
 * f = σ(W_if x + b_if + W_hf h + b_hf)        h' = o ⊙ tanh(c')        with a projection  h' = W_hr (o ⊙ tanh(c'))
 * g = tanh(W_ig x + b_ig + W_hg h + b_hg)
 * o = σ(W_io x + b_io + W_ho h + b_ho)
 * ```
 * Shapes: x [B, T, I] → output [B, T, D·H]; state.h, state.c [K·D, B, H], absent: zeros; with a projection output [B, T, D·P] and state.h
 * [K·D, B, P]. B batch, T time, I input, H hidden, P projection, K layers, D directions. Weights start uniform on ±1/√H. Keys: `weight_ih_l0`,
 * `bias_hh_l1_reverse`, `weight_hr_l0`, as in torch.
 *
 * Errors: `ERR_SHAPE`, `ERR_DTYPE`, `ERR_DEVICE` where x or the state does not fit; `ERR_RANGE` for a length outside 0 … T; `ERR_ARGUMENT` for
 * options that exclude each other. Differs from torch: batch first; the state is an object; `lengths` in place of packed sequences.
 * Source: Hochreiter and Schmidhuber 1997; forget gate of Gers et al. 2000; projection of Sak et al. 2014.
 *
 * @example
 * const rnn = new nn.LSTM(8, 32, { numLayers: 2, bidirectional: true })
 * const { output, state } = rnn.forward(zeros([4, 10, 8]))
 * output.shape    // [4, 10, 64]
 * state.h.shape   // [4, 4, 32]
 * const next = rnn.forward(zeros([4, 5, 8]), state, { lengths: [5, 3, 0, 2] })
 */
export class LSTM extends Recurrent {
  /** P, or 0. */
  readonly projSize: number

  constructor(inputSize: number, hiddenSize: number, given: LSTMOptions = {}) {
    const { projSize = 0, ...options } = needOptions(given, 'LSTM')
    super(
      4,
      inputSize,
      hiddenSize,
      options,
      whole(projSize, 'projSize', 'LSTM', 0, Math.max(whole(hiddenSize, 'hiddenSize', 'LSTM', 1) - 1, 0)),
    )
    this.projSize = projSize
  }

  protected override get stackOp(): 'lstmStack' {
    return 'lstmStack'
  }

  forward(x: Tensor, state?: LSTMState, options: ForwardOptions = {}): { output: Tensor; state: LSTMState } {
    const sizes = { h: this.projSize || this.hiddenSize, c: this.hiddenSize }
    return this.run('lstm', sizes, x, state, options, (input, [h, c], pass) => {
      const result = lstm(input, { h: h as Tensor, c: c as Tensor }, pass.weights, this.optionsOf(pass))
      return { output: result.output, state: [result.state.h, result.state.c] }
    })
  }
}
