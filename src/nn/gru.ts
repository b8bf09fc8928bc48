// GRU: gated recurrent units, in layers and directions.
import type { Tensor } from '../tensor/tensor.js'
import { gru, type HiddenState } from './functional.js'
import { Recurrent, type RecurrentOptions } from './recurrent.js'
import type { ForwardOptions } from './stacked.js'

/**
 * Gated recurrent unit. For each step, with gates in the order r, z, n:
 * ```
 * r = σ(W_ir x + b_ir + W_hr h + b_hr)        n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))
 * z = σ(W_iz x + b_iz + W_hz h + b_hz)        h' = (1 − z) ⊙ n + z ⊙ h
 * ```
 * Shapes: x [B, T, I] → output [B, T, D·H]; state.h [K·D, B, H], absent: zeros. Weights start uniform on ±1/√H. Keys as in torch.
 *
 * Errors: `ERR_SHAPE`, `ERR_DTYPE`, `ERR_DEVICE` where x or the state does not fit; `ERR_RANGE` for a length outside 0 … T. Differs from torch:
 * batch first; the state is an object; `lengths` in place of packed sequences.
 * Source: Cho et al. 2014; as in torch the reset gate multiplies the product W_hn h, not h.
 *
 * @example
 * const rnn = new nn.GRU(8, 32)
 * const { output, state } = rnn.forward(zeros([4, 10, 8]))
 * output.shape    // [4, 10, 32]
 * state.h.shape   // [1, 4, 32]
 */
export class GRU extends Recurrent {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    super(3, inputSize, hiddenSize, options)
  }

  protected override get stackOp(): 'gruStack' {
    return 'gruStack'
  }

  forward(x: Tensor, state?: HiddenState, options: ForwardOptions = {}): { output: Tensor; state: HiddenState } {
    return this.run('gru', { h: this.hiddenSize }, x, state, options, (input, [h], pass) => {
      const result = gru(input, { h: h as Tensor }, pass.weights, this.optionsOf(pass))
      return { output: result.output, state: [result.state.h] }
    })
  }
}
