// The delta rule as a function: one layer in one direction, all heads.
import { needOptions } from '../tensor/options.js'
import { needTensor, record } from '../tensor/record.js'
import { scope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import { lengthsTensor, type ScanOptions } from './sequence.js'

/** What a matrix recurrence carries. */
export interface MatrixState {
  /** [B, N, E, E′] */
  s: Tensor
}

export interface DeltaRuleOptions extends ScanOptions {
  /** α [B, T, N], 0 … 1: what of the state a step keeps. Default: all of it. */
  decay?: Tensor | undefined
  /** Divides every query and key by its length first. @default false */
  normalize?: boolean
}

/**
 * The delta rule: the state of a head is a matrix that maps keys to values, and a step corrects what it says of one key:
 * ```
 * e_t = v_t − α_t S_(t−1)ᵀ k_t      S_t = α_t S_(t−1) + β_t k_t e_tᵀ      y_t = S_tᵀ q_t
 * ```
 * Shapes: query and key [B, T, N, E], value [B, T, N, E′], beta [B, T, N] → output [B, T, N, E′]; state.s [B, N, E, E′], absent: zeros. Queries are not
 * scaled. With keys of length 1 and β within 0 … 2 no step makes S longer; other keys may make it grow without bound.
 *
 * Computed in chunks of 32 steps (WY form), which equals the steps above but for rounding; float32, sums in float32, and float64 on the CPU. Gradients for
 * every operand and the state, once. Errors: `ERR_SHAPE`, `ERR_DTYPE`, `ERR_DEVICE`; `ERR_RANGE` for a length outside 0 … T. Not in torch.
 * Source: Schlag et al. 2021; Yang et al. 2024 (Parallelizing Linear Transformers with the Delta Rule over Sequence Length); the decay: Yang et al.
 * 2025 (Gated Delta Networks).
 */
export function deltaRule(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  beta: Tensor,
  state?: MatrixState,
  given: DeltaRuleOptions = {},
): { output: Tensor; state: MatrixState } {
  const op = 'deltaRule'
  const { decay, normalize = false, reverse = false, lengths } = needOptions(given, op)
  for (const [name, x] of Object.entries({ query, key })) needTensor(x, op, name)
  const rows = lengthsTensor(lengths, query, op)
  const results = scope(() => {
    const [q, k] = normalize ? [unit(query), unit(key)] : [query, key]
    return record(op, [q, k, value, beta, decay, state?.s, rows], { reverse }).map((result) => new Tensor(result))
  })
  return { output: results[0] as Tensor, state: { s: results[1] as Tensor } }
}

/** Vectors of length 1; those of length 0 stay. */
function unit(x: Tensor): Tensor {
  return x.div(x.norm(-1, { keepDim: true }).clamp({ low: 1e-6 }))
}
