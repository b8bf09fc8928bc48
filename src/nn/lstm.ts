// LSTM: long short-term memory, in layers and directions.
import type { Tensor } from '../tensor/tensor.js'
import { type LSTMState, lstm } from './functional.js'
import { Recurrent, type RecurrentOptions } from './recurrent.js'

/**
 * Long short-term memory. For each step, with gates in the order i, f, g, o:
 * ```
 * i = σ(W_ii x + b_ii + W_hi h + b_hi)        c' = f ⊙ c + i ⊙ g
 * f = σ(W_if x + b_if + W_hf h + b_hf)        h' = o ⊙ tanh(c')
 * g = tanh(W_ig x + b_ig + W_hg h + b_hg)
 * o = σ(W_io x + b_io + W_ho h + b_ho)
 * ```
 * Shapes: x [B, T, I] → output [B, T, D·H]; state.h, state.c [K·D, B, H], absent: zeros. B batch, T time, I input, H hidden, K layers,
 * D directions. Weights start uniform on ±1/√H. Keys: `weight_ih_l0`, `bias_hh_l1_reverse`, as in torch.
 *
 * Errors: `ERR_SHAPE`, `ERR_DTYPE`, `ERR_DEVICE` where x or the state does not fit. Differs from torch: batch first; the state is an object;
 * no `proj_size`. Source: Hochreiter and Schmidhuber 1997; forget gate of Gers et al. 2000.
 *
 * @example
 * const rnn = new nn.LSTM(8, 32, { numLayers: 2, bidirectional: true })
 * const { output, state } = rnn.forward(zeros([4, 10, 8]))
 * output.shape    // [4, 10, 64]
 * state.h.shape   // [4, 4, 32]
 * const next = rnn.forward(zeros([4, 5, 8]), state)
 */
export class LSTM extends Recurrent {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    super(4, inputSize, hiddenSize, options)
  }

  forward(x: Tensor, state?: LSTMState): { output: Tensor; state: LSTMState } {
    return this.run(['h', 'c'], x, state, (input, [h, c], weights, reverse) => {
      const result = lstm(input, { h: h as Tensor, c: c as Tensor }, weights, {
        reverse,
        implementation: this.implementation,
      })
      return { output: result.output, state: [result.state.h, result.state.c] }
    })
  }
}
