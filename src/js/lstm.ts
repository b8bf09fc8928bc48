// LSTM: long short-term memory, in layers and directions.
import { sigmoid, tanh } from './gate.js'
import { RecurrentPass, type Row } from './recurrent.js'
import { Stacked, type StackedOptions } from './stacked.js'
import { Workspace } from './workspace.js'

class LSTMPass extends RecurrentPass {
  readonly c = new Workspace()
  readonly #dc = new Workspace()
  /** [B, H] and [B·T, H]: the cells at the start and after each step. */
  readonly #start = new Workspace()
  readonly #cells = new Workspace()
  #c: Float32Array = new Float32Array(0)
  #kept: Float32Array = new Float32Array(0)
  #slope: Float32Array = new Float32Array(0)
  #first: Float32Array = new Float32Array(0)

  constructor(inputSize: number, hiddenSize: number, bias: boolean) {
    super(4, inputSize, hiddenSize, bias)
  }

  protected prepare(rows: number, batch: number): void {
    const H = this.hiddenSize
    this.#c = this.c.take(batch * H)
    this.#first = this.#start.take(batch * H)
    this.#first.set(this.#c)
    this.#kept = this.#cells.take(rows * H)
    this.#slope = this.#dc.zeros(batch * H)
  }

  protected step(gates: Float32Array, z: Float32Array, h: Float32Array, out: Float32Array, b: number, row: Row): void {
    const H = this.hiddenSize
    const cells = this.#c
    const kept = this.#kept
    const unit = b * H
    for (let j = 0, g = row.gates, w = 4 * unit; j < H; j++, g++, w++) {
      const i = sigmoid((gates[g] as number) + (z[w] as number))
      const f = sigmoid((gates[g + H] as number) + (z[w + H] as number))
      const n = tanh((gates[g + 2 * H] as number) + (z[w + 2 * H] as number))
      const o = sigmoid((gates[g + 3 * H] as number) + (z[w + 3 * H] as number))
      const c = f * (cells[unit + j] as number) + i * n
      const y = o * tanh(c)
      gates[g] = i
      gates[g + H] = f
      gates[g + 2 * H] = n
      gates[g + 3 * H] = o
      cells[unit + j] = c
      kept[row.unit + j] = c
      h[unit + j] = y
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
    const kept = this.#kept
    const dcs = this.#slope
    const unit = b * H
    const before = row.unitBefore < 0 ? this.#first : kept
    const at = row.unitBefore < 0 ? unit : row.unitBefore
    for (let j = 0, g = row.gates, w = 4 * unit; j < H; j++, g++, w++) {
      const i = gates[g] as number
      const f = gates[g + H] as number
      const n = gates[g + 2 * H] as number
      const o = gates[g + 3 * H] as number
      const y = tanh(kept[row.unit + j] as number)
      const d = dh[unit + j] as number
      const dc = (dcs[unit + j] as number) + d * o * (1 - y * y)
      const di = dc * n * i * (1 - i)
      const df = dc * (before[at + j] as number) * f * (1 - f)
      const dn = dc * i * (1 - n * n)
      const dO = d * y * o * (1 - o)
      dcs[unit + j] = dc * f
      gates[g] = di
      gates[g + H] = df
      gates[g + 2 * H] = dn
      gates[g + 3 * H] = dO
      dz[w] = di
      dz[w + H] = df
      dz[w + 2 * H] = dn
      dz[w + 3 * H] = dO
      dh[unit + j] = 0
    }
  }

  protected hiddenGradients(gates: Float32Array): Float32Array {
    return gates
  }
}

/**
 * Long short-term memory. For each step, with gates in the order i, f, g, o:
 * ```
 * i = σ(W_ii x + b_ii + W_hi h + b_hi)        c' = f ⊙ c + i ⊙ g
 * f = σ(W_if x + b_if + W_hf h + b_hf)        h' = o ⊙ tanh(c')
 * g = tanh(W_ig x + b_ig + W_hg h + b_hg)
 * o = σ(W_io x + b_io + W_ho h + b_ho)
 * ```
 * Shapes: x [B, T, I] → output [B, T, D·H]; state.h, state.c [K·D, B, H]. Sums in float64, kept in float32. Start, keys and errors as `nn.LSTM`;
 * the initial state takes no gradient. Source: Hochreiter and Schmidhuber 1997; forget gate of Gers et al. 2000.
 *
 * @example
 * const rnn = new js.LSTM(8, 32, { numLayers: 2 })
 * const y = rnn.forward(new Float32Array(4 * 10 * 8), [4, 10, 8])
 * rnn.outputShape   // [4, 10, 32]
 * const dx = rnn.backward(new Float32Array(y.length).fill(1))
 */
export class LSTM extends Stacked {
  constructor(inputSize: number, hiddenSize: number, options: StackedOptions = {}) {
    const { bias = true } = options
    super('lstm', inputSize, hiddenSize, options, (input) => new LSTMPass(input, hiddenSize, bias))
  }
}
