// The dense recurrences as functions: one layer in one direction, or one step. Layers and directions are put together in stacked.ts.

import { ShapeError } from '../errors.js'
import type { Implementation, Nonlinearity } from '../tensor/ops/recurrent.js'
import { needOptions } from '../tensor/options.js'
import { needTensor, record } from '../tensor/record.js'
import { scope } from '../tensor/scope.js'
import { show, whole } from '../tensor/shape.js'
import { call, Tensor } from '../tensor/tensor.js'
import { type HiddenState, lengthsTensor, outputAndState, type ScanOptions } from './sequence.js'

/** Weights of one layer in one direction: G gates, rows gate by gate in torch's order. */
export interface RecurrentWeights {
  /** [G·H, I] */
  weightIh: Tensor
  /** [G·H, H]; with a projection [G·H, P] */
  weightHh: Tensor
  /** [G·H] */
  biasIh?: Tensor | undefined
  /** [G·H] */
  biasHh?: Tensor | undefined
}

export interface LSTMWeights extends RecurrentWeights {
  /** Of shape [P, H]; projects every h from H to P values (torch's `weight_hr`). libtorch computes it, so without `lengths` and `recompute`. */
  weightHr?: Tensor | undefined
}

export interface LSTMState {
  h: Tensor
  c: Tensor
}

export interface SequenceOptions extends ScanOptions {
  /** Our kernels, or libtorch's own operation, which has neither `lengths` nor `recompute`. @default 'quarterturn' */
  implementation?: Implementation
  /**
   * Saves memory in training: only the state after every `recompute`-th step is kept, and each stretch between runs forward once more in the
   * backward pass. About √T is best; 0 keeps everything. @default 0
   */
  recompute?: number
}

function attributesOf(options: SequenceOptions, op: string) {
  const { reverse = false, implementation = 'quarterturn', recompute = 0 } = needOptions(options, op)
  return { reverse, implementation, recompute: whole(recompute, 'recompute', op) }
}

/**
 * One LSTM layer over x [B, T, I] from the state h, c [B, H] (absent: zeros) → output [B, T, H] and the last state. Equations: `nn.LSTM`.
 * With a projection, h and output are P wide.
 *
 * float32 and bfloat16 on the CPU by our kernels, sums and the running state in float32; float64 and other devices by libtorch; `lengths` and
 * `recompute` by our kernels, in all three. Errors: `ERR_SHAPE`, `ERR_DTYPE`, `ERR_DEVICE` where an operand does not fit; `ERR_RANGE` for a length outside 0 … T;
 * `ERR_ARGUMENT` for options that exclude each other. Differs from torch: lengths in place of packed sequences.
 * Source: Hochreiter and Schmidhuber 1997; Gers et al. 2000; projection: Sak et al. 2014.
 */
export function lstm(
  x: Tensor,
  state: LSTMState | undefined,
  weights: LSTMWeights,
  options: SequenceOptions = {},
): { output: Tensor; state: LSTMState } {
  const attributes = attributesOf(options, 'lstm')
  const { weightIh, weightHh, biasIh, biasHh, weightHr } = needOptions(weights, 'lstm', 'weights')
  const { h, c } = state ?? zeroStates(x, weights)
  const lengths = lengthsTensor(options.lengths, x, 'lstm')
  const inputs = [x, h, c, weightIh, weightHh, biasIh, biasHh, lengths]
  const results = record('lstm', weightHr === undefined ? inputs : [...inputs, weightHr], attributes)
  const [output, hN, cN] = results.map((result) => new Tensor(result))
  return { output: output as Tensor, state: { h: hN as Tensor, c: cN as Tensor } }
}

/** One GRU layer, as `lstm`. Equations: `nn.GRU`. Source: Cho et al. 2014, with torch's reset gate. */
export function gru(
  x: Tensor,
  state: HiddenState | undefined,
  weights: RecurrentWeights,
  options: SequenceOptions = {},
): { output: Tensor; state: HiddenState } {
  const attributes = attributesOf(options, 'gru')
  const { weightIh, weightHh, biasIh, biasHh } = needOptions(weights, 'gru', 'weights')
  const h = state?.h ?? zeroState('gru', x, weightHh)
  const lengths = lengthsTensor(options.lengths, x, 'gru')
  return outputAndState(record('gru', [x, h, weightIh, weightHh, biasIh, biasHh, lengths], attributes))
}

/** One Elman layer, as `lstm`. Equations: `nn.RNN`. Source: Elman 1990. */
export function rnn(
  x: Tensor,
  state: HiddenState | undefined,
  weights: RecurrentWeights,
  given: SequenceOptions & { nonlinearity?: Nonlinearity } = {},
): { output: Tensor; state: HiddenState } {
  const { nonlinearity = 'tanh', ...options } = needOptions(given, 'rnn')
  const attributes = { ...attributesOf(options, 'rnn'), nonlinearity }
  const { weightIh, weightHh, biasIh, biasHh } = needOptions(weights, 'rnn', 'weights')
  const h = state?.h ?? zeroState('rnn', x, weightHh)
  const lengths = lengthsTensor(options.lengths, x, 'rnn')
  return outputAndState(record('rnn', [x, h, weightIh, weightHh, biasIh, biasHh, lengths], attributes))
}

/** One step of an LSTM: x [B, I], h and c [B, H] → the next state. */
export function lstmCell(x: Tensor, state: LSTMState | undefined, weights: LSTMWeights): LSTMState {
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
  needTensor(x, op, 'input')
  if (x.rank !== 2)
    throw new ShapeError(`${op}: input must be [B, I], got ${show(x.shape)}`, {
      op,
      expected: '[B, I]',
      got: show(x.shape),
    })
  return x.unsqueeze(1)
}

/** [B, H], H as many as the weight has columns. */
function zeroState(op: string, x: Tensor, weight: Tensor): Tensor {
  needTensor(x, op, 'input')
  needTensor(weight, op, 'a weight')
  const size = weight.shape[1] ?? 0
  return call('full', [], { value: 0, shape: [x.shape[0] ?? 0, size], dtype: x.dtype, device: x.device })
}

function zeroStates(x: Tensor, { weightHh, weightHr }: LSTMWeights): LSTMState {
  const h = zeroState('lstm', x, weightHh)
  return { h, c: weightHr === undefined ? h : zeroState('lstm', x, weightHr) }
}
