// Lion: the sign of a momentum.
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
import { needBetas, needNumber } from './options.js'

export interface LionOptions extends OptimizerOptions {
  /** The share of the mean in the update, and how much of the mean is kept. @default [0.9, 0.99] */
  betas: readonly [number, number]
  /** @default 0 */
  weightDecay: number
}

const rule: OptimizerRule<LionOptions> = {
  op: 'lion',
  defaults: { lr: 1e-4, betas: [0.9, 0.99], weightDecay: 0, masters: false },
  check({ betas, weightDecay }) {
    needBetas(betas, 'lion')
    needNumber(weightDecay, 'weightDecay', 'lion', 0)
  },
  states: () => ['exp_avg'],
}

/**
 * Lion (Chen et al. 2023, algorithm 2), one operation per group and one state per parameter. With gradient g and rate η:
 *
 * ```
 * θ ← θ − η λ θ − η sign(β₁ m + (1 − β₁) g)
 * m ← β₂ m + (1 − β₂) g
 * ```
 * Every element moves by η at each step: a rate 3 to 10 times below that of AdamW, and a weight decay as much above, are usual.
 * The state key is `exp_avg`. PyTorch has no such optimizer.
 *
 * @example
 * const optimizer = new optim.Lion(model.parameters(), { lr: 1e-4, weightDecay: 0.1 })
 * optimizer.step(grad(loss, model.parameters()))
 */
export class Lion extends Optimizer<LionOptions> {
  /** @throws ArgumentError (`ERR_ARGUMENT`) for options outside their domain. */
  constructor(parameters: Parameters<LionOptions>, options: Partial<LionOptions> = {}) {
    super(rule, parameters, options)
  }

  protected override update(
    inputs: readonly (Tensor | undefined)[],
    step: StepAttributes,
    { betas: [beta1, beta2], weightDecay }: LionOptions,
  ): void {
    record('lion', inputs, { ...step, beta1, beta2, weightDecay })
  }
}

/** `Lion` for `fit`, which knows the parameters. */
export function lion(options: Partial<LionOptions> = {}): OptimizerFactory {
  return (parameters) => new Lion(parameters, options)
}
