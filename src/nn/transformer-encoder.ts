// TransformerEncoderLayer and TransformerEncoder: self-attention and a feed-forward network.
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

/**
 * Self-attention, then W₂ activation(W₁ x + b₁) + b₂, each added to its input and normalised:
 * ```
 * x ← LN(x + attention(x))          normFirst:  x ← x + attention(LN(x))
 * x ← LN(x + feedForward(x))                    x ← x + feedForward(LN(x))
 * ```
 * Shapes: x [B, T, E] → [B, T, E]. With `causal` it is the block of a language model. Keys are torch's: `self_attn.in_proj_weight`, `linear1.weight` [F, E],
 * `linear2.weight` [E, F], `norm1.weight`, `norm2.weight`. Errors: `ERR_SHAPE`, `ERR_DTYPE`, `ERR_ARGUMENT`.
 * Differs from torch: batch first; masks as in `MultiheadAttention`. Source: Vaswani et al. 2017, §3.1.
 *
 * @example
 * const layer = new nn.TransformerEncoderLayer(16, 4, { dimFeedforward: 32, normFirst: true })
 * layer.forward(zeros([2, 5, 16]), { causal: true }).shape   // [2, 5, 16]
 */
export class TransformerEncoderLayer extends TransformerLayer {
  readonly selfAttn: MultiheadAttention
  readonly linear1: Linear
  readonly linear2: Linear
  readonly norm1: LayerNorm
  readonly norm2: LayerNorm

  constructor(dModel: number, numHeads: number, options: TransformerLayerOptions = {}) {
    super(options)
    const { dimFeedforward = 2048, eps = 1e-5, bias = true, normFirst, activation, dropout, ...place } = options
    whole(dimFeedforward, 'dimFeedforward', 'TransformerEncoderLayer', 1)
    this.selfAttn = new MultiheadAttention(dModel, numHeads, { dropout: this.dropout, bias, ...place })
    this.linear1 = new Linear(dModel, dimFeedforward, { bias, ...place })
    this.linear2 = new Linear(dimFeedforward, dModel, { bias, ...place })
    this.norm1 = new LayerNorm(dModel, { eps, bias, ...place })
    this.norm2 = new LayerNorm(dModel, { eps, bias, ...place })
  }

  forward(x: Tensor, given: AttentionMasks = {}): Tensor {
    const { mask, keyMask, causal } = needOptions(given, 'transformerEncoderLayer')
    return scope(() => {
      const seen = this.branch(x, this.norm1, (y) => this.selfAttn.forward(y, { mask, keyMask, causal }))
      return this.branch(seen, this.norm2, (y) => this.feedForward(y))
    })
  }
}

/**
 * `TransformerEncoderLayer`s one after another. Shapes: x [B, T, E] → [B, T, E]; the masks are those of every layer. Keys: `layers.0.linear1.weight`,
 * `norm.weight`. Differs from torch: it makes its layers, each with its own start, instead of copying one; the last norm is there with `normFirst`
 * unless `norm: false`.
 *
 * @example
 * const encoder = new nn.TransformerEncoder(16, 4, { numLayers: 2, dimFeedforward: 32 })
 * const keyMask = tensor([[true, true, true], [true, false, false]])
 * encoder.forward(zeros([2, 3, 16]), { keyMask }).shape   // [2, 3, 16]
 */
export class TransformerEncoder extends Module {
  readonly layers: readonly TransformerEncoderLayer[]
  readonly norm: LayerNorm | undefined

  constructor(dModel: number, numHeads: number, options: TransformerStackOptions = {}) {
    super()
    const { numLayers = 6, norm = options?.normFirst ?? false, ...layer } = needOptions(options, 'TransformerEncoder')
    this.layers = layersOf(numLayers, 'TransformerEncoder', () => new TransformerEncoderLayer(dModel, numHeads, layer))
    const { eps = 1e-5, bias = true, dtype, device } = layer
    const place = { ...(dtype && { dtype }), ...(device && { device }) }
    this.norm = norm ? new LayerNorm(dModel, { eps, bias, ...place }) : undefined
  }

  forward(x: Tensor, masks: AttentionMasks = {}): Tensor {
    return scope(() => {
      const y = this.layers.reduce((input, layer) => layer.forward(input, masks), x)
      return this.norm?.forward(y) ?? y
    })
  }
}
