// What optimizers share: a step over all parameters, and gradients that begin anew after it.
import { ArgumentError } from '../errors.js'
import type { Parameter } from './parameter.js'

/** As `layer.parameters()` gives them. */
export type Parameters = ReadonlyMap<string, Parameter>

export abstract class Optimizer {
  /** May be changed between steps. */
  lr: number
  /** Steps that were taken. */
  steps = 0
  readonly #parameters: readonly Parameter[]

  protected constructor(parameters: Parameters, lr: number) {
    this.#parameters = [...parameters.values()]
    this.lr = needNumber(lr, 'lr', 0)
  }

  /** One step by the gradients that were added up since the last one; then they are zeros. */
  step(): void {
    this.steps++
    for (const [index, parameter] of this.#parameters.entries()) {
      this.update(parameter.data, parameter.grad, index)
      parameter.grad.fill(0)
    }
  }

  protected abstract update(data: Float32Array, grad: Float32Array, index: number): void

  /** Zeros beside each parameter. */
  protected zeros(): Float32Array[] {
    return this.#parameters.map(({ data }) => new Float32Array(data.length))
  }
}

/** @throws ArgumentError unless the value is finite and ≥ `least`. */
export function needNumber(value: number, name: string, least: number, below = Number.POSITIVE_INFINITY): number {
  if (Number.isFinite(value) && value >= least && value < below) return value
  const expected = below === Number.POSITIVE_INFINITY ? `≥ ${least}` : `within ${least} … ${below}`
  throw new ArgumentError(`optimizer: ${name} must be ${expected}, got ${String(value)}`, {
    op: 'optimizer',
    expected,
    got: String(value),
  })
}

/** Scales all gradients down so that their norm is at most `most`, as `clipByNorm` of `grad`; gives the norm that they had. */
export function clipGradNorm(parameters: Parameters, most: number): number {
  let sum = 0
  for (const { grad } of parameters.values()) for (let i = 0; i < grad.length; i++) sum += (grad[i] as number) ** 2
  const norm = Math.sqrt(sum)
  const factor = most / (norm + 1e-6)
  if (factor < 1)
    for (const { grad } of parameters.values())
      for (let i = 0; i < grad.length; i++) grad[i] = (grad[i] as number) * factor
  return norm
}
