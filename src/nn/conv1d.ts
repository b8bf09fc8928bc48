// Conv1d: convolution of signals.
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { Conv, type ConvLayerOptions } from './conv.js'
import { conv1d } from './functional.js'

export type Conv1dOptions = ConvLayerOptions<number>

/**
 * Cross-correlation: y[b, o, i] = bias[o] + Σ weight[o, c, u] · x[b, c, stride·i + dilation·u − padding].
 *
 * Shapes: x [B, C, L] → y [B, O, L'], L' = ⌊(L + 2·padding − dilation·(l−1) − 1)/stride⌋ + 1; weight [O, C/groups, l], bias [O]. Sequences
 * [B, T, I] are signals after `x.transpose(1, 2)`. Weights and biases start uniform on ±1/√(C/groups·l). Errors: `ERR_SHAPE`, `ERR_DTYPE`;
 * `ERR_ARGUMENT` where groups do not divide the channels. Differs from torch: padding is a number of zeros, never a mode.
 *
 * @example
 * new nn.Conv1d(3, 8, 3, { stride: 2, padding: 1 }).forward(zeros([2, 3, 32])).shape   // [2, 8, 16]
 */
export class Conv1d extends Conv<number, number> {
  constructor(inChannels: number, outChannels: number, kernel: number, options: Conv1dOptions = {}) {
    super([inChannels, outChannels], kernel, options, whole, false)
  }

  forward(x: Tensor): Tensor {
    const { bias, stride, padding, dilation, groups } = this
    return conv1d(x, this.weight, { bias, stride, padding, dilation, groups })
  }
}
