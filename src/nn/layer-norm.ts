// LayerNorm: normalisation over the last axes of each position.
import { needOptions } from '../tensor/options.js'
import { type Shape, whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { layerNorm } from './functional.js'
import { ones, zeros } from './init.js'
import type { ParameterOptions } from './linear.js'
import { Module } from './module.js'

export interface LayerNormOptions extends ParameterOptions {
  /** @default 1e-5 */
  eps?: number
  /** Learns a factor and an offset per element. @default true */
  affine?: boolean
  /** Learns the offset too. @default true */
  bias?: boolean
}

/**
 * y = (x − mean) / √(variance + eps) ⊙ weight + bias, with mean and (biased) variance over the last axes, of sizes `shape`.
 *
 * Shapes: x […, ...shape] → the same; weight, bias [...shape]; they start as ones and zeros. Errors: `ERR_SHAPE`, `ERR_DTYPE`.
 * Differs from torch: the option is named `affine`. Source: Ba et al. 2016.
 *
 * @example
 * new nn.LayerNorm(16).forward(zeros([2, 5, 16])).shape   // [2, 5, 16]
 */
export class LayerNorm extends Module {
  readonly weight: Variable | undefined
  readonly bias: Variable | undefined
  readonly shape: Shape
  readonly eps: number

  constructor(shape: number | Shape, given: LayerNormOptions = {}) {
    super()
    const { eps = 1e-5, affine = true, bias = true, ...options } = needOptions(given, 'LayerNorm')
    this.shape = [shape].flat().map((size) => whole(size as number, 'shape', 'LayerNorm', 1))
    this.eps = eps
    this.weight = affine ? ones(this.shape, options) : undefined
    this.bias = affine && bias ? zeros(this.shape, options) : undefined
  }

  forward(x: Tensor): Tensor {
    return layerNorm(x, this.shape, { weight: this.weight, bias: this.bias, eps: this.eps })
  }
}
