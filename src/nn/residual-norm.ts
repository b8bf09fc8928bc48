// ResidualNorm: a residual addition and the norm that follows it.
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { residualNorm } from './functional.js'
import { ones, zeros } from './init.js'
import type { ParameterOptions } from './linear.js'
import { Module } from './module.js'

export interface ResidualNormLayerOptions extends ParameterOptions {
  /** By the root of the mean square, without subtracting the mean. @default false */
  rms?: boolean
  /** Learns an offset beside the factor. @default true, for rms false */
  bias?: boolean
  /** @default 1e-5 */
  eps?: number
}

/**
 * Adds to a stream and normalises it, in one pass: s = x + residual, and
 * ```
 * layer norm:  y = (s − mean(s)) / √(variance(s) + eps) ⊙ weight + bias      the variance divided by D
 * rms:         y = s / √(mean(s²) + eps) ⊙ weight + bias
 * ```
 * Shapes: x, residual (absent: zeros) […, D] → output y and sum s, both […, D]; weight, bias [D]; they start as ones and zeros. In a pre-norm network
 * the output goes into the next branch, and the sum is the next residual.
 *
 * float32 and float64 on the CPU. Errors: `ERR_SHAPE`, `ERR_DTYPE`, `ERR_DEVICE` where x or the residual does not fit. Not in torch as one layer; keys
 * are those of `LayerNorm` and `RMSNorm`. Source: Ba et al. 2016; Zhang and Sennrich 2019.
 *
 * @example
 * const norm = new nn.ResidualNorm(16, { rms: true })
 * const { output, sum } = norm.forward(zeros([4, 16]), zeros([4, 16]))
 * output.shape   // [4, 16]
 */
export class ResidualNorm extends Module {
  readonly weight: Variable
  readonly bias: Variable | undefined
  readonly rms: boolean
  readonly eps: number

  constructor(width: number, given: ResidualNormLayerOptions = {}) {
    super()
    const { rms = false, bias = !rms, eps = 1e-5, ...place } = needOptions(given, 'ResidualNorm')
    const shape = [whole(width, 'width', 'ResidualNorm', 1)]
    this.weight = ones(shape, place)
    this.bias = bias ? zeros(shape, place) : undefined
    this.rms = rms
    this.eps = eps
  }

  forward(x: Tensor, residual?: Tensor): { output: Tensor; sum: Tensor } {
    const { weight, bias, rms, eps } = this
    return residualNorm(x, residual, { weight, bias, rms, eps })
  }
}
