// RNN: Elman networks, in layers and directions.

import { ArgumentError } from '../errors.js'
import { needOptions } from '../tensor/options.js'
import type { Tensor } from '../tensor/tensor.js'
import { type HiddenState, type Nonlinearity, rnn } from './functional.js'
import { Recurrent, type RecurrentOptions } from './recurrent.js'
import type { ForwardOptions } from './stacked.js'

export interface RNNOptions extends RecurrentOptions {
  /** φ. @default 'tanh' */
  nonlinearity?: Nonlinearity
}

/**
 * Elman network: h' = φ(W_ih x + b_ih + W_hh h + b_hh), φ tanh or ReLU.
 *
 * Shapes: x [B, T, I] → output [B, T, D·H]; state.h [K·D, B, H], absent: zeros. Weights start uniform on ±1/√H. Keys as in torch.
 *
 * Errors: `ERR_SHAPE`, `ERR_DTYPE`, `ERR_DEVICE` where x or the state does not fit; `ERR_RANGE` for a length outside 0 … T. Differs from torch:
 * batch first; the state is an object; `lengths` in place of packed sequences. Source: Elman 1990.
 *
 * @example
 * const rnn = new nn.RNN(8, 32, { nonlinearity: 'relu' })
 * rnn.forward(zeros([4, 10, 8])).output.shape   // [4, 10, 32]
 */
export class RNN extends Recurrent {
  readonly nonlinearity: Nonlinearity

  constructor(inputSize: number, hiddenSize: number, given: RNNOptions = {}) {
    const { nonlinearity = 'tanh', ...options } = needOptions(given, 'RNN')
    super(1, inputSize, hiddenSize, options)
    if (nonlinearity !== 'tanh' && nonlinearity !== 'relu') {
      throw new ArgumentError(`RNN: nonlinearity must be 'tanh' or 'relu', got ${String(nonlinearity)}`, {
        op: 'RNN',
        expected: "'tanh' or 'relu'",
        got: String(nonlinearity),
      })
    }
    this.nonlinearity = nonlinearity
  }

  forward(x: Tensor, state?: HiddenState, options: ForwardOptions = {}): { output: Tensor; state: HiddenState } {
    return this.run('rnn', { h: this.hiddenSize }, x, state, options, (input, [h], pass) => {
      const { nonlinearity } = this
      const result = rnn(input, { h: h as Tensor }, pass.weights, { ...this.optionsOf(pass), nonlinearity })
      return { output: result.output, state: [result.state.h] }
    })
  }
}
