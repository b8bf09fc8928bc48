// Layers as functions: everything that a module computes, without its parameters. The class axis of a loss is the last.
import { ArgumentError, ShapeError } from '../errors.js'
import type { DType } from '../tensor/dtype.js'
import type { Pair, Reduction, Window } from '../tensor/ops/nn.js'
import type { Nonlinearity } from '../tensor/ops/recurrent.js'
import { dropout as drop } from '../tensor/random.js'
import { record, type Result } from '../tensor/record.js'
import { scope } from '../tensor/scope.js'
import { sameShape, type Shape, show, whole } from '../tensor/shape.js'
import { call, Tensor } from '../tensor/tensor.js'

export type { Nonlinearity, Pair, Reduction }
export { relu, sigmoid, tanh } from '../tensor/functions.js'

/** One number for both image axes, or [height, width]. */
export type PairLike = number | Pair

export function pair(value: PairLike, name: string, op: string, least = 0): Pair {
  const [height, width] = typeof value === 'number' ? [value, value] : value
  return [whole(height as number, name, op, least), whole(width as number, name, op, least)]
}

// ---- Linear, embedding, normalisation ------------------------------------------------------------------------------

/** y = x·Wᵀ + b; x […, I], weight [O, I], bias [O] → […, O] */
export function linear<D extends DType>(x: Tensor<D>, weight: Tensor, bias?: Tensor): Tensor<D> {
  return call<D>('linear', [x, weight, bias], {})
}

/**
 * Rows of a table: index […] of int64, weight [N, D] → […, D]. The row `paddingIndex` takes no gradient.
 *
 * An index outside 0 … N−1 is found while running: `ERR_RANGE`.
 */
export function embedding<D extends DType>(index: Tensor, weight: Tensor<D>, { paddingIndex }: { paddingIndex?: number } = {}): Tensor<D> {
  return call<D>('embedding', [weight, index], { paddingIndex: paddingIndex ?? -1 })
}

/** y = (x − mean) / √(variance + eps) · weight + bias, over the last axes, whose sizes are `shape`. */
export function layerNorm<D extends DType>(
  x: Tensor<D>,
  shape: Shape,
  { weight, bias, eps = 1e-5 }: { weight?: Tensor | undefined; bias?: Tensor | undefined; eps?: number } = {},
): Tensor<D> {
  return call<D>('layerNorm', [x, weight, bias], { shape, eps })
}

export interface BatchNormOptions {
  weight?: Tensor | undefined
  bias?: Tensor | undefined
  /** Updated in place while training: s ← (1 − momentum)·s + momentum·(statistic of the batch, variance unbiased). */
  runningMean?: Tensor | undefined
  runningVar?: Tensor | undefined
  /** Use the statistics of the batch instead of the running ones. */
  training?: boolean
  momentum?: number
  eps?: number
}

/** y = (x − mean) / √(variance + eps) · weight + bias, per channel of x [B, C, …]. */
export function batchNorm<D extends DType>(x: Tensor<D>, options: BatchNormOptions = {}): Tensor<D> {
  const { weight, bias, runningMean, runningVar, training = false, momentum = 0.1, eps = 1e-5 } = options
  if (!training && (runningMean === undefined || runningVar === undefined)) {
    throw new ArgumentError('batchNorm: outside training runningMean and runningVar are needed', { op: 'batchNorm', expected: 'running statistics', got: 'none' })
  }
  return call<D>('batchNorm', [x, weight, bias, runningMean, runningVar], { train: training, momentum, eps })
}

/** Zeroes each element with probability p and scales the rest by 1/(1−p); without `training` it gives x itself. */
export function dropout<D extends DType>(x: Tensor<D>, p = 0.5, { training = true }: { training?: boolean } = {}): Tensor<D> {
  return training ? drop(x, p) : x
}

// ---- Images --------------------------------------------------------------------------------------------------------

export interface ConvOptions {
  bias?: Tensor | undefined
  stride?: PairLike
  padding?: PairLike
  dilation?: PairLike
  groups?: number
}

/** Cross-correlation: x [B, C, H, W], weight [O, C/groups, h, w] → [B, O, H', W'], H' = ⌊(H + 2·padding − dilation·(h−1) − 1)/stride⌋ + 1. */
export function conv2d<D extends DType>(x: Tensor<D>, weight: Tensor, options: ConvOptions = {}): Tensor<D> {
  const { bias, stride = 1, padding = 0, dilation = 1, groups = 1 } = options
  return call<D>('conv2d', [x, weight, bias], {
    stride: pair(stride, 'stride', 'conv2d', 1),
    padding: pair(padding, 'padding', 'conv2d'),
    dilation: pair(dilation, 'dilation', 'conv2d', 1),
    groups: whole(groups, 'groups', 'conv2d', 1),
  })
}

export interface PoolOptions {
  /** Default: the kernel. */
  stride?: PairLike
  padding?: PairLike
}

function window(kernel: PairLike, { stride = kernel, padding = 0 }: PoolOptions, op: string): Window {
  const size = pair(kernel, 'kernel', op, 1)
  const around = pair(padding, 'padding', op)
  if (around.some((p, i) => 2 * p > (size[i] as number))) {
    throw new ArgumentError(`${op}: padding must be at most half the kernel ${show(size)}, got ${show(around)}`, { op, expected: 'at most half the kernel', got: show(around) })
  }
  return { kernel: size, stride: pair(stride, 'stride', op, 1), padding: around }
}

/** The largest value in each window. */
export function maxPool2d<D extends DType>(x: Tensor<D>, kernel: PairLike, options: PoolOptions = {}): Tensor<D> {
  return call<D>('maxPool2d', [x], window(kernel, options, 'maxPool2d'))
}

/** The mean of each window; padding counts as zeros. */
export function avgPool2d<D extends DType>(x: Tensor<D>, kernel: PairLike, options: PoolOptions = {}): Tensor<D> {
  return call<D>('avgPool2d', [x], window(kernel, options, 'avgPool2d'))
}

/** Means of windows chosen so that the output is [B, C, h, w]. */
export function adaptiveAvgPool2d<D extends DType>(x: Tensor<D>, size: PairLike): Tensor<D> {
  return call<D>('adaptiveAvgPool2d', [x], { size: pair(size, 'size', 'adaptiveAvgPool2d', 1) })
}

// ---- Activations ---------------------------------------------------------------------------------------------------

/** x·Φ(x), Φ the normal distribution function; `approximate`: by tanh. */
export function gelu<D extends DType>(x: Tensor<D>, { approximate = false }: { approximate?: boolean } = {}): Tensor<D> {
  return call<D>('gelu', [x], { approximate })
}

/** x·σ(x) */
export function silu<D extends DType>(x: Tensor<D>): Tensor<D> {
  return call<D>('silu', [x], {})
}

/** log(1 + eˣ) */
export function softplus<D extends DType>(x: Tensor<D>): Tensor<D> {
  return call<D>('softplus', [x], {})
}

/** x for x > 0, slope·x otherwise */
export function leakyRelu<D extends DType>(x: Tensor<D>, slope = 0.01): Tensor<D> {
  return call<D>('leakyRelu', [x], { slope })
}

export const softmax = <D extends DType>(x: Tensor<D>, dim: number): Tensor<D> => x.softmax(dim)
export const logSoftmax = <D extends DType>(x: Tensor<D>, dim: number): Tensor<D> => x.logSoftmax(dim)

// ---- Losses --------------------------------------------------------------------------------------------------------

export interface LossOptions {
  /** `'mean'` (default), `'sum'`, or `'none'` for one loss per element. */
  reduction?: Reduction
}

export interface CrossEntropyOptions extends LossOptions {
  /** Targets that count for nothing, such as padding. */
  ignoreIndex?: number
  /** Weight of a uniform distribution mixed into the target. */
  labelSmoothing?: number
}

/**
 * −log softmax(logits)[target]: logits […, C], target […] of int64. The mean is over the targets that are not ignored.
 *
 * Differs from torch: the class axis is the last one, so sequences need no transposition.
 */
export function crossEntropy<D extends DType>(logits: Tensor<D>, target: Tensor, options: CrossEntropyOptions = {}): Tensor<D> {
  const { ignoreIndex = -100, reduction = 'mean', labelSmoothing = 0 } = options
  if (!Number.isSafeInteger(ignoreIndex)) {
    throw new ArgumentError(`crossEntropy: ignoreIndex must be a whole number, got ${String(ignoreIndex)}`, { op: 'crossEntropy', got: String(ignoreIndex) })
  }
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    throw new ArgumentError(`crossEntropy: labelSmoothing must be within 0 … 1, got ${String(labelSmoothing)}`, { op: 'crossEntropy', got: String(labelSmoothing) })
  }
  return call<D>('crossEntropy', [logits, target], { ignoreIndex, reduction: checkReduction(reduction, 'crossEntropy'), labelSmoothing })
}

/** (x − target)² */
export function mseLoss<D extends DType>(x: Tensor<D>, target: Tensor, options: LossOptions = {}): Tensor<D> {
  return loss('mseLoss', x, target, options, () => x.sub(target as Tensor<D>).square())
}

/** |x − target| */
export function l1Loss<D extends DType>(x: Tensor<D>, target: Tensor, options: LossOptions = {}): Tensor<D> {
  return loss('l1Loss', x, target, options, () => x.sub(target as Tensor<D>).abs())
}

/** −t·log σ(x) − (1−t)·log(1 − σ(x)), computed as max(x, 0) − x·t + log(1 + e^−|x|) */
export function binaryCrossEntropyWithLogits<D extends DType>(x: Tensor<D>, target: Tensor, options: LossOptions = {}): Tensor<D> {
  return loss('binaryCrossEntropyWithLogits', x, target, options, () => x.relu().sub(x.mul(target)).add(x.abs().neg().exp().log1p()))
}

function loss<D extends DType>(op: string, x: Tensor, target: Tensor, { reduction = 'mean' }: LossOptions, each: () => Tensor): Tensor<D> {
  checkReduction(reduction, op)
  // PyTorch broadcasts with a warning: [B, 1] against [B] then compares every pair. Here it is refused.
  if (!sameShape(x.shape, target.shape)) {
    throw new ShapeError(`${op}: target must be ${show(x.shape)}, got ${show(target.shape)}`, { op, expected: show(x.shape), got: show(target.shape) })
  }
  return scope(() => {
    const losses = each()
    return reduction === 'none' ? losses : reduction === 'sum' ? losses.sum() : losses.mean()
  }) as Tensor<D>
}

function checkReduction(reduction: Reduction, op: string): Reduction {
  if (reduction === 'mean' || reduction === 'sum' || reduction === 'none') return reduction
  throw new ArgumentError(`${op}: reduction must be 'mean', 'sum' or 'none', got ${String(reduction)}`, { op, expected: "'mean', 'sum' or 'none'", got: String(reduction) })
}

// ---- Recurrences: one layer, one direction ---------------------------------------------------------------------------

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
}

/** One LSTM layer over x [B, T, I] from the state h, c [B, H] (absent: zeros) → output [B, T, H] and the last state. Equations: `nn.LSTM`. */
export function lstm(x: Tensor, state: LSTMState | undefined, weights: RecurrentWeights, { reverse = false }: SequenceOptions = {}): { output: Tensor; state: LSTMState } {
  const { weightIh, weightHh, biasIh, biasHh } = weights
  const { h, c } = state ?? zeroState(x, weightHh, (zero) => ({ h: zero, c: zero }))
  const [output, hN, cN] = tensors(record('lstm', [x, h, c, weightIh, weightHh, biasIh, biasHh], { reverse }))
  return { output: output as Tensor, state: { h: hN as Tensor, c: cN as Tensor } }
}

/** One GRU layer, as `lstm`. Equations: `nn.GRU`. */
export function gru(x: Tensor, state: HiddenState | undefined, weights: RecurrentWeights, { reverse = false }: SequenceOptions = {}): { output: Tensor; state: HiddenState } {
  const { weightIh, weightHh, biasIh, biasHh } = weights
  const { h } = state ?? zeroState(x, weightHh, (zero) => ({ h: zero }))
  const [output, hN] = tensors(record('gru', [x, h, weightIh, weightHh, biasIh, biasHh], { reverse }))
  return { output: output as Tensor, state: { h: hN as Tensor } }
}

/** One Elman layer, as `lstm`. Equations: `nn.RNN`. */
export function rnn(
  x: Tensor,
  state: HiddenState | undefined,
  weights: RecurrentWeights,
  { reverse = false, nonlinearity = 'tanh' }: SequenceOptions & { nonlinearity?: Nonlinearity } = {},
): { output: Tensor; state: HiddenState } {
  const { weightIh, weightHh, biasIh, biasHh } = weights
  const { h } = state ?? zeroState(x, weightHh, (zero) => ({ h: zero }))
  const [output, hN] = tensors(record('rnn', [x, h, weightIh, weightHh, biasIh, biasHh], { reverse, nonlinearity }))
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
export function rnnCell(x: Tensor, state: HiddenState | undefined, weights: RecurrentWeights, options: { nonlinearity?: Nonlinearity } = {}): HiddenState {
  return scope(() => rnn(asSequence(x, 'rnnCell'), state, weights, options).state)
}

function asSequence(x: Tensor, op: string): Tensor {
  if (x.rank !== 2) throw new ShapeError(`${op}: input must be [B, I], got ${show(x.shape)}`, { op, expected: '[B, I]', got: show(x.shape) })
  return x.unsqueeze(1)
}

function zeroState<S>(x: Tensor, weightHh: Tensor, form: (zero: Tensor) => S): S {
  return form(call('full', [], { value: 0, shape: [x.shape[0] ?? 0, weightHh.shape[1] ?? 0], dtype: x.dtype, device: x.device }))
}

function tensors(results: readonly Result[]): Tensor[] {
  return results.map((result) => new Tensor(result))
}
