// AdamW: adaptive moments with decoupled weight decay.
import { needNumber, Optimizer, type Parameters } from './optimizer.js'

export interface AdamWOptions {
  /** @default 1e-3 */
  lr?: number
  /** Decay rates of the two moments. @default [0.9, 0.999] */
  betas?: readonly [number, number]
  /** @default 1e-8 */
  eps?: number
  /** @default 0.01 */
  weightDecay?: number
}

/**
 * θ ← θ − η λ θ; m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²; θ ← θ − η · m / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + ε). As `optim.AdamW`; with
 * `weightDecay: 0` as `optim.Adam`. Source: Loshchilov and Hutter 2019, algorithm 2.
 */
export class AdamW extends Optimizer {
  readonly #betas: readonly [number, number]
  readonly #eps: number
  readonly #weightDecay: number
  readonly #means: Float32Array[]
  readonly #squares: Float32Array[]

  constructor(
    parameters: Parameters,
    { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 }: AdamWOptions = {},
  ) {
    super(parameters, lr)
    this.#betas = [needNumber(betas[0], 'betas[0]', 0, 1), needNumber(betas[1], 'betas[1]', 0, 1)]
    this.#eps = needNumber(eps, 'eps', 0)
    this.#weightDecay = needNumber(weightDecay, 'weightDecay', 0)
    this.#means = this.zeros()
    this.#squares = this.zeros()
  }

  protected update(data: Float32Array, grad: Float32Array, index: number): void {
    const means = this.#means[index] as Float32Array
    const squares = this.#squares[index] as Float32Array
    const [beta1, beta2] = this.#betas
    const eps = this.#eps
    const size = this.lr / (1 - beta1 ** this.steps)
    const unbias = 1 / Math.sqrt(1 - beta2 ** this.steps)
    const kept = 1 - this.lr * this.#weightDecay
    for (let i = 0; i < data.length; i++) {
      const g = grad[i] as number
      const m = beta1 * (means[i] as number) + (1 - beta1) * g
      const v = beta2 * (squares[i] as number) + (1 - beta2) * g * g
      means[i] = m
      squares[i] = v
      data[i] = (data[i] as number) * kept - (size * m) / (Math.sqrt(v) * unbias + eps)
    }
  }
}
