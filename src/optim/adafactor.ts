// Adafactor: second moments of matrices kept as rows and columns.
import type { StepAttributes } from '../tensor/ops/control.js'
import { record } from '../tensor/record.js'
import { withSize } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import {
  Optimizer,
  type OptimizerFactory,
  type OptimizerOptions,
  type OptimizerRule,
  type Parameters,
} from './optimizer.js'
import { needNumber } from './options.js'

export interface AdafactorOptions extends OptimizerOptions {
  /** The second moment keeps 1 − tᵝ of itself at step t. @default -0.8 */
  beta2Decay: number
  /** Least second moment (its root), and least size of a parameter. @default [undefined, 1e-3]: the first is the distance from 1 to the next number */
  eps: readonly [number | undefined, number]
  /** Updates whose root mean square is above this are scaled down to it (torch's `d`). @default 1 */
  clipThreshold: number
  /** Of the parameter itself, as in AdamW. @default 0 */
  weightDecay: number
}

const rule: OptimizerRule<AdafactorOptions> = {
  op: 'adafactor',
  defaults: { lr: 1e-2, beta2Decay: -0.8, eps: [undefined, 1e-3], clipThreshold: 1, weightDecay: 0, masters: false },
  check({ beta2Decay, eps, clipThreshold, weightDecay }) {
    needNumber(-beta2Decay, '-beta2Decay', 'adafactor', 0)
    if (eps[0] !== undefined) needNumber(eps[0], 'eps[0]', 'adafactor', 0)
    needNumber(eps[1], 'eps[1]', 'adafactor', 0)
    needNumber(clipThreshold, 'clipThreshold', 'adafactor', 1)
    needNumber(weightDecay, 'weightDecay', 'adafactor', 0)
  },
  states: () => ['row_var', 'col_var', 'variance'],
  shapeOf: (name, shape) => {
    if (shape.length < 2) return name === 'variance' ? shape : undefined
    if (name === 'row_var') return withSize(shape, shape.length - 1, 1)
    return name === 'col_var' ? withSize(shape, shape.length - 2, 1) : undefined
  },
}

/**
 * Adafactor (Shazeer and Stern 2018), one operation per group: for a matrix of R × C it keeps R + C numbers where Adam keeps 2·R·C. With gradient g,
 * rate η, step t from 1, and rms(x) = √mean(x²):
 *
 * ```
 * α = max(ε₂, rms(θ)) · min(η, 1/√t)          w = t^β
 * θ ← θ − η λ θ
 * r ← (1 − w) r + w · mean over columns of g²    c ← (1 − w) c + w · mean over rows of g²
 * v = r cᵀ / mean(r)                            (vectors: v ← (1 − w) v + w g²)
 * u = g / max(√v, ε₁)
 * θ ← θ − α u / max(1, rms(u) / d)
 * ```
 * State keys are PyTorch's (`row_var`, `col_var`, `variance`). Differs from torch: `clipThreshold` for `d`; no `maximize`; see Optimizer.
 *
 * @example
 * const optimizer = new optim.Adafactor(model.parameters(), { lr: 1e-2 })
 * optimizer.step(grad(loss, model.parameters()))
 */
export class Adafactor extends Optimizer<AdafactorOptions> {
  /** @throws ArgumentError (`ERR_ARGUMENT`) for options outside their domain. */
  constructor(parameters: Parameters<AdafactorOptions>, options: Partial<AdafactorOptions> = {}) {
    super(rule, parameters, options)
  }

  protected override update(
    inputs: readonly (Tensor | undefined)[],
    step: StepAttributes,
    { beta2Decay, eps: [eps1 = -1, eps2], clipThreshold, weightDecay }: AdafactorOptions,
  ): void {
    record('adafactor', inputs, { ...step, beta2Decay, eps1, eps2, clipThreshold, weightDecay })
  }
}

/** `Adafactor` for `fit`, which knows the parameters. */
export function adafactor(options: Partial<AdafactorOptions> = {}): OptimizerFactory {
  return (parameters) => new Adafactor(parameters, options)
}
