// The sLSTM as a function: one layer in one direction, all heads.
import { stack } from '../tensor/functions.js'
import { needOptions } from '../tensor/options.js'
import { record } from '../tensor/record.js'
import { scope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import { lengthsTensor, type ScanOptions } from './sequence.js'

/** What an sLSTM carries, [B, H] each: the output, the cell, its normaliser, and the logarithm that both are scaled by. */
export interface SLSTMState {
  h: Tensor
  c: Tensor
  n: Tensor
  m: Tensor
}

/**
 * The sLSTM over the input's share of the pre-activations, a linear map of the input that the caller makes; p = x_t + R h, in the order i, f, z, o:
 * ```
 * m' = max(log σ(p_f) + m, p_i)      i = exp(p_i − m')      f = exp(log σ(p_f) + m − m')      z = tanh(p_z)      o = σ(p_o)
 * c' = f ⊙ c + i ⊙ z                 n' = f ⊙ n + i         h' = o ⊙ c' / n'
 * ```
 * Shapes: x [B, T, 4·H]; weightHh R [4·H, E], whose row g·H + u holds what gate g of unit u reads of the E units of its head, H/E heads → output
 * [B, T, H]; each part of the state [B, H], absent: zeros. float32 and float64 on the CPU. Gradients for x, R and the state, once. Errors: as `gatedScan`.
 * Not in torch. Source: Beck et al. 2024 (xLSTM), section 2.2, with σ for the forget gate.
 */
export function sLSTM(
  x: Tensor,
  state: SLSTMState | undefined,
  weightHh: Tensor,
  given: ScanOptions = {},
): { output: Tensor; state: SLSTMState } {
  const op = 'sLSTM'
  const { reverse = false, lengths } = needOptions(given, op)
  const rows = lengthsTensor(lengths, x, op)
  return scope(() => {
    const before = state && stack([state.h, state.c, state.n, state.m])
    const [output, last] = record(op, [x, weightHh, before, rows], { reverse }).map((result) => new Tensor(result))
    const [h, c, n, m] = (last as Tensor).unbind(0) as [Tensor, Tensor, Tensor, Tensor]
    return { output: output as Tensor, state: { h, c, n, m } }
  })
}
