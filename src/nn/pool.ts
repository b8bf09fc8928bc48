// Pooling of images: MaxPool2d, AvgPool2d, AdaptiveAvgPool2d.
import type { Tensor } from '../tensor/tensor.js'
import { adaptiveAvgPool2d, avgPool2d, maxPool2d, type PairLike, type PoolOptions } from './functional.js'
import { Module } from './module.js'

/**
 * The largest value in each window. Shapes: [B, C, H, W] → [B, C, H', W'], H' = ⌊(H + 2·padding − kernel)/stride⌋ + 1; the stride is the kernel
 * unless given; padding, at most half the kernel, never wins. Errors: `ERR_SHAPE`, `ERR_ARGUMENT`. Differs from torch: no dilation, no indices.
 *
 * @example
 * new nn.MaxPool2d(2).forward(zeros([1, 3, 8, 8])).shape   // [1, 3, 4, 4]
 */
export class MaxPool2d extends Module {
  constructor(
    readonly kernel: PairLike,
    readonly options: PoolOptions = {},
  ) {
    super()
  }

  forward(x: Tensor): Tensor {
    return maxPool2d(x, this.kernel, this.options)
  }
}

/**
 * The mean of each window, padding counting as zeros. Shapes and errors as `MaxPool2d`. Differs from torch: padding always counts.
 *
 * @example
 * new nn.AvgPool2d(2).forward(zeros([1, 3, 8, 8])).shape   // [1, 3, 4, 4]
 */
export class AvgPool2d extends Module {
  constructor(
    readonly kernel: PairLike,
    readonly options: PoolOptions = {},
  ) {
    super()
  }

  forward(x: Tensor): Tensor {
    return avgPool2d(x, this.kernel, this.options)
  }
}

/**
 * Means over windows chosen so that the output has the given size: row i covers rows ⌊i·H/h⌋ … ⌈(i+1)·H/h⌉ − 1.
 * Shapes: [B, C, H, W] → [B, C, h, w]. Errors: `ERR_SHAPE`, `ERR_ARGUMENT`. Differs from torch: both sizes are given.
 *
 * @example
 * new nn.AdaptiveAvgPool2d(1).forward(zeros([1, 3, 8, 8])).shape   // [1, 3, 1, 1]
 */
export class AdaptiveAvgPool2d extends Module {
  constructor(readonly size: PairLike) {
    super()
  }

  forward(x: Tensor): Tensor {
    return adaptiveAvgPool2d(x, this.size)
  }
}
