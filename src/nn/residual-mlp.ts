// ResidualMLP: the pre-norm residual block of two linear maps.
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { residualMLP } from './functional.js'
import { LayerNorm } from './layer-norm.js'
import { Linear, type ParameterOptions } from './linear.js'
import { Module } from './module.js'

export interface ResidualMLPOptions extends ParameterOptions {
  /** @default 1e-5 */
  eps?: number
}

/**
 * x + W₂ gelu(W₁ LN(x) + b₁) + b₂, in one operation: u never leaves the cache in inference. gelu by tanh.
 *
 * Shapes: x […, D] → […, D], with F hidden units between. Starts and keys are those of `nn.LayerNorm` and `nn.Linear`: `norm.weight`,
 * `linear1.weight` [F, D], `linear2.weight` [D, F], and their biases.
 *
 * float32 and float64 on the CPU. Errors: `ERR_SHAPE`, `ERR_DTYPE`, `ERR_DEVICE` where x does not fit. Not in torch as one layer.
 * Source: He et al. 2016 (identity shortcut); Xiong et al. 2020 (norm before the branch); Hendrycks and Gimpel 2016 (GELU).
 *
 * @example
 * const block = new nn.ResidualMLP(16, 64)
 * block.forward(zeros([4, 10, 16])).shape   // [4, 10, 16]
 */
export class ResidualMLP extends Module {
  readonly norm: LayerNorm
  readonly linear1: Linear
  readonly linear2: Linear

  constructor(width: number, hidden: number, given: ResidualMLPOptions = {}) {
    super()
    const { eps = 1e-5, ...place } = needOptions(given, 'ResidualMLP')
    whole(width, 'width', 'ResidualMLP', 1)
    whole(hidden, 'hidden', 'ResidualMLP', 1)
    this.norm = new LayerNorm(width, { eps, ...place })
    this.linear1 = new Linear(width, hidden, place)
    this.linear2 = new Linear(hidden, width, place)
  }

  forward(x: Tensor): Tensor {
    const { norm, linear1, linear2 } = this
    const weights = {
      normWeight: norm.weight,
      normBias: norm.bias,
      weight1: linear1.weight,
      bias1: linear1.bias,
      weight2: linear2.weight,
      bias2: linear2.bias,
    }
    return residualMLP(x, weights, { eps: norm.eps })
  }
}
