// RMSNorm: each position divided by its root mean square.
import { needOptions } from '../tensor/options.js'
import { type Shape, whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { rmsNorm } from './functional.js'
import { ones } from './init.js'
import type { ParameterOptions } from './linear.js'
import { Module } from './module.js'

export interface RMSNormOptions extends ParameterOptions {
  /** @default the distance from 1 to the next number of the dtype */
  eps?: number
  /** Learns a factor per element. @default true */
  affine?: boolean
}

/**
 * y = x / √(mean(x²) + eps) ⊙ weight, the mean over the last axes, of sizes `shape`.
 *
 * Shapes: x […, ...shape] → the same; weight [...shape], starting as ones. Errors: `ERR_SHAPE`, `ERR_DTYPE`.
 * Differs from torch: the option is named `affine`. Source: Zhang and Sennrich 2019.
 *
 * @example
 * new nn.RMSNorm(16).forward(zeros([2, 5, 16])).shape   // [2, 5, 16]
 */
export class RMSNorm extends Module {
  readonly weight: Variable | undefined
  readonly shape: Shape
  readonly eps: number | undefined

  constructor(shape: number | Shape, given: RMSNormOptions = {}) {
    super()
    const { eps, affine = true, ...options } = needOptions(given, 'RMSNorm')
    this.shape = [shape].flat().map((size) => whole(size as number, 'shape', 'RMSNorm', 1))
    this.eps = eps
    this.weight = affine ? ones(this.shape, options) : undefined
  }

  forward(x: Tensor): Tensor {
    return rmsNorm(x, this.shape, { weight: this.weight, eps: this.eps })
  }
}
