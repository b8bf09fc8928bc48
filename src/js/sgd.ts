// SGD: stochastic gradient descent with momentum.
import { ArgumentError } from '../errors.js'
import { needNumber, Optimizer, type Parameters } from './optimizer.js'

export interface SGDOptions {
  /** @default 1e-2 */
  lr?: number
  /** @default 0 */
  momentum?: number
  /** Added to the gradient as λθ. @default 0 */
  weightDecay?: number
  /** Looks ahead along the momentum. @default false */
  nesterov?: boolean
}

/**
 * g ← g + λ θ; b ← μ b + g (b = g at the first step); θ ← θ − η b, with nesterov θ ← θ − η (g + μ b). As `optim.SGD` without dampening.
 */
export class SGD extends Optimizer {
  readonly #momentum: number
  readonly #weightDecay: number
  readonly #nesterov: boolean
  readonly #buffers: Float32Array[]

  constructor(parameters: Parameters, { lr = 1e-2, momentum = 0, weightDecay = 0, nesterov = false }: SGDOptions = {}) {
    super(parameters, lr)
    this.#momentum = needNumber(momentum, 'momentum', 0)
    this.#weightDecay = needNumber(weightDecay, 'weightDecay', 0)
    if (nesterov && momentum === 0)
      throw new ArgumentError('sgd: nesterov needs a momentum', { op: 'sgd', expected: 'momentum > 0', got: '0' })
    this.#nesterov = nesterov
    this.#buffers = momentum > 0 ? this.zeros() : []
  }

  protected update(data: Float32Array, grad: Float32Array, index: number): void {
    const { lr } = this
    const momentum = this.#momentum
    const decay = this.#weightDecay
    const buffer = this.#buffers[index]
    if (buffer === undefined) {
      for (let i = 0; i < data.length; i++) {
        const value = data[i] as number
        data[i] = value - lr * ((grad[i] as number) + decay * value)
      }
      return
    }
    // Zeros at the start give b = g at the first step.
    for (let i = 0; i < data.length; i++) {
      const value = data[i] as number
      const g = (grad[i] as number) + decay * value
      const b = momentum * (buffer[i] as number) + g
      buffer[i] = b
      data[i] = value - lr * (this.#nesterov ? g + momentum * b : b)
    }
  }
}
