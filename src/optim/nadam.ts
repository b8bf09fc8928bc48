// NAdam: Adam with the momentum of Nesterov.
import type { StepAttributes } from '../tensor/ops/control.js'
import { record } from '../tensor/record.js'
import type { Tensor } from '../tensor/tensor.js'
import {
  Optimizer,
  type OptimizerFactory,
  type OptimizerOptions,
  type OptimizerRule,
  type Parameters,
} from './optimizer.js'
import { needMoments, needNumber } from './options.js'

export interface NAdamOptions extends OptimizerOptions {
  /** Decay rates of the two moments. @default [0.9, 0.999] */
  betas: readonly [number, number]
  /** @default 1e-8 */
  eps: number
  /** Added to the gradient as λθ. @default 0 */
  weightDecay: number
  /** How fast the momentum rises to β₁. @default 4e-3 */
  momentumDecay: number
}

const rule: OptimizerRule<NAdamOptions> = {
  op: 'nadam',
  defaults: { lr: 2e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, momentumDecay: 4e-3, masters: false },
  check(options) {
    needMoments(options, 'nadam')
    needNumber(options.momentumDecay, 'momentumDecay', 'nadam', 0)
  },
  states: () => ['exp_avg', 'exp_avg_sq'],
}

/**
 * NAdam (Dozat 2016), one operation per group. With gradient g, rate η, momentum decay ψ and step t from 1:
 *
 * ```
 * g ← g + λ θ
 * μₜ = β₁ (1 − 0.96^(t ψ) / 2)    Π = μ₁ μ₂ … μₜ
 * m ← β₁ m + (1 − β₁) g          v ← β₂ v + (1 − β₂) g²
 * θ ← θ − η · ((1 − μₜ) g / (1 − Π) + μₜ₊₁ m / (1 − Π μₜ₊₁)) / (√(v / (1 − β₂ᵗ)) + ε)
 * ```
 * State keys are PyTorch's (`exp_avg`, `exp_avg_sq`); Π follows from t. Differs from torch: no `decoupled_weight_decay`, no `maximize`; see Optimizer.
 *
 * @example
 * const optimizer = new optim.NAdam(model.parameters(), { lr: 2e-3 })
 * optimizer.step(grad(loss, model.parameters()))
 */
export class NAdam extends Optimizer<NAdamOptions> {
  /** @throws ArgumentError (`ERR_ARGUMENT`) for options outside their domain. */
  constructor(parameters: Parameters<NAdamOptions>, options: Partial<NAdamOptions> = {}) {
    super(rule, parameters, options)
  }

  protected override update(
    inputs: readonly (Tensor | undefined)[],
    step: StepAttributes,
    { betas: [beta1, beta2], eps, weightDecay, momentumDecay }: NAdamOptions,
  ): void {
    record('nadam', inputs, { ...step, beta1, beta2, eps, weightDecay, momentumDecay })
  }
}

/** `NAdam` for `fit`, which knows the parameters. */
export function nAdam(options: Partial<NAdamOptions> = {}): OptimizerFactory {
  return (parameters) => new NAdam(parameters, options)
}
