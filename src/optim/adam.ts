// Adam: adaptive moments, with weight decay as part of the gradient.
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
import { needMoments } from './options.js'

export interface AdamOptions extends OptimizerOptions {
  /** Decay rates of the two moments. @default [0.9, 0.999] */
  betas: readonly [number, number]
  /** @default 1e-8 */
  eps: number
  /** Added to the gradient as λθ. @default 0 */
  weightDecay: number
}

const rule: OptimizerRule<AdamOptions> = {
  op: 'adam',
  defaults: { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, masters: false },
  check: (options) => needMoments(options, 'adam'),
  states: () => ['exp_avg', 'exp_avg_sq'],
}

/**
 * Adam (Kingma and Ba 2015, algorithm 1), one fused operation per group. With gradient g, rate η and step t from 1:
 *
 * ```
 * g ← g + λ θ
 * m ← β₁ m + (1 − β₁) g          v ← β₂ v + (1 − β₂) g²
 * θ ← θ − η · m / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + ε)
 * ```
 * The weight decay is that of L2 regularisation, scaled with the gradient; `AdamW` decays the parameter itself and is usually the better choice.
 * State keys are PyTorch's (`exp_avg`, `exp_avg_sq`). Differs from torch: no `amsgrad`, no `maximize`; see Optimizer.
 *
 * @example
 * const optimizer = new optim.Adam(model.parameters(), { lr: 1e-3 })
 * optimizer.step(grad(loss, model.parameters()))
 */
export class Adam extends Optimizer<AdamOptions> {
  /** @throws ArgumentError (`ERR_ARGUMENT`) for options outside their domain. */
  constructor(parameters: Parameters<AdamOptions>, options: Partial<AdamOptions> = {}) {
    super(rule, parameters, options)
  }

  protected override update(
    inputs: readonly (Tensor | undefined)[],
    step: StepAttributes,
    { betas: [beta1, beta2], eps, weightDecay }: AdamOptions,
  ): void {
    record('adam', inputs, { ...step, beta1, beta2, eps, weightDecay })
  }
}

/** `Adam` for `fit`, which knows the parameters. */
export function adam(options: Partial<AdamOptions> = {}): OptimizerFactory {
  return (parameters) => new Adam(parameters, options)
}
