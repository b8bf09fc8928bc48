// ParaLSTM: an LSTM with coupled gates and peepholes each of whose units reads itself only, in layers and directions.
import type { Tensor } from '../tensor/tensor.js'
import { Diagonal, type DiagonalLayerOptions } from './diagonal.js'
import { type LSTMState, linear, paraLSTM } from './functional.js'
import type { ForwardOptions } from './stacked.js'

/**
 * An LSTM with diagonal state-to-state weights, coupled gates and peepholes q: gates read the state, and yet all steps can be solved at once. For each step, with
 * gates in the order f, g, o:
 * ```
 * f = σ(W_f x + b_f + a_f ⊙ h + q_f ⊙ c)      g = tanh(W_g x + b_g + a_g ⊙ h)      c' = f ⊙ c + (1 − f) ⊙ g
 * o = σ(W_o x + b_o + a_o ⊙ h + q_o ⊙ c')     h' = o ⊙ tanh(c')
 * ```
 * Shapes: x [B, T, I] → output [B, T, D·H]; state.h and state.c [K·D, B, H], absent: zeros. Keys as torch's LSTM, but `weight_hh_l0` is [5, H], rows
 * a_f, a_g, a_o, q_f, q_o, and there is one bias. Starts, layers, directions, dropout, lengths, streams and errors: as `nn.ParaGRU`. Not in torch.
 * Source: Danieli et al. 2025 (ParaRNN), section 3.
 *
 * @example
 * const rnn = new nn.ParaLSTM(8, 32, { bidirectional: true })
 * const { output, state } = rnn.forward(zeros([4, 10, 8]))
 * output.shape    // [4, 10, 64]
 * state.c.shape   // [2, 4, 32]
 */
export class ParaLSTM extends Diagonal {
  constructor(inputSize: number, hiddenSize: number, options: DiagonalLayerOptions = {}) {
    super(5, inputSize, hiddenSize, options)
  }

  forward(x: Tensor, state?: LSTMState, options: ForwardOptions = {}): { output: Tensor; state: LSTMState } {
    const { solver, hiddenSize } = this
    const sizes = { h: hiddenSize, c: hiddenSize }
    return this.run('paraLSTM', sizes, x, state, options, (input, [h, c], { weights, reverse, lengths }) => {
      const p = linear(input, weights.weightIh, weights.biasIh)
      const before = { h: h as Tensor, c: c as Tensor }
      const result = paraLSTM(p, before, weights.weightHh, { solver, reverse, lengths })
      return { output: result.output, state: [result.state.h, result.state.c] }
    })
  }
}
