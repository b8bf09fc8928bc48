// The recurrences as functions: one layer in one direction, or one step. Layers and directions are put together in recurrent.ts.
import { ShapeError } from '../errors.js'
import type { Implementation, Nonlinearity } from '../tensor/ops/recurrent.js'
import { type Result, record } from '../tensor/record.js'
import { scope } from '../tensor/scope.js'
import { show } from '../tensor/shape.js'
import { call, Tensor } from '../tensor/tensor.js'

/** Weights of one layer in one direction: G gates, rows gate by gate in torch's order. */
export interface RecurrentWeights {
  /** [G·H, I] */
  weightIh: Tensor
  /** [G·H, H] */
  weightHh: Tensor
  /** [G·H] */
  biasIh?: Tensor | undefined
  /** [G·H] */
  biasHh?: Tensor | undefined
}

export interface HiddenState {
  h: Tensor
}

export interface LSTMState {
  h: Tensor
  c: Tensor
}

export interface SequenceOptions {
  /** From the last step to the first. */
  reverse?: boolean
  /** Our kernels (default), or libtorch's own operation. */
  implementation?: Implementation
}

/** One LSTM layer over x [B, T, I] from the state h, c [B, H] (absent: zeros) → output [B, T, H] and the last state. Equations: `nn.LSTM`. */
export function lstm(
  x: Tensor,
  state: LSTMState | undefined,
  weights: RecurrentWeights,
  { reverse = false, implementation = 'quarterturn' }: SequenceOptions = {},
): { output: Tensor; state: LSTMState } {
  const { weightIh, weightHh, biasIh, biasHh } = weights
  const { h, c } = state ?? zeroState(x, weightHh, (zero) => ({ h: zero, c: zero }))
  const [output, hN, cN] = tensors(
    record('lstm', [x, h, c, weightIh, weightHh, biasIh, biasHh], { reverse, implementation }),
  )
  return { output: output as Tensor, state: { h: hN as Tensor, c: cN as Tensor } }
}

/** One GRU layer, as `lstm`. Equations: `nn.GRU`. */
export function gru(
  x: Tensor,
  state: HiddenState | undefined,
  weights: RecurrentWeights,
  { reverse = false, implementation = 'quarterturn' }: SequenceOptions = {},
): { output: Tensor; state: HiddenState } {
  const { weightIh, weightHh, biasIh, biasHh } = weights
  const { h } = state ?? zeroState(x, weightHh, (zero) => ({ h: zero }))
  const [output, hN] = tensors(record('gru', [x, h, weightIh, weightHh, biasIh, biasHh], { reverse, implementation }))
  return { output: output as Tensor, state: { h: hN as Tensor } }
}

/** One Elman layer, as `lstm`. Equations: `nn.RNN`. */
export function rnn(
  x: Tensor,
  state: HiddenState | undefined,
  weights: RecurrentWeights,
  {
    reverse = false,
    implementation = 'quarterturn',
    nonlinearity = 'tanh',
  }: SequenceOptions & { nonlinearity?: Nonlinearity } = {},
): { output: Tensor; state: HiddenState } {
  const { weightIh, weightHh, biasIh, biasHh } = weights
  const { h } = state ?? zeroState(x, weightHh, (zero) => ({ h: zero }))
  const [output, hN] = tensors(
    record('rnn', [x, h, weightIh, weightHh, biasIh, biasHh], { reverse, implementation, nonlinearity }),
  )
  return { output: output as Tensor, state: { h: hN as Tensor } }
}

/** One step of an LSTM: x [B, I], h and c [B, H] → the next state. */
export function lstmCell(x: Tensor, state: LSTMState | undefined, weights: RecurrentWeights): LSTMState {
  return scope(() => lstm(asSequence(x, 'lstmCell'), state, weights).state)
}

/** One step of a GRU: x [B, I], h [B, H] → the next state. */
export function gruCell(x: Tensor, state: HiddenState | undefined, weights: RecurrentWeights): HiddenState {
  return scope(() => gru(asSequence(x, 'gruCell'), state, weights).state)
}

/** One step of an Elman network: x [B, I], h [B, H] → the next state. */
export function rnnCell(
  x: Tensor,
  state: HiddenState | undefined,
  weights: RecurrentWeights,
  options: { nonlinearity?: Nonlinearity } = {},
): HiddenState {
  return scope(() => rnn(asSequence(x, 'rnnCell'), state, weights, options).state)
}

function asSequence(x: Tensor, op: string): Tensor {
  if (x.rank !== 2)
    throw new ShapeError(`${op}: input must be [B, I], got ${show(x.shape)}`, {
      op,
      expected: '[B, I]',
      got: show(x.shape),
    })
  return x.unsqueeze(1)
}

function zeroState<S>(x: Tensor, weightHh: Tensor, form: (zero: Tensor) => S): S {
  return form(
    call('full', [], { value: 0, shape: [x.shape[0] ?? 0, weightHh.shape[1] ?? 0], dtype: x.dtype, device: x.device }),
  )
}

function tensors(results: readonly Result[]): Tensor[] {
  return results.map((result) => new Tensor(result))
}
