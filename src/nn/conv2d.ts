// Conv2d: convolution of images.
import { needOptions } from '../tensor/options.js'
import type { Tensor } from '../tensor/tensor.js'
import { Conv, type ConvLayerOptions } from './conv.js'
import { type Conv2dFunctionOptions, conv2d, type Pair, type PairLike, pair } from './functional.js'

export type Conv2dOptions = ConvLayerOptions<PairLike>

/** What is done with the result: see `nn.functional.conv2d`. */
export type AfterConv = Pick<Conv2dFunctionOptions, 'residual' | 'relu'>

/**
 * Cross-correlation: y[b, o, i, j] = bias[o] + Σ weight[o, c, u, v] · x[b, c, stride·i + dilation·u − padding, …].
 *
 * Shapes: x [B, C, H, W] → y [B, O, H', W'], H' = ⌊(H + 2·padding − dilation·(h−1) − 1)/stride⌋ + 1; weight [O, C/groups, h, w], bias [O].
 * Weights and biases start uniform on ±1/√(C/groups·h·w). Errors: `ERR_SHAPE`, `ERR_DTYPE`; `ERR_ARGUMENT` where groups do not divide the
 * channels. Differs from torch: padding is a number of zeros, never a mode; `forward(x, { residual, relu: true })` is relu(conv(x) + residual), in inference
 * one operation where channels lie last in memory.
 *
 * @example
 * new nn.Conv2d(3, 8, 3, { stride: 2, padding: 1 }).forward(zeros([2, 3, 32, 32])).shape   // [2, 8, 16, 16]
 */
export class Conv2d extends Conv<PairLike, Pair> {
  constructor(inChannels: number, outChannels: number, kernel: PairLike, options: Conv2dOptions = {}) {
    super([inChannels, outChannels], kernel, options, pair, false)
  }

  forward(x: Tensor, after: AfterConv = {}): Tensor {
    const { bias, stride, padding, dilation, groups } = this
    const { residual, relu } = needOptions(after, 'conv2d')
    return conv2d(x, this.weight, { bias, stride, padding, dilation, groups, residual, relu })
  }
}
