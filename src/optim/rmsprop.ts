// RMSprop: gradients divided by their running size.
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
import { needFlag, needNumber } from './options.js'

export interface RMSpropOptions extends OptimizerOptions {
  /** How much of the running square is kept at each step. @default 0.99 */
  alpha: number
  /** @default 1e-8 */
  eps: number
  /** Added to the gradient as λθ. @default 0 */
  weightDecay: number
  /** @default 0 */
  momentum: number
  /** Divides by the running deviation instead of the running size. @default false */
  centered: boolean
}

const rule: OptimizerRule<RMSpropOptions> = {
  op: 'rmsprop',
  defaults: { lr: 1e-2, alpha: 0.99, eps: 1e-8, weightDecay: 0, momentum: 0, centered: false, masters: false },
  check({ alpha, eps, weightDecay, momentum, centered }) {
    needNumber(alpha, 'alpha', 'rmsprop', 0, 1)
    needNumber(eps, 'eps', 'rmsprop', 0)
    needNumber(weightDecay, 'weightDecay', 'rmsprop', 0)
    needNumber(momentum, 'momentum', 'rmsprop', 0)
    needFlag(centered, 'centered', 'rmsprop')
  },
  states: ({ momentum, centered }) => [
    'square_avg',
    ...(momentum > 0 ? ['momentum_buffer'] : []),
    ...(centered ? ['grad_avg'] : []),
  ],
}

/**
 * RMSprop (Tieleman and Hinton 2012; centred: Graves 2013), one operation per group. With gradient g, rate η, momentum μ:
 *
 * ```
 * g ← g + λ θ
 * v ← α v + (1 − α) g²           m ← α m + (1 − α) g      (where centred, else 0)
 * u = g / (√(v − m²) + ε)
 * b ← μ b + u                    θ ← θ − η b              (without momentum θ ← θ − η u)
 * ```
 * State keys are PyTorch's (`square_avg`, `momentum_buffer`, `grad_avg`). Differs from torch: α < 1; no `maximize`; see Optimizer.
 *
 * @example
 * const optimizer = new optim.RMSprop(model.parameters(), { lr: 1e-3, momentum: 0.9 })
 * optimizer.step(grad(loss, model.parameters()))
 */
export class RMSprop extends Optimizer<RMSpropOptions> {
  /** @throws ArgumentError (`ERR_ARGUMENT`) for options outside their domain. */
  constructor(parameters: Parameters<RMSpropOptions>, options: Partial<RMSpropOptions> = {}) {
    super(rule, parameters, options)
  }

  protected override update(
    inputs: readonly (Tensor | undefined)[],
    step: StepAttributes,
    { alpha, eps, weightDecay, momentum, centered }: RMSpropOptions,
  ): void {
    record('rmsprop', inputs, { ...step, alpha, eps, weightDecay, momentum, centered })
  }
}

/** `RMSprop` for `fit`, which knows the parameters. */
export function rmsprop(options: Partial<RMSpropOptions> = {}): OptimizerFactory {
  return (parameters) => new RMSprop(parameters, options)
}
