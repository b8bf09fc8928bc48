// One layer in one direction of a recurrence whose gates do not read the state: minGRU and minLSTM. Subclasses say what the scan is.
import { sigmoid } from './gate.js'
import { type Parameter, uniform } from './parameter.js'
import { affineBackward, affineOf } from './product.js'
import type { Columns, Pass, Sequence, StackedOptions } from './stacked.js'
import { Workspace } from './workspace.js'

export interface MinimalOptions extends StackedOptions {
  /** Candidates by g(x) = x + ½ from 0 on and σ(x) below, always positive, instead of g(x) = x. @default false */
  positive?: boolean
}

/** The pre-activations of all steps are one product; the scan goes along time, row by row. */
export abstract class MinimalPass implements Pass {
  readonly h = new Workspace()
  readonly c = undefined
  protected readonly hiddenSize: number
  protected readonly positive: boolean
  readonly #gates: number
  readonly #weight: Parameter
  readonly #bias: Parameter | undefined
  #x: Float32Array = new Float32Array(0)
  #out: Columns = { data: new Float32Array(0), at: 0, stride: 0 }
  /** [B·T, G·H]: the pre-activations, then their gradients. */
  readonly #p = new Workspace()
  readonly #start = new Workspace()
  readonly #dh = new Workspace()

  protected constructor(gates: number, inputSize: number, hiddenSize: number, bias: boolean, positive: boolean) {
    this.hiddenSize = hiddenSize
    this.positive = positive
    this.#gates = gates
    const bound = 1 / Math.sqrt(inputSize)
    this.#weight = uniform([gates * hiddenSize, inputSize], bound)
    this.#bias = bias ? uniform([gates * hiddenSize], bound) : undefined
  }

  parameters(): Record<string, Parameter | undefined> {
    return { weight_ih: this.#weight, bias_ih: this.#bias }
  }

  /** One step: h from `unit` on becomes the next state; the pre-activations are those of p from `at` on. */
  protected abstract step(p: Float32Array, at: number, h: Float32Array, unit: number): void

  /** Its gradients: p becomes theirs, and dh, that of the new h, that of the h before, which lies in `before` from `from` on. */
  protected abstract slopes(
    p: Float32Array,
    at: number,
    dh: Float32Array,
    unit: number,
    before: Float32Array,
    from: number,
  ): void

  forward(x: Float32Array, out: Columns, { batch, steps, lengths, reverse }: Sequence): void {
    const H = this.hiddenSize
    const width = this.#gates * H
    const p = this.#p.take(batch * steps * width)
    affineOf(p, x, this.#weight, this.#bias, batch * steps)
    const h = this.h.take(batch * H)
    this.#start.take(batch * H).set(h)
    for (let b = 0; b < batch; b++) {
      const length = lengths?.[b] ?? steps
      for (let n = 0; n < steps; n++) {
        const t = reverse ? steps - 1 - n : n
        const to = (b * steps + t) * out.stride + out.at
        if (t >= length) {
          out.data.fill(0, to, to + H)
          continue
        }
        this.step(p, (b * steps + t) * width, h, b * H)
        for (let j = 0; j < H; j++) out.data[to + j] = h[b * H + j] as number
      }
    }
    this.#x = x
    this.#out = out
  }

  backward(dx: Float32Array | undefined, dOut: Columns, { batch, steps, lengths, reverse }: Sequence): void {
    const H = this.hiddenSize
    const width = this.#gates * H
    const p = this.#p.take(batch * steps * width)
    const dh = this.#dh.zeros(batch * H)
    const start = this.#start.take(batch * H)
    const { data, at, stride } = this.#out
    for (let b = 0; b < batch; b++) {
      const length = lengths?.[b] ?? steps
      for (let n = steps - 1; n >= 0; n--) {
        const t = reverse ? steps - 1 - n : n
        const row = b * steps + t
        if (t >= length) {
          p.fill(0, row * width, (row + 1) * width)
          continue
        }
        const from = row * dOut.stride + dOut.at
        for (let j = 0; j < H; j++) dh[b * H + j] = (dh[b * H + j] as number) + (dOut.data[from + j] as number)
        const last = reverse ? t + 1 : t - 1
        if (last < 0 || last >= length) this.slopes(p, row * width, dh, b * H, start, b * H)
        else this.slopes(p, row * width, dh, b * H, data, (b * steps + last) * stride + at)
      }
    }
    affineBackward(dx, p, this.#x, this.#weight, this.#bias, batch * steps)
  }
}

/** g(x) = x, or x + ½ from 0 on and σ(x) below. */
export function candidate(x: number, positive: boolean): number {
  return positive ? (x < 0 ? sigmoid(x) : x + 0.5) : x
}

/** Its slope. */
export function candidateSlope(x: number, positive: boolean): number {
  if (!positive || x >= 0) return 1
  const s = sigmoid(x)
  return s * (1 - s)
}
