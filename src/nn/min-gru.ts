// MinGRU: a GRU whose gate does not read the state, in layers and directions.
import type { Tensor } from '../tensor/tensor.js'
import { type HiddenState, minGRU } from './functional.js'
import { Minimal, type MinimalLayerOptions } from './minimal.js'
import type { ForwardOptions } from './stacked.js'

/**
 * Minimal gated recurrent unit: all gates of all steps are one product, and time is a linear scan. For each step, with gates in the order z, c:
 * ```
 * z = σ(W_z x + b_z)      c = g(W_c x + b_c)      h' = (1 − z) ⊙ h + z ⊙ c
 * ```
 * g(x) = x, or made positive by an option. Shapes: x [B, T, I] → output [B, T, D·H]; state.h [K·D, B, H], absent: zeros. B batch, T time, I input,
 * H hidden, K layers, D directions. Weights and biases start uniform on ±1/√I, as those of `nn.Linear`. Keys: `weight_ih_l0`, `bias_ih_l1_reverse`.
 *
 * float32, float64 and bfloat16 on the CPU. Errors: `ERR_SHAPE`, `ERR_DTYPE`, `ERR_DEVICE` where x or the state does not fit; `ERR_RANGE` for a length outside
 * 0 … T. Beyond the lengths x must be finite: the map reads it too. Not in torch. Source: Feng et al. 2024 (Were RNNs All We Needed?), section 3.1;
 * computed step by step, not in log space.
 *
 * @example
 * const rnn = new nn.MinGRU(8, 32, { numLayers: 2 })
 * const { output, state } = rnn.forward(zeros([4, 10, 8]), undefined, { lengths: [10, 7, 3, 1] })
 * output.shape    // [4, 10, 32]
 * state.h.shape   // [2, 4, 32]
 */
export class MinGRU extends Minimal {
  constructor(inputSize: number, hiddenSize: number, options: MinimalLayerOptions = {}) {
    super(2, inputSize, hiddenSize, options)
  }

  forward(x: Tensor, state?: HiddenState, options: ForwardOptions = {}): { output: Tensor; state: HiddenState } {
    return this.scan('minGRU', x, state, options, minGRU)
  }
}
