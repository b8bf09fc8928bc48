// ParaGRU: a GRU each of whose units reads itself only, in layers and directions.
import type { Tensor } from '../tensor/tensor.js'
import { Diagonal, type DiagonalLayerOptions } from './diagonal.js'
import { type HiddenState, linear, paraGRU } from './functional.js'
import type { ForwardOptions } from './stacked.js'

/**
 * A GRU with diagonal state-to-state weights: gates read the state, and yet all steps can be solved at once. For each step, with gates in the order z, r, c:
 * ```
 * z = σ(W_z x + b_z + a_z ⊙ h)      r = σ(W_r x + b_r + a_r ⊙ h)      c = tanh(W_c x + b_c + a_c ⊙ r ⊙ h)      h' = (1 − z) ⊙ h + z ⊙ c
 * ```
 * Shapes: x [B, T, I] → output [B, T, D·H]; state.h [K·D, B, H], absent: zeros. Keys as torch's GRU, but `weight_hh_l0` is [3, H] and there is one bias; all
 * start within ±1/√H. Layers, directions, dropout, lengths: as `nn.GRU`. A stream is calls of one step each, with the state given back.
 *
 * float32 and float64 on the CPU. Errors: `ERR_SHAPE`, `ERR_DTYPE`, `ERR_DEVICE` where x or the state does not fit; `ERR_RANGE` for a length outside
 * 0 … T; `ERR_ARGUMENT` for another solver. Not in torch. Source: Danieli et al. 2025 (ParaRNN), section 3.
 *
 * @example
 * const rnn = new nn.ParaGRU(8, 32, { numLayers: 2 })
 * const { output, state } = rnn.forward(zeros([4, 10, 8]))
 * output.shape    // [4, 10, 32]
 * state.h.shape   // [2, 4, 32]
 */
export class ParaGRU extends Diagonal {
  constructor(inputSize: number, hiddenSize: number, options: DiagonalLayerOptions = {}) {
    super(3, inputSize, hiddenSize, options)
  }

  forward(x: Tensor, state?: HiddenState, options: ForwardOptions = {}): { output: Tensor; state: HiddenState } {
    const { solver } = this
    return this.run(
      'paraGRU',
      { h: this.hiddenSize },
      x,
      state,
      options,
      (input, [h], { weights, reverse, lengths }) => {
        const p = linear(input, weights.weightIh, weights.biasIh)
        const result = paraGRU(p, { h: h as Tensor }, weights.weightHh, { solver, reverse, lengths })
        return { output: result.output, state: [result.state.h] }
      },
    )
  }
}
