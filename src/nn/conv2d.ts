// Conv2d: convolution of images.
import { ArgumentError } from '../errors.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { conv2d, type Pair, type PairLike, pair } from './functional.js'
import { uniform } from './init.js'
import type { ParameterOptions } from './linear.js'
import { Module } from './module.js'

export interface Conv2dOptions extends ParameterOptions {
  /** @default 1 */
  stride?: PairLike
  /** Zeros added on each side. @default 0 */
  padding?: PairLike
  /** @default 1 */
  dilation?: PairLike
  /** Blocks of channels that do not mix. @default 1 */
  groups?: number
  /** @default true */
  bias?: boolean
}

/**
 * Cross-correlation: y[b, o, i, j] = bias[o] + Σ weight[o, c, u, v] · x[b, c, stride·i + dilation·u − padding, …].
 *
 * Shapes: x [B, C, H, W] → y [B, O, H', W'], H' = ⌊(H + 2·padding − dilation·(h−1) − 1)/stride⌋ + 1; weight [O, C/groups, h, w], bias [O].
 * Weights and biases start uniform on ±1/√(C/groups·h·w). Errors: `ERR_SHAPE`, `ERR_DTYPE`; `ERR_ARGUMENT` where groups do not divide the
 * channels. Differs from torch: padding is a number of zeros, never a mode.
 *
 * @example
 * new nn.Conv2d(3, 8, 3, { stride: 2, padding: 1 }).forward(zeros([2, 3, 32, 32])).shape   // [2, 8, 16, 16]
 */
export class Conv2d extends Module {
  readonly weight: Variable
  readonly bias: Variable | undefined
  readonly stride: Pair
  readonly padding: Pair
  readonly dilation: Pair
  readonly groups: number

  constructor(inChannels: number, outChannels: number, kernel: PairLike, options: Conv2dOptions = {}) {
    super()
    const { stride = 1, padding = 0, dilation = 1, groups = 1, bias = true, ...place } = options
    const op = 'Conv2d'
    whole(inChannels, 'inChannels', op, 1)
    whole(outChannels, 'outChannels', op, 1)
    this.groups = whole(groups, 'groups', op, 1)
    if (inChannels % groups !== 0 || outChannels % groups !== 0) {
      throw new ArgumentError(
        `Conv2d: groups must divide both ${inChannels} and ${outChannels} channels, got ${groups}`,
        { op, expected: 'a divisor', got: String(groups) },
      )
    }
    const [h, w] = pair(kernel, 'kernel', op, 1)
    this.stride = pair(stride, 'stride', op, 1)
    this.padding = pair(padding, 'padding', op)
    this.dilation = pair(dilation, 'dilation', op, 1)
    const bound = 1 / Math.sqrt((inChannels / groups) * h * w)
    this.weight = uniform([outChannels, inChannels / groups, h, w], -bound, bound, place)
    this.bias = bias ? uniform([outChannels], -bound, bound, place) : undefined
  }

  forward(x: Tensor): Tensor {
    const { bias, stride, padding, dilation, groups } = this
    return conv2d(x, this.weight, { bias, stride, padding, dilation, groups })
  }
}
