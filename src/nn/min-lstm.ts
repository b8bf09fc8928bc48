// MinLSTM: an LSTM whose gates do not read the state and sum to one, in layers and directions.
import type { Tensor } from '../tensor/tensor.js'
import { type HiddenState, minLSTM } from './functional.js'
import { Minimal, type MinimalLayerOptions } from './minimal.js'
import type { ForwardOptions } from './stacked.js'

/**
 * Minimal long short-term memory: all gates of all steps are one product, and time is a linear scan. For each step, with gates in the order f, i, c:
 * ```
 * f = σ(W_f x + b_f)      i = σ(W_i x + b_i)      c = g(W_c x + b_c)      h' = f/(f + i) ⊙ h + i/(f + i) ⊙ c
 * ```
 * g(x) = x, or made positive by an option. Shapes, lengths, start and keys: as `nn.MinGRU`; there is no second state.
 *
 * float32, float64 and bfloat16 on the CPU. Errors: `ERR_SHAPE`, `ERR_DTYPE`, `ERR_DEVICE` where x or the state does not fit; `ERR_RANGE` for a length outside
 * 0 … T. Not in torch. Source: Feng et al. 2024 (Were RNNs All We Needed?), section 3.2; computed step by step, not in log space.
 *
 * @example
 * const rnn = new nn.MinLSTM(8, 32, { bidirectional: true, positive: true })
 * const { output, state } = rnn.forward(zeros([4, 10, 8]))
 * output.shape    // [4, 10, 64]
 * state.h.shape   // [2, 4, 32]
 */
export class MinLSTM extends Minimal {
  constructor(inputSize: number, hiddenSize: number, options: MinimalLayerOptions = {}) {
    super(3, inputSize, hiddenSize, options)
  }

  forward(x: Tensor, state?: HiddenState, options: ForwardOptions = {}): { output: Tensor; state: HiddenState } {
    return this.scan('minLSTM', x, state, options, minLSTM)
  }
}
