// MinLSTM: an LSTM whose gates do not read the state and sum to one, in layers and directions.
import { sigmoid } from './gate.js'
import { candidate, candidateSlope, type MinimalOptions, MinimalPass } from './minimal.js'
import { Stacked } from './stacked.js'

class MinLSTMPass extends MinimalPass {
  constructor(inputSize: number, hiddenSize: number, bias: boolean, positive: boolean) {
    super(3, inputSize, hiddenSize, bias, positive)
  }

  protected step(p: Float32Array, at: number, h: Float32Array, unit: number): void {
    const H = this.hiddenSize
    const positive = this.positive
    for (let j = 0; j < H; j++) {
      const f = sigmoid(p[at + j] as number)
      const i = sigmoid(p[at + H + j] as number)
      const c = candidate(p[at + 2 * H + j] as number, positive)
      h[unit + j] = (f / (f + i)) * (h[unit + j] as number) + (i / (f + i)) * c
    }
  }

  protected slopes(
    p: Float32Array,
    at: number,
    dh: Float32Array,
    unit: number,
    before: Float32Array,
    from: number,
  ): void {
    const H = this.hiddenSize
    const positive = this.positive
    for (let j = 0; j < H; j++) {
      const f = sigmoid(p[at + j] as number)
      const i = sigmoid(p[at + H + j] as number)
      const x = p[at + 2 * H + j] as number
      const a = f / (f + i)
      const d = dh[unit + j] as number
      // ∂h'/∂f = (h − c)·i/(f + i)² and ∂h'/∂i = −(h − c)·f/(f + i)²; each times its gate's own slope.
      const both = d * ((before[from + j] as number) - candidate(x, positive)) * a * (1 - a)
      p[at + j] = both * (1 - f)
      p[at + H + j] = -both * (1 - i)
      p[at + 2 * H + j] = d * (1 - a) * candidateSlope(x, positive)
      dh[unit + j] = d * a
    }
  }
}

/**
 * Minimal long short-term memory. For each step, with gates in the order f, i, c:
 * ```
 * f = σ(W_f x + b_f)      i = σ(W_i x + b_i)      c = g(W_c x + b_c)      h' = f/(f + i) ⊙ h + i/(f + i) ⊙ c
 * ```
 * g(x) = x, or made positive by an option. Shapes, start, keys and errors as `nn.MinLSTM`; the initial state takes no gradient.
 * Source: Feng et al. 2024 (Were RNNs All We Needed?), section 3.2.
 */
export class MinLSTM extends Stacked {
  constructor(inputSize: number, hiddenSize: number, options: MinimalOptions = {}) {
    const { bias = true, positive = false } = options
    super('minLSTM', inputSize, hiddenSize, options, (input) => new MinLSTMPass(input, hiddenSize, bias, positive))
  }
}
