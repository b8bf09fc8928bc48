// ConvTranspose1d and ConvTranspose2d: convolutions that make signals and images longer.
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { Conv, type ConvLayerOptions } from './conv.js'
import { convTranspose1d, convTranspose2d, type Pair, type PairLike, pair } from './functional.js'

export interface ConvTransposeLayerOptions<S> extends ConvLayerOptions<S> {
  /** Added at the end of the output, where several lengths would fit; smaller than stride or dilation. @default 0 */
  outputPadding?: S
}

/**
 * The transpose of a `Conv1d` as a linear map (not its inverse): every x[b, c, i] adds weight[c, o, u] · x[b, c, i] to y[b, o, stride·i + dilation·u − padding].
 *
 * Shapes: x [B, C, L] → y [B, O, L'], L' = (L − 1)·stride − 2·padding + dilation·(l − 1) + outputPadding + 1; weight [C, O/groups, l], bias [O].
 * Weights and biases start uniform on ±1/√(O/groups·l). Errors: `ERR_SHAPE`, `ERR_DTYPE`; `ERR_ARGUMENT` where groups do not divide the channels.
 * Differs from torch: nothing. Source: Zeiler et al. 2010.
 *
 * @example
 * new nn.ConvTranspose1d(8, 3, 4, { stride: 2, padding: 1 }).forward(zeros([2, 8, 16])).shape   // [2, 3, 32]
 */
export class ConvTranspose1d extends Conv<number, number> {
  readonly outputPadding: number

  constructor(inChannels: number, outChannels: number, kernel: number, given: ConvTransposeLayerOptions<number> = {}) {
    const { outputPadding = 0, ...options } = needOptions(given, 'ConvTranspose1d')
    super([inChannels, outChannels], kernel, options, whole, true)
    this.outputPadding = whole(outputPadding, 'outputPadding', 'ConvTranspose1d')
  }

  forward(x: Tensor): Tensor {
    const { bias, stride, padding, dilation, groups, outputPadding } = this
    return convTranspose1d(x, this.weight, { bias, stride, padding, dilation, groups, outputPadding })
  }
}

/**
 * The transpose of a `Conv2d`, as `ConvTranspose1d` on both axes of an image.
 *
 * Shapes: x [B, C, H, W] → y [B, O, H', W']; weight [C, O/groups, h, w], bias [O].
 *
 * @example
 * new nn.ConvTranspose2d(8, 3, 4, { stride: 2, padding: 1 }).forward(zeros([2, 8, 16, 16])).shape   // [2, 3, 32, 32]
 */
export class ConvTranspose2d extends Conv<PairLike, Pair> {
  readonly outputPadding: Pair

  constructor(
    inChannels: number,
    outChannels: number,
    kernel: PairLike,
    given: ConvTransposeLayerOptions<PairLike> = {},
  ) {
    const { outputPadding = 0, ...options } = needOptions(given, 'ConvTranspose2d')
    super([inChannels, outChannels], kernel, options, pair, true)
    this.outputPadding = pair(outputPadding, 'outputPadding', 'ConvTranspose2d')
  }

  forward(x: Tensor): Tensor {
    const { bias, stride, padding, dilation, groups, outputPadding } = this
    return convTranspose2d(x, this.weight, { bias, stride, padding, dilation, groups, outputPadding })
  }
}
