// MinGRU: a GRU whose gate does not read the state, in layers and directions.
import { sigmoid } from './gate.js'
import { candidate, candidateSlope, type MinimalOptions, MinimalPass } from './minimal.js'
import { Stacked } from './stacked.js'

class MinGRUPass extends MinimalPass {
  constructor(inputSize: number, hiddenSize: number, bias: boolean, positive: boolean) {
    super(2, inputSize, hiddenSize, bias, positive)
  }

  protected step(p: Float32Array, at: number, h: Float32Array, unit: number): void {
    const H = this.hiddenSize
    const positive = this.positive
    for (let j = 0; j < H; j++) {
      const z = sigmoid(p[at + j] as number)
      const c = candidate(p[at + H + j] as number, positive)
      h[unit + j] = (1 - z) * (h[unit + j] as number) + z * c
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
      const z = sigmoid(p[at + j] as number)
      const x = p[at + H + j] as number
      const d = dh[unit + j] as number
      p[at + j] = d * (candidate(x, positive) - (before[from + j] as number)) * z * (1 - z)
      p[at + H + j] = d * z * candidateSlope(x, positive)
      dh[unit + j] = d * (1 - z)
    }
  }
}

/**
 * Minimal gated recurrent unit. For each step, with gates in the order z, c:
 * ```
 * z = σ(W_z x + b_z)      c = g(W_c x + b_c)      h' = (1 − z) ⊙ h + z ⊙ c
 * ```
 * g(x) = x, or made positive by an option. Shapes: x [B, T, I] → output [B, T, D·H]; state.h [K·D, B, H]. Start, keys and errors as `nn.MinGRU`; the
 * initial state takes no gradient. Source: Feng et al. 2024 (Were RNNs All We Needed?), section 3.1.
 */
export class MinGRU extends Stacked {
  constructor(inputSize: number, hiddenSize: number, options: MinimalOptions = {}) {
    const { bias = true, positive = false } = options
    super('minGRU', inputSize, hiddenSize, options, (input) => new MinGRUPass(input, hiddenSize, bias, positive))
  }
}
