// Flatten: several axes as one.

import { needOptions } from '../tensor/options.js'
import { needTensor } from '../tensor/record.js'
import { axis } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { Module } from './module.js'

/**
 * The axes `startDim` … `endDim` as one; by default all but the batch. Shapes: [B, C, H, W] → [B, C·H·W]. Errors: `ERR_SHAPE` for axes that are
 * not there. Differs from torch: options are an object.
 *
 * @example
 * new nn.Flatten().forward(zeros([2, 3, 4, 4])).shape   // [2, 48]
 */
export class Flatten extends Module {
  readonly startDim: number
  readonly endDim: number

  constructor(given: { startDim?: number; endDim?: number } = {}) {
    super()
    const { startDim = 1, endDim = -1 } = needOptions(given, 'Flatten')
    this.startDim = startDim
    this.endDim = endDim
  }

  forward(x: Tensor): Tensor {
    needTensor(x, 'flatten', 'the input')
    const [start, end] = [axis(this.startDim, x.rank, 'flatten'), axis(this.endDim, x.rank, 'flatten')]
    if (end <= start) return x
    const size = x.shape.slice(start, end + 1).reduce((product, n) => product * n, 1)
    return x.reshape([...x.shape.slice(0, start), size, ...x.shape.slice(end + 1)])
  }
}
