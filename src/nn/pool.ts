// Pooling and resampling of signals and images.
import type { Tensor } from '../tensor/tensor.js'
import {
  adaptiveAvgPool1d,
  adaptiveAvgPool2d,
  adaptiveMaxPool1d,
  adaptiveMaxPool2d,
  avgPool1d,
  avgPool2d,
  type InterpolateOptions,
  interpolate,
  maxPool1d,
  maxPool2d,
  type PairLike,
  type PoolOptions,
} from './functional.js'
import { Module } from './module.js'

/**
 * The largest value in each window. Shapes: [B, C, L] → [B, C, L'], L' = ⌊(L + 2·padding − kernel)/stride⌋ + 1; the stride is the kernel
 * unless given; padding, at most half the kernel, never wins. Errors: `ERR_SHAPE`, `ERR_ARGUMENT`. Differs from torch: no dilation, no indices.
 *
 * @example
 * new nn.MaxPool1d(2).forward(zeros([1, 3, 8])).shape   // [1, 3, 4]
 */
export class MaxPool1d extends Module {
  constructor(
    readonly kernel: number,
    readonly options: PoolOptions<number> = {},
  ) {
    super()
  }

  forward(x: Tensor): Tensor {
    return maxPool1d(x, this.kernel, this.options)
  }
}

/**
 * `MaxPool1d` on both axes of an image. Shapes: [B, C, H, W] → [B, C, H', W'].
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
 * The mean of each window, padding counting as zeros. Shapes and errors as `MaxPool1d`. Differs from torch: padding always counts.
 *
 * @example
 * new nn.AvgPool1d(2).forward(zeros([1, 3, 8])).shape   // [1, 3, 4]
 */
export class AvgPool1d extends Module {
  constructor(
    readonly kernel: number,
    readonly options: PoolOptions<number> = {},
  ) {
    super()
  }

  forward(x: Tensor): Tensor {
    return avgPool1d(x, this.kernel, this.options)
  }
}

/**
 * `AvgPool1d` on both axes of an image. Shapes: [B, C, H, W] → [B, C, H', W'].
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
 * Means over windows chosen so that the output has the given length: element i covers ⌊i·L/l⌋ … ⌈(i+1)·L/l⌉ − 1.
 * Shapes: [B, C, L] → [B, C, l]. Errors: `ERR_SHAPE`, `ERR_ARGUMENT`. Differs from torch: nothing.
 *
 * @example
 * new nn.AdaptiveAvgPool1d(2).forward(zeros([1, 3, 8])).shape   // [1, 3, 2]
 */
export class AdaptiveAvgPool1d extends Module {
  constructor(readonly length: number) {
    super()
  }

  forward(x: Tensor): Tensor {
    return adaptiveAvgPool1d(x, this.length)
  }
}

/**
 * `AdaptiveAvgPool1d` on both axes of an image. Shapes: [B, C, H, W] → [B, C, h, w]. Differs from torch: both sizes are given.
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

/**
 * The largest values of the windows of `AdaptiveAvgPool1d`. Shapes: [B, C, L] → [B, C, l]. Differs from torch: no indices.
 *
 * @example
 * new nn.AdaptiveMaxPool1d(2).forward(zeros([1, 3, 8])).shape   // [1, 3, 2]
 */
export class AdaptiveMaxPool1d extends Module {
  constructor(readonly length: number) {
    super()
  }

  forward(x: Tensor): Tensor {
    return adaptiveMaxPool1d(x, this.length)
  }
}

/**
 * The largest values of the windows of `AdaptiveAvgPool2d`. Shapes: [B, C, H, W] → [B, C, h, w]. Differs from torch: both sizes are given; no indices.
 *
 * @example
 * new nn.AdaptiveMaxPool2d(1).forward(zeros([1, 3, 8, 8])).shape   // [1, 3, 1, 1]
 */
export class AdaptiveMaxPool2d extends Module {
  constructor(readonly size: PairLike) {
    super()
  }

  forward(x: Tensor): Tensor {
    return adaptiveMaxPool2d(x, this.size)
  }
}

/**
 * Signals and images at another resolution, as `functional.interpolate`. Shapes: [B, C, L] → [B, C, L'], [B, C, H, W] → [B, C, H', W'].
 * Errors: `ERR_ARGUMENT` unless exactly one of `size` and `scaleFactor` is given; `ERR_SHAPE`. Differs from torch: no volumes.
 *
 * @example
 * new nn.Upsample({ scaleFactor: 2, mode: 'bilinear' }).forward(zeros([1, 3, 8, 8])).shape   // [1, 3, 16, 16]
 */
export class Upsample extends Module {
  constructor(readonly options: InterpolateOptions) {
    super()
  }

  forward(x: Tensor): Tensor {
    return interpolate(x, this.options)
  }
}
