// SGD: stochastic gradient descent with momentum.
import { ArgumentError } from '../errors.js'
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

export interface SGDOptions extends OptimizerOptions {
  /** @default 0 */
  momentum: number
  /** @default 0 */
  dampening: number
  /** Added to the gradient as λθ. @default 0 */
  weightDecay: number
  /** Looks ahead along the momentum (Sutskever et al. 2013). @default false */
  nesterov: boolean
}

const rule: OptimizerRule<SGDOptions> = {
  op: 'sgd',
  defaults: { lr: 1e-2, momentum: 0, dampening: 0, weightDecay: 0, nesterov: false, masters: false },
  check({ momentum, dampening, weightDecay, nesterov }) {
    needNumber(momentum, 'momentum', 'sgd', 0)
    needNumber(dampening, 'dampening', 'sgd')
    needNumber(weightDecay, 'weightDecay', 'sgd', 0)
    needFlag(nesterov, 'nesterov', 'sgd')
    if (nesterov && (momentum === 0 || dampening !== 0)) {
      throw new ArgumentError('sgd: nesterov needs a momentum and no dampening', {
        op: 'sgd',
        expected: 'momentum > 0, dampening 0',
        got: `momentum ${momentum}, dampening ${dampening}`,
      })
    }
  },
  states: ({ momentum }) => (momentum > 0 ? ['momentum_buffer'] : []),
}

/**
 * Stochastic gradient descent, one fused operation per group. With gradient g, rate η, momentum μ, dampening τ:
 *
 * ```
 * g ← g + λ θ
 * b ← μ b + (1 − τ) g            (b = g at the first step)
 * θ ← θ − η b                    (nesterov: θ ← θ − η (g + μ b))
 * ```
 * As `torch.optim.SGD`; the state key is `momentum_buffer`.
 *
 * @example
 * const optimizer = new optim.SGD(model.parameters(), { lr: (step) => 0.7 * 0.5 ** Math.floor(step / 1000) })
 */
export class SGD extends Optimizer<SGDOptions> {
  /** @throws ArgumentError (`ERR_ARGUMENT`) for options outside their domain. */
  constructor(parameters: Parameters<SGDOptions>, options: Partial<SGDOptions> = {}) {
    super(rule, parameters, options)
  }

  protected override update(inputs: readonly (Tensor | undefined)[], step: StepAttributes, options: SGDOptions): void {
    const { momentum, dampening, weightDecay, nesterov } = options
    record('sgd', inputs, { ...step, momentum, dampening, weightDecay, nesterov })
  }
}

/** `SGD` for `fit`, which knows the parameters. */
export function sgd(options: Partial<SGDOptions> = {}): OptimizerFactory {
  return (parameters) => new SGD(parameters, options)
}
