// AdamW: adaptive moments with decoupled weight decay.
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

export interface AdamWOptions extends OptimizerOptions {
  /** Decay rates of the two moments. @default [0.9, 0.999] */
  betas: readonly [number, number]
  /** @default 1e-8 */
  eps: number
  /** @default 0.01 */
  weightDecay: number
}

const rule: OptimizerRule<AdamWOptions> = {
  op: 'adamw',
  defaults: { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01, masters: false },
  check: (options) => needMoments(options, 'adamw'),
  states: () => ['exp_avg', 'exp_avg_sq'],
}

/**
 * AdamW (Loshchilov and Hutter 2019, algorithm 2), one fused operation per group. With gradient g, rate η and step t from 1:
 *
 * ```
 * θ ← θ − η λ θ
 * m ← β₁ m + (1 − β₁) g          v ← β₂ v + (1 − β₂) g²
 * θ ← θ − η · m / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + ε)
 * ```
 * State keys are PyTorch's (`exp_avg`, `exp_avg_sq`). t counts the steps that the parameter took part in. Differs from torch: no `amsgrad`, no
 * `maximize`; see Optimizer.
 *
 * @example
 * const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3 })
 * optimizer.step(grad(loss, model.parameters()).clipByNorm(1))
 */
export class AdamW extends Optimizer<AdamWOptions> {
  /** @throws ArgumentError (`ERR_ARGUMENT`) for options outside their domain. */
  constructor(parameters: Parameters<AdamWOptions>, options: Partial<AdamWOptions> = {}) {
    super(rule, parameters, options)
  }

  protected override update(
    inputs: readonly (Tensor | undefined)[],
    step: StepAttributes,
    { betas: [beta1, beta2], eps, weightDecay }: AdamWOptions,
  ): void {
    record('adamw', inputs, { ...step, beta1, beta2, eps, weightDecay })
  }
}

/** `AdamW` for `fit`, which knows the parameters. */
export function adamW(options: Partial<AdamWOptions> = {}): OptimizerFactory {
  return (parameters) => new AdamW(parameters, options)
}
