// SLSTM: an LSTM with exponential gates and heads, in layers and directions.
import { ArgumentError } from '../errors.js'
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { linear, type SLSTMState, sLSTM } from './functional.js'
import { uniform } from './init.js'
import { type ForwardOptions, Stacked, type StackedOptions } from './stacked.js'

export interface SLSTMOptions extends StackedOptions {
  /** Heads N: a unit reads the H/N units of its own head. @default 1 */
  numHeads?: number
}

/** One layer in one direction, rows gate by gate in the order i, f, z, o. */
export interface SLSTMWeights {
  /** [4·H, I], for later layers [4·H, D·H] */
  readonly weightIh: Variable
  /** [4·H, H/N] */
  readonly weightHh: Variable
  /** [4·H] */
  readonly biasIh: Variable | undefined
}

/**
 * The scalar LSTM of xLSTM: gates are exponential, so that what comes late can outweigh all that came before; a normaliser n and a stabiliser m keep the cell in
 * range. For each step, with p = W x + b + R h, gates in the order i, f, z, o:
 * ```
 * m' = max(log σ(p_f) + m, p_i)      i = exp(p_i − m')      f = exp(log σ(p_f) + m − m')      z = tanh(p_z)      o = σ(p_o)
 * c' = f ⊙ c + i ⊙ z                 n' = f ⊙ n + i         h' = o ⊙ c' / n'
 * ```
 * R is block-diagonal by heads: `weight_hh_l0` is [4·H, H/N], its row g·H + u what gate g of unit u reads of its head. One bias; all weights start within ±1/√H.
 *
 * Shapes: x [B, T, I] → output [B, T, D·H]; state.h, .c, .n and .m [K·D, B, H], absent: zeros. Layers, directions, dropout, lengths: as `nn.LSTM`. A stream is
 * calls of one step each, with the state given back. float32 and float64 on the CPU. The layer alone: without the norms, convolution and projections of
 * the paper's block.
 *
 * Errors: `ERR_SHAPE`, `ERR_DTYPE`, `ERR_DEVICE` where x or the state does not fit; `ERR_RANGE` for a length outside 0 … T; `ERR_ARGUMENT` where the heads do
 * not divide H. Not in torch. Source: Beck et al. 2024 (xLSTM), section 2.2.
 *
 * @example
 * const rnn = new nn.SLSTM(8, 32, { numHeads: 4 })
 * const { output, state } = rnn.forward(zeros([4, 10, 8]))
 * output.shape    // [4, 10, 32]
 * state.n.shape   // [1, 4, 32]
 */
export class SLSTM extends Stacked<SLSTMWeights> {
  readonly numHeads: number

  constructor(inputSize: number, hiddenSize: number, options: SLSTMOptions = {}) {
    const op = 'SLSTM'
    const { bias = true, numHeads = 1, dtype, device } = needOptions(options, op)
    const heads = whole(numHeads, 'numHeads', op, 1)
    const hidden = whole(hiddenSize, 'hiddenSize', op, 1)
    if (hidden % heads !== 0) {
      const [expected, got] = [`a divisor of hiddenSize ${hidden}`, String(heads)]
      throw new ArgumentError(`${op}: numHeads must be ${expected}, got ${got}`, { op, expected, got })
    }
    const bound = 1 / Math.sqrt(hidden)
    super(inputSize, hidden, options, hidden, (input) => {
      const make = (...shape: number[]): Variable => uniform(shape, -bound, bound, { dtype, device })
      return {
        weightIh: make(4 * hidden, input),
        weightHh: make(4 * hidden, hidden / heads),
        biasIh: bias ? make(4 * hidden) : undefined,
      }
    })
    this.numHeads = heads
  }

  forward(x: Tensor, state?: SLSTMState, options: ForwardOptions = {}): { output: Tensor; state: SLSTMState } {
    const { hiddenSize: size } = this
    const sizes = { h: size, c: size, n: size, m: size }
    return this.run('sLSTM', sizes, x, state, options, (input, parts, { weights, reverse, lengths }) => {
      const [h, c, n, m] = parts as [Tensor, Tensor, Tensor, Tensor]
      const share = linear(input, weights.weightIh, weights.biasIh)
      const result = sLSTM(share, { h, c, n, m }, weights.weightHh, { reverse, lengths })
      return { output: result.output, state: [result.state.h, result.state.c, result.state.n, result.state.m] }
    })
  }
}
