// ParaGRU and ParaLSTM as functions: recurrences each of whose units reads itself only. One layer in one direction.
import { ArgumentError } from '../errors.js'
import { needOptions } from '../tensor/options.js'
import { record } from '../tensor/record.js'
import { Tensor } from '../tensor/tensor.js'
import { told } from '../told.js'
import type { LSTMState } from './recurrence.js'
import { type HiddenState, lengthsTensor, outputAndState, type ScanOptions } from './sequence.js'

/**
 * How steps are computed: one after the other, or all together by three iterations of Newton's method, each a linear scan over blocks of steps that run on
 * all threads. A row in which an equation is then off by more than rounding is computed one step after the other. Results are the same but for rounding.
 */
export type Solver = 'sequential' | 'newton'

export interface DiagonalOptions extends ScanOptions {
  /**
   * `'newton'` is some six times the arithmetic, so it pays only where there are more threads than that for each row and 64 units.
   * @default 'sequential'
   */
  solver?: Solver
}

/** The solver as a flag. @throws ArgumentError for anything else. */
export function isNewton(solver: Solver, op: string): boolean {
  if (solver === 'newton' || solver === 'sequential') return solver === 'newton'
  const [expected, got] = ['sequential or newton', told(solver)]
  throw new ArgumentError(`${op}: solver must be ${expected}, got ${got}`, { op, expected, got })
}

/**
 * The ParaGRU over pre-activations, a linear map of the input that the caller makes:
 * ```
 * z = σ(p_z + a_z ⊙ h)      r = σ(p_r + a_r ⊙ h)      c = tanh(p_c + a_c ⊙ r ⊙ h)      h' = (1 − z) ⊙ h + z ⊙ c
 * ```
 * Shapes: p [B, T, 3·H], columns in the order z, r, c; weightHh [3, H], rows in the same order → output [B, T, H]; state.h [B, H], absent: zeros.
 * float32 and float64 on the CPU. Gradients for p, the weights and the state, once, by one linear recurrence backward in time. Errors: as `gatedScan`;
 * `ERR_ARGUMENT` for another solver. Not in torch. Source: Danieli et al. 2025 (ParaRNN), section 3.
 */
export function paraGRU(
  p: Tensor,
  state: HiddenState | undefined,
  weightHh: Tensor,
  given: DiagonalOptions = {},
): { output: Tensor; state: HiddenState } {
  const op = 'paraGRU'
  const { solver = 'sequential', reverse = false, lengths } = needOptions(given, op)
  const newton = isNewton(solver, op)
  return outputAndState(record(op, [p, weightHh, state?.h, lengthsTensor(lengths, p, op)], { newton, reverse }))
}

/**
 * The ParaLSTM over pre-activations, a linear map of the input that the caller makes: coupled gates, and peepholes q.
 * ```
 * f = σ(p_f + a_f ⊙ h + q_f ⊙ c)      g = tanh(p_g + a_g ⊙ h)      c' = f ⊙ c + (1 − f) ⊙ g
 * o = σ(p_o + a_o ⊙ h + q_o ⊙ c')     h' = o ⊙ tanh(c')
 * ```
 * Shapes: p [B, T, 3·H], columns in the order f, g, o; weightHh [5, H], rows a_f, a_g, a_o, q_f, q_o → output [B, T, H]; state.h and state.c [B, H],
 * absent: zeros. float32 and float64 on the CPU. Gradients and errors: as `paraGRU`. Not in torch. Source: Danieli et al. 2025 (ParaRNN), section 3.
 */
export function paraLSTM(
  p: Tensor,
  state: LSTMState | undefined,
  weightHh: Tensor,
  given: DiagonalOptions = {},
): { output: Tensor; state: LSTMState } {
  const op = 'paraLSTM'
  const { solver = 'sequential', reverse = false, lengths } = needOptions(given, op)
  const newton = isNewton(solver, op)
  const inputs = [p, weightHh, state?.h, state?.c, lengthsTensor(lengths, p, op)]
  const [output, h, c] = record(op, inputs, { newton, reverse }).map((result) => new Tensor(result))
  return { output: output as Tensor, state: { h: h as Tensor, c: c as Tensor } }
}
