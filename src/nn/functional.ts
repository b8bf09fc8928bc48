// Layers as functions: everything that a module computes, without its parameters. Losses, recurrences and residual blocks have files of their own.

import { ArgumentError } from '../errors.js'
import type { DType } from '../tensor/dtype.js'
import { type Padding, paddings } from '../tensor/ops/shape.js'
import { needOptions } from '../tensor/options.js'
import { dropout as drop } from '../tensor/random.js'
import { needTensor } from '../tensor/record.js'
import { scope } from '../tensor/scope.js'
import { list, type Shape, whole } from '../tensor/shape.js'
import { call, type Tensor } from '../tensor/tensor.js'
import { told } from '../told.js'

export { oneHot, relu, sigmoid, tanh } from '../tensor/functions.js'
export type { Reduction } from '../tensor/ops/loss.js'
export type { Nonlinearity } from '../tensor/ops/recurrent.js'
export * from './activation.js'
export * from './convolution.js'
export * from './delta-rule.js'
export * from './gated-scan.js'
export * from './loss.js'
export { type DiagonalOptions, paraGRU, paraLSTM, type Solver } from './para.js'
export * from './recurrence.js'
export * from './residual.js'
export { rotary } from './rotary.js'
export * from './scaled-dot-product-attention.js'
export type { HiddenState, Lengths, ScanOptions } from './sequence.js'
export * from './slstm.js'

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
export function embedding<D extends DType>(
  index: Tensor,
  weight: Tensor<D>,
  given: { paddingIndex?: number } = {},
): Tensor<D> {
  const { paddingIndex } = needOptions(given, 'embedding')
  return call<D>('embedding', [weight, index], { paddingIndex: paddingIndex ?? -1 })
}

/** y = (x − mean) / √(variance + eps) · weight + bias, over the last axes, whose sizes are `shape`. */
export function layerNorm<D extends DType>(
  x: Tensor<D>,
  shape: Shape,
  given: { weight?: Tensor | undefined; bias?: Tensor | undefined; eps?: number } = {},
): Tensor<D> {
  const { weight, bias, eps = 1e-5 } = needOptions(given, 'layerNorm')
  return call<D>('layerNorm', [x, weight, bias], { shape, eps })
}

/** y = x / √(mean(x²) + eps) · weight, over the last axes, whose sizes are `shape`. @default eps: the step of the dtype at 1, as in torch */
export function rmsNorm<D extends DType>(
  x: Tensor<D>,
  shape: Shape,
  given: { weight?: Tensor | undefined; eps?: number | undefined } = {},
): Tensor<D> {
  const { weight, eps = Number.NaN } = needOptions(given, 'rmsNorm')
  return call<D>('rmsNorm', [x, weight], { shape, eps })
}

/** y = (x − mean) / √(variance + eps) · weight + bias: x [B, C, …], mean and variance over each of `groups` runs of channels with all later axes; weight and bias [C]. */
export function groupNorm<D extends DType>(
  x: Tensor<D>,
  groups: number,
  given: { weight?: Tensor | undefined; bias?: Tensor | undefined; eps?: number } = {},
): Tensor<D> {
  const { weight, bias, eps = 1e-5 } = needOptions(given, 'groupNorm')
  return call<D>('groupNorm', [x, weight, bias], { groups: whole(groups, 'groups', 'groupNorm', 1), eps })
}

/** x / max(‖x‖ₚ, eps) along an axis: vectors of length 1. */
export function normalize<D extends DType>(
  x: Tensor<D>,
  given: { p?: number; dim?: number; eps?: number } = {},
): Tensor<D> {
  const { p = 2, dim = 1, eps = 1e-12 } = needOptions(given, 'normalize')
  needTensor(x, 'normalize', 'input')
  return scope(() => x.div(x.norm(dim, { p, keepDim: true }).clamp({ low: eps }))) as Tensor<D>
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
  /** Added to the result, of the same shape: the shortcut of a residual block. */
  residual?: Tensor | undefined
  /** Whether a ReLU follows, after the addition. @default false */
  relu?: boolean
}

/**
 * y = (x − mean) / √(variance + eps) · weight + bias, per channel of x [B, C, …]; then y + residual, and relu(y), where asked for.
 *
 * In training, on the CPU, in float32 and with channels side by side in memory, norm, addition and ReLU are one operation of two passes each way, whose gradient
 * cannot be differentiated again; elsewhere they are libtorch's three.
 */
export function batchNorm<D extends DType>(x: Tensor<D>, options: BatchNormOptions = {}): Tensor<D> {
  const {
    weight,
    bias,
    runningMean,
    runningVar,
    training = false,
    momentum = 0.1,
    eps = 1e-5,
    residual,
    relu = false,
  } = needOptions(options, 'batchNorm')
  if (!training && (runningMean === undefined || runningVar === undefined)) {
    throw new ArgumentError('batchNorm: outside training runningMean and runningVar are needed', {
      op: 'batchNorm',
      expected: 'running statistics',
      got: 'none',
    })
  }
  const inputs = [x, weight, bias, runningMean, runningVar, residual]
  return call<D>('batchNorm', inputs, { train: training, momentum, eps, relu })
}

/** Zeroes each element with probability p and scales the rest by 1/(1−p); without `training` it gives x itself. */
export function dropout<D extends DType>(x: Tensor<D>, p = 0.5, given: { training?: boolean } = {}): Tensor<D> {
  const { training = true } = needOptions(given, 'dropout')
  needTensor(x, 'dropout', 'the input')
  return training ? drop(x, p) : x
}

export interface PadOptions {
  /** `'reflect'` mirrors without the edge, `'replicate'` repeats the edge, `'circular'` goes on at the other end. @default 'constant' */
  mode?: Padding
  /** What is added in mode `'constant'`. @default 0 */
  value?: number
}

/**
 * Longer axes: `padding` is [before, after] of the last axis, then of the one before it, …: `pad(image, [left, right, top, bottom])`.
 *
 * The modes other than `'constant'` take floats of at most two axes (batch and channels) and one to three padded ones; `'reflect'` adds less than the
 * axis has, `'circular'` at most as much. Errors: `ERR_SHAPE`, `ERR_DTYPE`, `ERR_ARGUMENT`. Differs from torch: nothing is cut off by negative numbers.
 */
export function pad<D extends DType>(x: Tensor<D>, padding: readonly number[], given: PadOptions = {}): Tensor<D> {
  const { mode = 'constant', value = 0 } = needOptions(given, 'pad')
  if (!Object.hasOwn(paddings, mode)) {
    const expected = Object.keys(paddings).join(', ')
    throw new ArgumentError(`pad: mode must be one of ${expected}, got ${told(mode)}`, { op: 'pad', expected })
  }
  for (const size of list(padding, 'padding', 'pad')) whole(size, 'padding', 'pad')
  return call<D>('pad', [x], { padding: [...padding], mode, value })
}
