// The Transformer on both sides. Its decoding step keeps keys and values of the steps before in tables of fixed size, so that it can be recorded once.
import * as nn from '../../nn/index.js'
import { arange, stack, type Tensor, where, zeros } from '../../tensor/index.js'
import { PAD_ID } from '../../text/index.js'
import type { Encoded, Network, Read, Step, Tensors } from './network.js'
import type { EncoderDecoderConfig } from './options.js'
import { placeOf } from './stacked.js'

const { linear, scaledDotProductAttention } = nn.functional

/**
 * `nn.TransformerEncoder` and `nn.TransformerDecoder` of `normFirst` layers, F = 4·H; what they read is √H·E[x_t] + sinusoidal positions
 * (Vaswani et al. 2017, §3.4 and 3.5; norms before the branches: Xiong et al. 2020). The sentence vector is the mean of the encoder's outputs.
 */
export class TransformerNetwork implements Network {
  readonly encoder: nn.TransformerEncoder
  readonly decoder: nn.TransformerDecoder
  readonly bridge = undefined
  readonly #source: nn.Embedding
  readonly #target: nn.Embedding
  readonly #positions: nn.SinusoidalPositions
  readonly #config: EncoderDecoderConfig

  constructor(config: EncoderDecoderConfig, source: nn.Embedding, target: nn.Embedding) {
    const { width, numLayers, heads, dropout, bias } = config
    const options = { numLayers, dimFeedforward: 4 * width, dropout, bias, normFirst: true }
    this.#config = config
    this.#source = source
    this.#target = target
    this.#positions = new nn.SinusoidalPositions(width)
    this.encoder = new nn.TransformerEncoder(width, heads, options)
    this.decoder = new nn.TransformerDecoder(width, heads, options)
  }

  read(symbols: Tensor, lengths: Tensor): Read {
    const there = symbols.ne(PAD_ID)
    const memory = this.encoder.forward(this.#embed(this.#source, symbols), { keyMask: there })
    const sum = memory.mul(there.to(memory.dtype).unsqueeze(2)).sum(1)
    const vector = sum.div(lengths.clamp({ low: 1 }).to(memory.dtype).unsqueeze(1))
    return { memory, vector, state: {}, context: { source: memory, there } }
  }

  write(symbols: Tensor, { context: { source, there } }: Encoded): Tensor {
    const masks = { causal: true, memoryKeyMask: there }
    return this.decoder.forward(this.#embed(this.#target, symbols), source as Tensor, masks)
  }

  /** `k0`, `v0`, … [N, steps, H]: keys and values of the target so far; `at` [N]: how many. The source's are found once, in the context. */
  begin({ context: { source, there } }: Encoded, steps: number): Encoded {
    const { shape, device, dtype } = source as Tensor
    const [batch, , width] = shape as [number, number, number]
    const state: Tensors = { at: zeros([batch], { device, dtype: 'int64' }) }
    const context: Tensors = { there: there as Tensor }
    for (const [l, { multiheadAttn }] of this.decoder.layers.entries()) {
      for (const [i, name] of ['k', 'v'].entries()) {
        state[`${name}${l}`] = zeros([batch, steps, width], { device }).to(dtype)
        context[`${name}${l}`] = projected(multiheadAttn, source as Tensor, i + 1)
      }
    }
    return { state, context }
  }

  step(symbols: Tensor, state: Tensors, context: Tensors, attention: boolean): Step {
    const at = state.at as Tensor
    const there = context.there as Tensor
    const steps = (state.k0 as Tensor).shape[1] as number
    const here = placeOf(at, steps).unsqueeze(2)
    const seen = arange(0, steps, { dtype: 'int64', device: at.device }).unsqueeze(0).le(at.unsqueeze(1))
    const next: Tensors = { at: at.add(1) }
    let x = this.#embedAt(symbols, at)
    let weights: Tensor | undefined
    for (const [l, layer] of this.decoder.layers.entries()) {
      const self = layer.norm1.forward(x)
      for (const [i, name] of ['k', 'v'].entries())
        next[`${name}${l}`] = where(
          here,
          projected(layer.selfAttn, self, i + 1).unsqueeze(1),
          state[`${name}${l}`] as Tensor,
        )
      const query = projected(layer.selfAttn, self, 0).unsqueeze(1) // [N, 1, H]
      x = x.add(attend(layer.selfAttn, query, next[`k${l}`] as Tensor, next[`v${l}`] as Tensor, seen).squeeze(1))
      const asked = projected(layer.multiheadAttn, layer.norm2.forward(x), 0).unsqueeze(1)
      const key = context[`k${l}`] as Tensor
      if (attention && l === this.decoder.layers.length - 1)
        weights = meanWeights(layer.multiheadAttn, asked, key, there).squeeze(1)
      x = x.add(attend(layer.multiheadAttn, asked, key, context[`v${l}`] as Tensor, there).squeeze(1))
      x = x.add(forwardOf(layer, layer.norm3.forward(x)))
    }
    const output = this.decoder.norm?.forward(x) ?? x
    return { output, state: next, attention: weights }
  }

  #embed(embedding: nn.Embedding, symbols: Tensor): Tensor {
    const x = this.#positions.forward(embedding.forward(symbols).mul(Math.sqrt(this.#config.width)))
    const { dropout } = this.#config
    return dropout > 0 ? nn.functional.dropout(x, dropout, { training: this.encoder.training }) : x
  }

  /** As `#embed`, each row [N] at a place of its own: positions by the formula of `nn.SinusoidalPositions`. */
  #embedAt(symbols: Tensor, at: Tensor): Tensor {
    const H = this.#config.width
    const place = { dtype: 'float64', device: at.device } as const
    const rates = arange(0, H, { step: 2, ...place })
      .mul(-Math.log(10_000) / H)
      .exp()
    const angles = at.to('float64').unsqueeze(1).mul(rates.unsqueeze(0))
    const x = this.#target.forward(symbols).mul(Math.sqrt(H))
    return x.add(stack([angles.sin(), angles.cos()], 2).reshape(x.shape).to(x.dtype))
  }
}

/** The query (0), key (1) or value (2) of x […, H]. */
function projected({ inProjWeight, inProjBias, embedDim: E }: nn.MultiheadAttention, x: Tensor, block: number): Tensor {
  const rows = (w: Tensor): Tensor => w.slice(0, block * E, (block + 1) * E)
  return linear(x, rows(inProjWeight), inProjBias && rows(inProjBias))
}

/** [B, L, H] by heads: [B, heads, L, H/heads]. */
function byHeads(x: Tensor, heads: number): Tensor {
  const [B, L, H] = x.shape as [number, number, number]
  return x.reshape([B, L, heads, H / heads]).permute([0, 2, 1, 3])
}

/** Attention of projected queries [B, L, H] to projected keys and values [B, S, H]; seen [B, S] of bool. */
function attend({ numHeads, outProj }: nn.MultiheadAttention, q: Tensor, k: Tensor, v: Tensor, seen: Tensor): Tensor {
  const mask = seen.unsqueeze(1).unsqueeze(1)
  const heads = scaledDotProductAttention(byHeads(q, numHeads), byHeads(k, numHeads), byHeads(v, numHeads), { mask })
  return outProj.forward(heads.permute([0, 2, 1, 3]).reshape(q.shape))
}

/** The weights of `attend`, the mean of all heads: [B, L, S]. */
function meanWeights({ numHeads, embedDim }: nn.MultiheadAttention, q: Tensor, k: Tensor, seen: Tensor): Tensor {
  const products = byHeads(q, numHeads).matmul(byHeads(k, numHeads).transpose())
  const scores = products.div(Math.sqrt(embedDim / numHeads))
  return where(seen.unsqueeze(1).unsqueeze(1), scores, -1e9).softmax(-1).mean(1)
}

/** W₂ relu(W₁ x + b₁) + b₂, without dropout. */
function forwardOf({ linear1, linear2 }: nn.TransformerDecoderLayer, x: Tensor): Tensor {
  return linear2.forward(linear1.forward(x).relu())
}
