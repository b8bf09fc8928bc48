// Embedding: a learnt table of vectors, read by index.

import { zeros } from '../tensor/create.js'
import { cat } from '../tensor/functions.js'
import { needOptions } from '../tensor/options.js'
import { normal } from '../tensor/random.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { embedding } from './functional.js'
import { variable } from './init.js'
import type { ParameterOptions } from './linear.js'
import { Module } from './module.js'

export interface EmbeddingOptions extends ParameterOptions {
  /** A row that starts as zeros and takes no gradient; −1 is the last. */
  paddingIndex?: number
}

/**
 * y = weight[index]. Shapes: index […] of int64 → y […, D]; weight [N, D].
 *
 * Rows start normal with mean 0 and deviation 1. Errors: `ERR_DTYPE` for an index that is not int64; `ERR_RANGE`, found while running, for one
 * outside 0 … N−1. Differs from torch: no `max_norm`, no sparse gradients.
 *
 * @example
 * const embed = new nn.Embedding(100, 16, { paddingIndex: 0 })
 * embed.forward(tensor([[5, 7, 0]], { dtype: 'int64' })).shape   // [1, 3, 16]
 */
export class Embedding extends Module {
  readonly weight: Variable
  readonly paddingIndex: number | undefined

  constructor(numEmbeddings: number, embeddingDim: number, given: EmbeddingOptions = {}) {
    super()
    const { paddingIndex, ...options } = needOptions(given, 'Embedding')
    whole(numEmbeddings, 'numEmbeddings', 'Embedding')
    whole(embeddingDim, 'embeddingDim', 'Embedding')
    if (paddingIndex !== undefined) {
      whole(paddingIndex, 'paddingIndex', 'Embedding', -numEmbeddings, numEmbeddings - 1)
      this.paddingIndex = paddingIndex < 0 ? paddingIndex + numEmbeddings : paddingIndex
    }
    const at = this.paddingIndex
    this.weight = variable(() => {
      const rows = normal([numEmbeddings, embeddingDim], 0, 1, options)
      return at === undefined
        ? rows
        : cat([rows.slice(0, 0, at), zeros([1, embeddingDim], options), rows.slice(0, at + 1)])
    })
  }

  forward(index: Tensor): Tensor {
    return embedding(index, this.weight, this.paddingIndex === undefined ? {} : { paddingIndex: this.paddingIndex })
  }
}
