// GroupNorm: normalisation of each example over groups of its channels.

import { ArgumentError } from '../errors.js'
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { groupNorm } from './functional.js'
import { ones, zeros } from './init.js'
import type { ParameterOptions } from './linear.js'
import { Module } from './module.js'

export interface GroupNormOptions extends ParameterOptions {
  /** @default 1e-5 */
  eps?: number
  /** Learns a factor and an offset per channel. @default true */
  affine?: boolean
}

/**
 * y = (x − mean) / √(variance + eps) · weight + bias, with mean and (biased) variance over each group of C/G channels and all later axes, per example.
 *
 * Shapes: x [B, C, …] → the same; weight, bias [C], starting as ones and zeros. Training and use are the same. Errors: `ERR_SHAPE`, `ERR_DTYPE`;
 * `ERR_ARGUMENT` where the groups do not divide the channels. Differs from torch: nothing. Source: Wu and He 2018; C groups: instance norm.
 *
 * @example
 * new nn.GroupNorm(2, 8).forward(zeros([4, 8, 5, 5])).shape   // [4, 8, 5, 5]
 */
export class GroupNorm extends Module {
  readonly weight: Variable | undefined
  readonly bias: Variable | undefined
  readonly groups: number
  readonly eps: number

  constructor(groups: number, channels: number, given: GroupNormOptions = {}) {
    super()
    const { eps = 1e-5, affine = true, ...options } = needOptions(given, 'GroupNorm')
    const op = 'GroupNorm'
    this.groups = whole(groups, 'groups', op, 1)
    whole(channels, 'channels', op, 1)
    if (channels % groups !== 0) {
      const [expected, got] = [`a divisor of ${channels} channels`, String(groups)]
      throw new ArgumentError(`${op}: groups must be ${expected}, got ${got}`, { op, expected, got })
    }
    this.eps = eps
    this.weight = affine ? ones([channels], options) : undefined
    this.bias = affine ? zeros([channels], options) : undefined
  }

  forward(x: Tensor): Tensor {
    return groupNorm(x, this.groups, { weight: this.weight, bias: this.bias, eps: this.eps })
  }
}
