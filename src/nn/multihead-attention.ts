// MultiheadAttention: attention in several subspaces at once.

import { ArgumentError, DTypeError, ShapeError } from '../errors.js'
import { zerosLike } from '../tensor/create.js'
import { where } from '../tensor/functions.js'
import { needOptions } from '../tensor/options.js'
import { needTensor } from '../tensor/record.js'
import { noGrad, scope } from '../tensor/scope.js'
import { sameShape, show, whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { probability } from './dropout.js'
import { linear, scaledDotProductAttention } from './functional.js'
import { xavierUniform, zeros } from './init.js'
import { Linear, type ParameterOptions } from './linear.js'
import { snakeCase } from './members.js'
import { Module } from './module.js'

export interface MultiheadAttentionOptions extends ParameterOptions {
  /** Probability of dropping a weight of the attention, in training. @default 0 */
  dropout?: number
  /** @default true */
  bias?: boolean
}

/** What a query sees of the keys. */
export interface AttentionMasks {
  /** [L, S], [B, L, S] or [B, N, L, S]: bool, true where the query sees the key; or of the dtype of the input, added to the products (−∞ hides). */
  mask?: Tensor | undefined
  /** [B, S] of bool: true where there is a key, false at padding. */
  keyMask?: Tensor | undefined
  /** Query i sees keys 0 … i only. @default false */
  causal?: boolean | undefined
}

export interface AttentionInputs extends AttentionMasks {
  /** [B, S, E]. @default the query */
  key?: Tensor | undefined
  /** [B, S, E]. @default the key */
  value?: Tensor | undefined
}

/**
 * Attention in N heads of E/N dimensions each: with Q, K, V = x·W_q/k/vᵀ + b, heads softmax(Q·Kᵀ/√(E/N) + mask)·V side by side, times W_oᵀ + b_o.
 *
 * Shapes: query [B, L, E], key and value [B, S, E] → [B, L, E]. A query that sees nothing gives 0 before the last map. Keys and starts are torch's:
 * `in_proj_weight` [3E, E] (queries, keys, values; Xavier uniform), `in_proj_bias` [3E], `out_proj.weight`, `out_proj.bias`; biases start as zeros.
 *
 * Errors: `ERR_SHAPE`, `ERR_DTYPE`; `ERR_ARGUMENT` where the heads do not divide E. Differs from torch: batch first; masks tell what is seen, not
 * what is hidden; keys and values are as wide as queries (no `kdim`, `vdim`); the weights are not returned. Source: Vaswani et al. 2017, §3.2.2.
 *
 * @example
 * const attention = new nn.MultiheadAttention(16, 4)
 * const x = zeros([2, 5, 16])
 * attention.forward(x, { causal: true }).shape                  // [2, 5, 16]
 * attention.forward(x, { key: zeros([2, 7, 16]) }).shape        // [2, 5, 16]
 */
export class MultiheadAttention extends Module {
  readonly inProjWeight: Variable
  readonly inProjBias: Variable | undefined
  readonly outProj: Linear
  readonly embedDim: number
  readonly numHeads: number
  readonly dropout: number

  constructor(embedDim: number, numHeads: number, given: MultiheadAttentionOptions = {}) {
    super()
    const { dropout = 0, bias = true, ...place } = needOptions(given, 'MultiheadAttention')
    const op = 'MultiheadAttention'
    this.embedDim = whole(embedDim, 'embedDim', op, 1)
    this.numHeads = whole(numHeads, 'numHeads', op, 1)
    if (embedDim % numHeads !== 0) {
      const [expected, got] = [`a divisor of embedDim ${embedDim}`, String(numHeads)]
      throw new ArgumentError(`${op}: numHeads must be ${expected}, got ${got}`, { op, expected, got })
    }
    this.dropout = probability(dropout, 'dropout', op)
    this.inProjWeight = xavierUniform([3 * embedDim, embedDim], place)
    this.inProjBias = bias ? zeros([3 * embedDim], place) : undefined
    this.outProj = new Linear(embedDim, embedDim, { bias, ...place })
    const { bias: last } = this.outProj
    if (last !== undefined) noGrad(() => scope(() => void last.assign(zerosLike(last))))
  }

  /** The keys of torch. */
  protected override *members(): Iterable<readonly [string, unknown]> {
    for (const [key, value] of Object.entries(this)) yield [snakeCase(key), value]
  }

  forward(query: Tensor, given: AttentionInputs = {}): Tensor {
    const { key = query, value = key, mask, keyMask, causal = false } = needOptions(given, 'multiheadAttention')
    this.#check(query, key, value)
    return scope(() => {
      const [q, k, v] = this.#project(query, key, value)
      const seen = combined(mask, keyMask, key)
      const dropout = this.training ? this.dropout : 0
      const heads = scaledDotProductAttention(q, k, v, { mask: seen, causal, dropout })
      return this.outProj.forward(heads.permute([0, 2, 1, 3]).reshape(query.shape))
    })
  }

  /** Queries, keys and values by head: [B, N, length, E/N]. Inputs that are the same tensor go through one product. */
  #project(query: Tensor, key: Tensor, value: Tensor): [Tensor, Tensor, Tensor] {
    if (query === key && key === value) return this.#heads(query, 0, 3) as [Tensor, Tensor, Tensor]
    const [q] = this.#heads(query, 0, 1) as [Tensor]
    if (key === value) return [q, ...(this.#heads(key, 1, 3) as [Tensor, Tensor])]
    return [q, ...(this.#heads(key, 1, 2) as [Tensor]), ...(this.#heads(value, 2, 3) as [Tensor])]
  }

  /** The blocks from … to − 1 of the projection: x [B, T, E] → each [B, N, T, E/N]. */
  #heads(x: Tensor, from: number, to: number): Tensor[] {
    const { embedDim: E, numHeads: N, inProjWeight, inProjBias } = this
    const block = (w: Tensor): Tensor => (to - from === 3 ? w : w.slice(0, from * E, to * E))
    const all = linear(x, block(inProjWeight), inProjBias && block(inProjBias))
    const [B, T] = x.shape as [number, number]
    const split = all.reshape([B, T, to - from, N, E / N]).permute([2, 0, 3, 1, 4])
    return Array.from({ length: to - from }, (_, i) => split.select(0, i))
  }

  #check(query: Tensor, key: Tensor, value: Tensor): void {
    const op = 'multiheadAttention'
    const E = this.embedDim
    for (const [name, x] of Object.entries({ query, key, value })) {
      needTensor(x, op, name)
      if (x.rank === 3 && x.shape[2] === E && x.shape[0] === query.shape[0]) continue
      const batch = name === 'query' ? 'B' : `B=${query.shape[0]}`
      const [expected, got] = [`[${batch}, ${name === 'query' ? 'L' : 'S'}, E=${E}]`, show(x.shape)]
      throw new ShapeError(`${op}: ${name} must be ${expected}, got ${got}`, { op, expected, got })
    }
    if (!sameShape(key.shape, value.shape)) {
      const [expected, got] = [show(key.shape), show(value.shape)]
      throw new ShapeError(`${op}: value must be ${expected}, as the key is, got ${got}`, { op, expected, got })
    }
  }
}

/** Both masks as one that broadcasts to [B, N, L, S]. */
function combined(mask: Tensor | undefined, keyMask: Tensor | undefined, key: Tensor): Tensor | undefined {
  const wide = mask?.rank === 3 ? mask.unsqueeze(1) : mask
  if (keyMask === undefined) return wide
  const op = 'multiheadAttention'
  const [B, S] = key.shape as [number, number]
  if (!sameShape(keyMask.shape, [B, S])) {
    const [expected, got] = [`[B=${B}, S=${S}]`, show(keyMask.shape)]
    throw new ShapeError(`${op}: keyMask must be ${expected}, got ${got}`, { op, expected, got })
  }
  if (keyMask.dtype !== 'bool') {
    const [expected, got] = ['bool', keyMask.dtype]
    throw new DTypeError(`${op}: keyMask must be bool, true where there is a key, got ${got}`, { op, expected, got })
  }
  const present = keyMask.reshape([B, 1, 1, S])
  if (wide === undefined) return present
  return wide.dtype === 'bool' ? wide.logicalAnd(present) : where(present, wide, -Infinity)
}
