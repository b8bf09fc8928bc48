// One layer in one direction of a recurrence whose gates read the state: LSTM, GRU and Elman. Subclasses say what one step is.
import { type Parameter, uniform } from './parameter.js'
import { addInputGradient, addProduct, affineGradients, affineOf, fillRows, transpose } from './product.js'
import type { Columns, Pass, Sequence } from './stacked.js'
import { Workspace } from './workspace.js'

/** Where a step finds its numbers: row b of the batch. All offsets are of the first unit. */
export interface Row {
  /** Of the gates, in arrays [B·T, G·H]. */
  gates: number
  /** Of what belongs to the step alone, in arrays [B·T, H]. */
  unit: number
  /** Of the output. */
  out: number
  /** Of the output of the step before, or −1 where that is the initial state. */
  before: number
  /** Of the same in arrays [B·T, H]. */
  unitBefore: number
}

/**
 * W_ih x + b_ih of all steps is one product; then, step by step, W_hh h + b_hh and the gates. Backward the other way round: step by step the gradients
 * of the gates and of h, then three products for the input and the weights.
 */
export abstract class RecurrentPass implements Pass {
  readonly h = new Workspace()
  abstract readonly c: Workspace | undefined
  protected readonly hiddenSize: number
  protected readonly gateCount: number
  readonly #weightIh: Parameter
  readonly #weightHh: Parameter
  readonly #biasIh: Parameter | undefined
  readonly #biasHh: Parameter | undefined
  #x: Float32Array = new Float32Array(0)
  #out: Columns = { data: new Float32Array(0), at: 0, stride: 0 }
  /** [B·T, G·H]: W_ih x + b_ih, then the gates, then their gradients. */
  readonly #gates = new Workspace()
  /** [B, G·H]: of one step, W_hh h + b_hh, then its gradient. */
  readonly #step = new Workspace()
  /** [B, H] */
  readonly #start = new Workspace()
  readonly #dh = new Workspace()
  readonly #weightT = new Workspace()
  readonly #hBefore = new Workspace()
  readonly #row: Row = { gates: 0, unit: 0, out: 0, before: 0, unitBefore: 0 }

  protected constructor(gates: number, inputSize: number, hiddenSize: number, bias: boolean) {
    this.hiddenSize = hiddenSize
    this.gateCount = gates
    const bound = 1 / Math.sqrt(hiddenSize)
    this.#weightIh = uniform([gates * hiddenSize, inputSize], bound)
    this.#weightHh = uniform([gates * hiddenSize, hiddenSize], bound)
    this.#biasIh = bias ? uniform([gates * hiddenSize], bound) : undefined
    this.#biasHh = bias ? uniform([gates * hiddenSize], bound) : undefined
  }

  parameters(): Record<string, Parameter | undefined> {
    return { weight_ih: this.#weightIh, weight_hh: this.#weightHh, bias_ih: this.#biasIh, bias_hh: this.#biasHh }
  }

  /** Memory for a pass over so many rows, and whatever else has to be ready before the first step. */
  protected abstract prepare(rows: number, batch: number): void

  /** One step of one row: `gates` [.., G·H] hold W_ih x + b_ih, `z` from `at` on W_hh h + b_hh; h becomes the next state, and the output. */
  protected abstract step(
    gates: Float32Array,
    z: Float32Array,
    h: Float32Array,
    out: Float32Array,
    b: number,
    row: Row,
  ): void

  /**
   * The gradients of one step of one row: `dh` from b·H on is that of the new h. The gates become the gradients of W_ih x + b_ih, `dz` that of
   * W_hh h + b_hh, and `dh` what reaches the h before without that product. `start` is the initial state.
   */
  protected abstract slopes(
    gates: Float32Array,
    dz: Float32Array,
    dh: Float32Array,
    out: Float32Array,
    start: Float32Array,
    b: number,
    row: Row,
  ): void

  /** The gradients of W_hh h + b_hh of all steps [B·T, G·H], where they are not those of W_ih x + b_ih. */
  protected abstract hiddenGradients(gates: Float32Array): Float32Array

  /** A step of a row behind its length: no gradient. */
  protected skip(gates: Float32Array, row: Row): void {
    gates.fill(0, row.gates, row.gates + this.gateCount * this.hiddenSize)
  }

  forward(x: Float32Array, out: Columns, sequence: Sequence): void {
    const { batch, steps, lengths, reverse } = sequence
    const H = this.hiddenSize
    const width = this.gateCount * H
    const rows = batch * steps
    this.prepare(rows, batch)
    const gates = this.#gates.take(rows * width)
    affineOf(gates, x, this.#weightIh, this.#biasIh, rows)
    const h = this.h.take(batch * H)
    this.#start.take(batch * H).set(h)
    const z = this.#step.take(batch * width)
    for (let n = 0; n < steps; n++) {
      const t = reverse ? steps - 1 - n : n
      fillRows(z, this.#biasHh?.data, batch, width)
      addProduct(z, h, this.#weightHh.data, batch, width, H)
      for (let b = 0; b < batch; b++) {
        const row = this.#at(b, t, out, sequence)
        if (lengths !== undefined && t >= (lengths[b] as number)) out.data.fill(0, row.out, row.out + H)
        else this.step(gates, z, h, out.data, b, row)
      }
    }
    this.#x = x
    this.#out = out
  }

  backward(dx: Float32Array | undefined, dOut: Columns, sequence: Sequence): void {
    const { batch, steps, lengths, reverse } = sequence
    const H = this.hiddenSize
    const width = this.gateCount * H
    const rows = batch * steps
    const gates = this.#gates.take(rows * width)
    const dz = this.#step.zeros(batch * width)
    const dh = this.#dh.zeros(batch * H)
    const start = this.#start.take(batch * H)
    const out = this.#out
    const weightT = this.#weightT.take(width * H)
    transpose(weightT, this.#weightHh.data, width, H)
    for (let n = steps - 1; n >= 0; n--) {
      const t = reverse ? steps - 1 - n : n
      for (let b = 0; b < batch; b++) {
        const row = this.#at(b, t, out, sequence)
        if (lengths !== undefined && t >= (lengths[b] as number)) {
          this.skip(gates, row)
          continue
        }
        const from = (b * steps + t) * dOut.stride + dOut.at
        for (let j = 0; j < H; j++) dh[b * H + j] = (dh[b * H + j] as number) + (dOut.data[from + j] as number)
        this.slopes(gates, dz, dh, out.data, start, b, row)
      }
      if (n > 0) addProduct(dh, dz, weightT, batch, H, width)
    }
    affineGradients(
      gates,
      this.#x,
      this.#weightIh.grad,
      this.#biasIh?.grad,
      rows,
      width,
      this.#weightIh.shape[1] as number,
    )
    const hidden = this.hiddenGradients(gates)
    affineGradients(hidden, this.#before(sequence), this.#weightHh.grad, this.#biasHh?.grad, rows, width, H)
    if (dx !== undefined)
      addInputGradient(dx, gates, this.#weightIh.data, rows, width, this.#weightIh.shape[1] as number)
  }

  /** The h [B·T, H] that each step read. */
  #before(sequence: Sequence): Float32Array {
    const { batch, steps } = sequence
    const H = this.hiddenSize
    const all = this.#hBefore.take(batch * steps * H)
    const start = this.#start.take(batch * H)
    for (let b = 0; b < batch; b++)
      for (let t = 0; t < steps; t++) {
        const { unit, before } = this.#at(b, t, this.#out, sequence)
        const from = before < 0 ? start : this.#out.data
        const at = before < 0 ? b * H : before
        for (let j = 0; j < H; j++) all[unit + j] = from[at + j] as number
      }
    return all
  }

  #at(b: number, t: number, { at, stride }: Columns, { steps, lengths, reverse }: Sequence): Row {
    const H = this.hiddenSize
    const index = b * steps + t
    const last = reverse ? t + 1 : t - 1
    const first = last < 0 || last >= (lengths === undefined ? steps : (lengths[b] as number))
    const row = this.#row
    row.gates = index * this.gateCount * H
    row.unit = index * H
    row.out = index * stride + at
    row.before = first ? -1 : (b * steps + last) * stride + at
    row.unitBefore = first ? -1 : (b * steps + last) * H
    return row
  }
}
