// GRU: gated recurrent units, in layers and directions.
import { sigmoid, tanh } from './gate.js'
import { RecurrentPass, type Row } from './recurrent.js'
import { Stacked, type StackedOptions } from './stacked.js'
import { Workspace } from './workspace.js'

class GRUPass extends RecurrentPass {
  readonly c = undefined
  /** [B·T, 3H]: of n the product W_hn h + b_hn; then the gradients of W_hh h + b_hh. */
  readonly #hidden = new Workspace()
  #kept: Float32Array = new Float32Array(0)

  constructor(inputSize: number, hiddenSize: number, bias: boolean) {
    super(3, inputSize, hiddenSize, bias)
  }

  protected prepare(rows: number): void {
    this.#kept = this.#hidden.take(rows * 3 * this.hiddenSize)
  }

  protected step(gates: Float32Array, z: Float32Array, h: Float32Array, out: Float32Array, b: number, row: Row): void {
    const H = this.hiddenSize
    const kept = this.#kept
    const unit = b * H
    for (let j = 0, g = row.gates, w = 3 * unit; j < H; j++, g++, w++) {
      const r = sigmoid((gates[g] as number) + (z[w] as number))
      const u = sigmoid((gates[g + H] as number) + (z[w + H] as number))
      const s = z[w + 2 * H] as number
      const n = tanh((gates[g + 2 * H] as number) + r * s)
      const y = (1 - u) * n + u * (h[unit + j] as number)
      gates[g] = r
      gates[g + H] = u
      gates[g + 2 * H] = n
      kept[g + 2 * H] = s
      h[unit + j] = y
      out[row.out + j] = y
    }
  }

  protected slopes(
    gates: Float32Array,
    dz: Float32Array,
    dh: Float32Array,
    out: Float32Array,
    start: Float32Array,
    b: number,
    row: Row,
  ): void {
    const H = this.hiddenSize
    const kept = this.#kept
    const unit = b * H
    const before = row.before < 0 ? start : out
    const at = row.before < 0 ? unit : row.before
    for (let j = 0, g = row.gates, w = 3 * unit; j < H; j++, g++, w++) {
      const r = gates[g] as number
      const u = gates[g + H] as number
      const n = gates[g + 2 * H] as number
      const d = dh[unit + j] as number
      const dn = d * (1 - u) * (1 - n * n)
      const du = d * ((before[at + j] as number) - n) * u * (1 - u)
      const dr = dn * (kept[g + 2 * H] as number) * r * (1 - r)
      gates[g] = dr
      gates[g + H] = du
      gates[g + 2 * H] = dn
      kept[g] = dr
      kept[g + H] = du
      kept[g + 2 * H] = dn * r
      dz[w] = dr
      dz[w + H] = du
      dz[w + 2 * H] = dn * r
      dh[unit + j] = d * u
    }
  }

  protected override skip(gates: Float32Array, row: Row): void {
    super.skip(gates, row)
    super.skip(this.#kept, row)
  }

  protected hiddenGradients(): Float32Array {
    return this.#kept
  }
}

/**
 * Gated recurrent unit. For each step, with gates in the order r, z, n:
 * ```
 * r = σ(W_ir x + b_ir + W_hr h + b_hr)        n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))
 * z = σ(W_iz x + b_iz + W_hz h + b_hz)        h' = (1 − z) ⊙ n + z ⊙ h
 * ```
 * Shapes: x [B, T, I] → output [B, T, D·H]; state.h [K·D, B, H]. Sums in float64, kept in float32. Start, keys and errors as `nn.GRU`; the initial
 * state takes no gradient. Source: Cho et al. 2014; as in torch the reset gate multiplies the product W_hn h, not h.
 */
export class GRU extends Stacked {
  constructor(inputSize: number, hiddenSize: number, options: StackedOptions = {}) {
    const { bias = true } = options
    super('gru', inputSize, hiddenSize, options, (input) => new GRUPass(input, hiddenSize, bias))
  }
}
