// TransformerDecoderLayer and TransformerDecoder: self-attention, attention to a memory, and a feed-forward network.
import { needOptions } from '../tensor/options.js'
import { scope } from '../tensor/scope.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { LayerNorm } from './layer-norm.js'
import { Linear } from './linear.js'
import { Module } from './module.js'
import { type AttentionMasks, MultiheadAttention } from './multihead-attention.js'
import {
  layersOf,
  TransformerLayer,
  type TransformerLayerOptions,
  type TransformerStackOptions,
} from './transformer-layer.js'

/** What the target sees of itself, and what it sees of the memory. */
export interface DecoderMasks extends AttentionMasks {
  /** [L, S], [B, L, S] or [B, N, L, S], as `mask`. */
  memoryMask?: Tensor | undefined
  /** [B, S] of bool: false at padding of the memory. */
  memoryKeyMask?: Tensor | undefined
}

/**
 * Self-attention, attention to the output of an encoder, then W₂ activation(W₁ x + b₁) + b₂, each added to its input and normalised as in
 * `TransformerEncoderLayer`.
 *
 * Shapes: x [B, L, E], memory [B, S, E] → [B, L, E]. Training needs `causal: true`. Keys are torch's: `self_attn.…`, `multihead_attn.…`, `linear1.…`,
 * `linear2.…`, `norm1.…` to `norm3.…`. Errors: `ERR_SHAPE`, `ERR_DTYPE`, `ERR_ARGUMENT`. Differs from torch: batch first; masks as in
 * `MultiheadAttention`. Source: Vaswani et al. 2017, §3.1.
 *
 * @example
 * const layer = new nn.TransformerDecoderLayer(16, 4, { dimFeedforward: 32 })
 * layer.forward(zeros([2, 5, 16]), zeros([2, 7, 16]), { causal: true }).shape   // [2, 5, 16]
 */
export class TransformerDecoderLayer extends TransformerLayer {
  readonly selfAttn: MultiheadAttention
  readonly multiheadAttn: MultiheadAttention
  readonly linear1: Linear
  readonly linear2: Linear
  readonly norm1: LayerNorm
  readonly norm2: LayerNorm
  readonly norm3: LayerNorm

  constructor(dModel: number, numHeads: number, options: TransformerLayerOptions = {}) {
    super(options)
    const { dimFeedforward = 2048, eps = 1e-5, bias = true, normFirst, activation, dropout, ...place } = options
    whole(dimFeedforward, 'dimFeedforward', 'TransformerDecoderLayer', 1)
    this.selfAttn = new MultiheadAttention(dModel, numHeads, { dropout: this.dropout, bias, ...place })
    this.multiheadAttn = new MultiheadAttention(dModel, numHeads, { dropout: this.dropout, bias, ...place })
    this.linear1 = new Linear(dModel, dimFeedforward, { bias, ...place })
    this.linear2 = new Linear(dimFeedforward, dModel, { bias, ...place })
    this.norm1 = new LayerNorm(dModel, { eps, bias, ...place })
    this.norm2 = new LayerNorm(dModel, { eps, bias, ...place })
    this.norm3 = new LayerNorm(dModel, { eps, bias, ...place })
  }

  forward(x: Tensor, memory: Tensor, masks: DecoderMasks = {}): Tensor {
    const { mask, keyMask, causal, memoryMask, memoryKeyMask } = masks
    const about = { key: memory, mask: memoryMask, keyMask: memoryKeyMask }
    return scope(() => {
      const self = this.branch(x, this.norm1, (y) => this.selfAttn.forward(y, { mask, keyMask, causal }))
      const both = this.branch(self, this.norm2, (y) => this.multiheadAttn.forward(y, about))
      return this.branch(both, this.norm3, (y) => this.feedForward(y))
    })
  }
}

/**
 * `TransformerDecoderLayer`s one after another. Shapes: x [B, L, E], memory [B, S, E] → [B, L, E]. Keys: `layers.0.linear1.weight`, `norm.weight`.
 * Differs from torch: as `TransformerEncoder`.
 *
 * @example
 * const encoder = new nn.TransformerEncoder(16, 4, { numLayers: 2, dimFeedforward: 32 })
 * const decoder = new nn.TransformerDecoder(16, 4, { numLayers: 2, dimFeedforward: 32 })
 * decoder.forward(zeros([2, 3, 16]), encoder.forward(zeros([2, 9, 16])), { causal: true }).shape   // [2, 3, 16]
 */
export class TransformerDecoder extends Module {
  readonly layers: readonly TransformerDecoderLayer[]
  readonly norm: LayerNorm | undefined

  constructor(dModel: number, numHeads: number, options: TransformerStackOptions = {}) {
    super()
    const { numLayers = 6, norm = options?.normFirst ?? false, ...layer } = needOptions(options, 'TransformerDecoder')
    this.layers = layersOf(numLayers, 'TransformerDecoder', () => new TransformerDecoderLayer(dModel, numHeads, layer))
    const { eps = 1e-5, bias = true, dtype, device } = layer
    const place = { ...(dtype && { dtype }), ...(device && { device }) }
    this.norm = norm ? new LayerNorm(dModel, { eps, bias, ...place }) : undefined
  }

  forward(x: Tensor, memory: Tensor, masks: DecoderMasks = {}): Tensor {
    return scope(() => {
      const y = this.layers.reduce((input, layer) => layer.forward(input, memory, masks), x)
      return this.norm?.forward(y) ?? y
    })
  }
}
