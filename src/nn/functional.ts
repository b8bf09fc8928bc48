// Layers as functions: everything that a module computes, without its parameters. Losses, recurrences and residual blocks have files of their own.
import { ArgumentError } from '../errors.js'
import type { DType } from '../tensor/dtype.js'
import type { Pair, Window } from '../tensor/ops/nn.js'
import { dropout as drop } from '../tensor/random.js'
import { type Shape, show, whole } from '../tensor/shape.js'
import { call, type Tensor } from '../tensor/tensor.js'

export { relu, sigmoid, tanh } from '../tensor/functions.js'
export type { Reduction } from '../tensor/ops/nn.js'
export type { Nonlinearity } from '../tensor/ops/recurrent.js'
export * from './gated-scan.js'
export * from './loss.js'
export * from './recurrence.js'
export * from './residual.js'
export type { HiddenState, Lengths, ScanOptions } from './sequence.js'
export type { Pair }

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
export function embedding<D extends DType>(
  index: Tensor,
  weight: Tensor<D>,
  { paddingIndex }: { paddingIndex?: number } = {},
): Tensor<D> {
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
    throw new ArgumentError('batchNorm: outside training runningMean and runningVar are needed', {
      op: 'batchNorm',
      expected: 'running statistics',
      got: 'none',
    })
  }
  return call<D>('batchNorm', [x, weight, bias, runningMean, runningVar], { train: training, momentum, eps })
}

/** Zeroes each element with probability p and scales the rest by 1/(1−p); without `training` it gives x itself. */
export function dropout<D extends DType>(
  x: Tensor<D>,
  p = 0.5,
  { training = true }: { training?: boolean } = {},
): Tensor<D> {
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
    throw new ArgumentError(`${op}: padding must be at most half the kernel ${show(size)}, got ${show(around)}`, {
      op,
      expected: 'at most half the kernel',
      got: show(around),
    })
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
export function gelu<D extends DType>(
  x: Tensor<D>,
  { approximate = false }: { approximate?: boolean } = {},
): Tensor<D> {
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
