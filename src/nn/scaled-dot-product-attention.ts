// Scaled-dot-product attention as a function.

import { ArgumentError } from '../errors.js'
import type { DType } from '../tensor/dtype.js'
import { needOptions } from '../tensor/options.js'
import { generator } from '../tensor/random.js'
import { elements } from '../tensor/shape.js'
import { call, type Tensor } from '../tensor/tensor.js'

export interface AttentionOptions {
  /**
   * Which keys a query sees, broadcast to […, L, S]: bool, true where it sees it; or the dtype of the query, added to the scaled products
   * (−∞ hides). A query that sees nothing gives 0.
   */
  mask?: Tensor | undefined
  /** Query i sees keys 0 … i only; together with a mask, what both allow. @default false */
  causal?: boolean
  /** Whether key and value may have fewer heads, the axis before the last two, each shared by a run of the query's heads. @default false */
  enableGqa?: boolean
  /** Factor of the products. @default 1/√E */
  scale?: number | undefined
  /** Probability of dropping a weight; the others grow by 1/(1−p). Name it only while training. @default 0 */
  dropout?: number
}

const OP = 'scaledDotProductAttention'

/**
 * softmax(scale · Q·Kᵀ + mask)·V: query Q […, L, E], key K […, S, E], value V […, S, V] → […, L, V], the leading axes, such as batch and heads, the
 * same in all three but for `enableGqa`. float32, float64 or bfloat16; libtorch computes it in one pass where it can, without the matrix [L, S] in memory; with dropout
 * it makes that matrix, its mask drawn from the ambient generator.
 *
 * Errors: `ERR_SHAPE`, `ERR_DTYPE`; `ERR_ARGUMENT` for a dropout outside 0 … 1 or a scale that is not finite. Differs from torch: mask and `causal`
 * may be given together. As in torch, the gradient of the fused form cannot be differentiated again.
 * Source: Vaswani et al. 2017, §3.2.1; the fused form: Dao et al. 2022.
 */
export function scaledDotProductAttention<D extends DType>(
  query: Tensor<D>,
  key: Tensor,
  value: Tensor,
  given: AttentionOptions = {},
): Tensor<D> {
  const {
    mask,
    causal = false,
    enableGqa = false,
    scale,
    dropout = 0,
  } = needOptions(given, 'scaledDotProductAttention')
  if (!(dropout >= 0 && dropout <= 1)) throw bad('dropout', 'within 0 … 1', dropout)
  if (scale !== undefined && !Number.isFinite(scale)) throw bad('scale', 'a finite number', scale)
  if (typeof causal !== 'boolean') throw bad('causal', 'a boolean', causal)
  if (typeof enableGqa !== 'boolean') throw bad('enableGqa', 'a boolean', enableGqa)
  const weights = dropout === 0 ? 0 : elements(query.shape.slice(0, -1)) * (key.shape.at(-2) ?? 0)
  return call<D>(OP, [query, key, value, mask], {
    ...generator().draw(weights),
    causal,
    enableGqa,
    scale: scale ?? Number.NaN,
    p: dropout,
  })
}

function bad(name: string, expected: string, got: unknown): ArgumentError {
  return new ArgumentError(`${OP}: ${name} must be ${expected}, got ${String(got)}`, {
    op: OP,
    expected,
    got: String(got),
  })
}
