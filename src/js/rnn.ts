// RNN: Elman networks, in layers and directions.
import { type Nonlinearity, needNonlinearity, tanh } from './gate.js'
import { RecurrentPass, type Row } from './recurrent.js'
import { Stacked, type StackedOptions } from './stacked.js'

export interface RNNOptions extends StackedOptions {
  /** φ. @default 'tanh' */
  nonlinearity?: Nonlinearity
}

class RNNPass extends RecurrentPass {
  readonly c = undefined
  readonly #relu: boolean

  constructor(inputSize: number, hiddenSize: number, bias: boolean, nonlinearity: Nonlinearity) {
    super(1, inputSize, hiddenSize, bias)
    this.#relu = nonlinearity === 'relu'
  }

  protected prepare(): void {}

  protected step(gates: Float32Array, z: Float32Array, h: Float32Array, out: Float32Array, b: number, row: Row): void {
    const H = this.hiddenSize
    const relu = this.#relu
    for (let j = 0; j < H; j++) {
      const a = (gates[row.gates + j] as number) + (z[b * H + j] as number)
      const y = relu ? Math.max(a, 0) : tanh(a)
      gates[row.gates + j] = y
      h[b * H + j] = y
      out[row.out + j] = y
    }
  }

  protected slopes(
    gates: Float32Array,
    dz: Float32Array,
    dh: Float32Array,
    _out: Float32Array,
    _start: Float32Array,
    b: number,
    row: Row,
  ): void {
    const H = this.hiddenSize
    const relu = this.#relu
    for (let j = 0; j < H; j++) {
      const y = gates[row.gates + j] as number
      const d = (dh[b * H + j] as number) * (relu ? (y > 0 ? 1 : 0) : 1 - y * y)
      gates[row.gates + j] = d
      dz[b * H + j] = d
      dh[b * H + j] = 0
    }
  }

  protected hiddenGradients(gates: Float32Array): Float32Array {
    return gates
  }
}

/**
 * Elman network: h' = φ(W_ih x + b_ih + W_hh h + b_hh), φ tanh or ReLU.
 *
 * Shapes: x [B, T, I] → output [B, T, D·H]; state.h [K·D, B, H]. Sums in float64, kept in float32. Start, keys and errors as `nn.RNN`; the initial
 * state takes no gradient. Source: Elman 1990.
 */
export class RNN extends Stacked {
  readonly nonlinearity: Nonlinearity

  constructor(inputSize: number, hiddenSize: number, options: RNNOptions = {}) {
    const { bias = true, nonlinearity = 'tanh' } = options
    needNonlinearity(nonlinearity, 'rnn')
    super('rnn', inputSize, hiddenSize, options, (input) => new RNNPass(input, hiddenSize, bias, nonlinearity))
    this.nonlinearity = nonlinearity
  }
}
