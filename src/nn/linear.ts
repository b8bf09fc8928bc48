// Linear: an affine map of the last axis.

import type { TensorOptions } from '../tensor/create.js'
import type { FloatDType } from '../tensor/dtype.js'
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { linear } from './functional.js'
import { uniform } from './init.js'
import { Module } from './module.js'

/** Where and as what a layer makes its parameters. */
export type ParameterOptions = TensorOptions<FloatDType>

export interface LinearOptions extends ParameterOptions {
  /** @default true */
  bias?: boolean
}

/**
 * y = x·Wᵀ + b. Shapes: x […, I] → y […, O]; weight [O, I], bias [O].
 *
 * Weights and biases start uniform on ±1/√I. Errors: `ERR_SHAPE`, `ERR_DTYPE` where x does not fit. Differs from torch: nothing.
 *
 * @example
 * const layer = new nn.Linear(3, 5)
 * layer.forward(zeros([2, 7, 3])).shape   // [2, 7, 5]
 */
export class Linear extends Module {
  readonly weight: Variable
  readonly bias: Variable | undefined

  constructor(inFeatures: number, outFeatures: number, given: LinearOptions = {}) {
    super()
    const { bias = true, ...options } = needOptions(given, 'Linear')
    whole(inFeatures, 'inFeatures', 'Linear')
    whole(outFeatures, 'outFeatures', 'Linear')
    const bound = inFeatures === 0 ? 0 : 1 / Math.sqrt(inFeatures)
    this.weight = uniform([outFeatures, inFeatures], -bound, bound, options)
    this.bias = bias ? uniform([outFeatures], -bound, bound, options) : undefined
  }

  forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias)
  }
}
