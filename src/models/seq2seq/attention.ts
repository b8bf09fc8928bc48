// How the decoder looks back at the source: scores by a product or by a small network, then a mean of what the encoder gave.
import * as nn from '../../nn/index.js'
import { cat, type Tensor, type Variable } from '../../tensor/index.js'
import { whole } from '../../tensor/shape.js'
import { checkTensor, taken } from '../../train/check.js'
import type { Tensors } from './network.js'
import type { Attending } from './options.js'

/**
 * With d_t, the decoder's output, and m_s, what the encoder gave at step s of the source:
 * ```
 * a_ts = softmax_s(score(d_t, m_s))        c_t = Σ_s a_ts m_s        d̃_t = tanh(W_c [c_t; d_t])
 * ```
 * d̃_t is what the head reads. Padding has no weight. No biases, as in the papers. What differs from them: neither c_t nor d̃_t is fed into the next
 * step of the decoder (no “input feeding”), so that all steps are one operation in training.
 */
export abstract class Attention extends nn.Module {
  /** W_c, of shape [H, 2·H] */
  readonly combine: nn.Linear

  constructor(width: number) {
    super()
    whole(width, 'width', new.target.name, 1)
    this.combine = new nn.Linear(2 * width, width, { bias: false })
  }

  /** What of the scores depends on the source alone, computed once: memory [B, S, H] → [B, S, H]. */
  protected abstract keys(memory: Tensor): Tensor

  /** Queries [B, L, H] and keys [B, S, H] → [B, L, S]. */
  protected abstract scores(query: Tensor, keys: Tensor): Tensor

  /** What `forward` reads of the source; `mask` [B, S] is added to the scores. */
  context(memory: Tensor, mask: Tensor): Tensors {
    for (const [name, x] of Object.entries({ memory, mask })) checkTensor(x, name, 'attention')
    return { memory, keys: this.keys(memory), mask }
  }

  /** Outputs of the decoder [B, L, H] → [B, L, H], and the weights [B, L, S]. */
  forward(query: Tensor, context: Tensors): { output: Tensor; weights: Tensor } {
    const { memory, keys, mask } = checked(query, context)
    const weights = this.scores(query, keys).add(mask.unsqueeze(1)).softmax(-1)
    return { output: this.combined(weights.matmul(memory), query), weights }
  }

  /** The output of `forward` alone. */
  output(query: Tensor, context: Tensors): Tensor {
    return this.forward(query, context).output
  }

  /** d̃ of c and d, both [B, L, H]. */
  protected combined(mean: Tensor, query: Tensor): Tensor {
    return this.combine.forward(cat([mean, query], 2)).tanh()
  }
}

function checked(query: Tensor, context: Tensors): Record<'memory' | 'keys' | 'mask', Tensor> {
  const { memory, keys, mask } = taken(context, 'attention', 'context') as Record<'memory' | 'keys' | 'mask', Tensor>
  for (const [name, x] of Object.entries({ query, memory, keys, mask })) checkTensor(x, name, 'attention')
  return { memory, keys, mask }
}

/**
 * score(d, m) = d·W_a m, “general” in Luong, Pham and Manning 2015, §3.1. Equations: `models.Attention`.
 *
 * @example
 * const attention = new models.MultiplicativeAttention(8)
 * const context = attention.context(zeros([2, 5, 8]), zeros([2, 5]))
 * const { output, weights } = attention.forward(zeros([2, 3, 8]), context)
 * output.shape   // [2, 3, 8]
 * weights.shape   // [2, 3, 5]
 */
export class MultiplicativeAttention extends Attention {
  readonly key: nn.Linear

  constructor(width: number) {
    super(width)
    this.key = new nn.Linear(width, width, { bias: false })
  }

  protected keys(memory: Tensor): Tensor {
    return this.key.forward(memory)
  }

  protected scores(query: Tensor, keys: Tensor): Tensor {
    return query.matmul(keys.transpose())
  }

  /** By the operation that keeps no weights. */
  override output(query: Tensor, context: Tensors): Tensor {
    const { memory, keys, mask } = checked(query, context)
    const mean = nn.functional.scaledDotProductAttention(query, keys, memory, { mask: mask.unsqueeze(1), scale: 1 })
    return this.combined(mean, query)
  }
}

/**
 * score(d, m) = v·tanh(W_q d + W_k m), from Bahdanau, Cho and Bengio 2015, §A.1.2; there d is the state before the step. Equations:
 * `models.Attention`. Used as `models.MultiplicativeAttention` is.
 */
export class AdditiveAttention extends Attention {
  readonly query: nn.Linear
  readonly key: nn.Linear
  /** [H] */
  readonly v: Variable

  constructor(width: number) {
    super(width)
    this.query = new nn.Linear(width, width, { bias: false })
    this.key = new nn.Linear(width, width, { bias: false })
    const bound = 1 / Math.sqrt(width)
    this.v = nn.init.uniform([width], -bound, bound)
  }

  protected keys(memory: Tensor): Tensor {
    return this.key.forward(memory)
  }

  protected scores(query: Tensor, keys: Tensor): Tensor {
    const sum = this.query.forward(query).unsqueeze(2).add(keys.unsqueeze(1)) // [B, L, S, H]
    return sum.tanh().matmul(this.v)
  }
}

export function attentionOf(kind: Attending, width: number): Attention | undefined {
  if (kind === 'none') return undefined
  return kind === 'additive' ? new AdditiveAttention(width) : new MultiplicativeAttention(width)
}
