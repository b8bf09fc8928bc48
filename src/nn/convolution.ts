// Windows that move over signals [B, C, L] and images [B, C, H, W], as functions: convolutions, pooling, resampling.

import { ArgumentError } from '../errors.js'
import type { DType } from '../tensor/dtype.js'
import {
  type Convolution,
  type Interpolation,
  interpolations,
  type Pair,
  type Sizes,
  type Window,
} from '../tensor/ops/convolution.js'
import { needOptions } from '../tensor/options.js'
import { needTensor } from '../tensor/record.js'
import { show, whole } from '../tensor/shape.js'
import { call, type Tensor } from '../tensor/tensor.js'

export type { Interpolation, Pair }

/** One number for both image axes, or [height, width]. */
export type PairLike = number | Pair

export function pair(value: PairLike, name: string, op: string, least = 0): Pair {
  const [height, width] = Array.isArray(value) ? (value as Pair) : [value as number, value as number]
  return [whole(height as number, name, op, least), whole(width as number, name, op, least)]
}

function single(value: number, name: string, op: string, least = 0): Sizes {
  return [whole(value, name, op, least)]
}

// ---- Convolution ---------------------------------------------------------------------------------------------------

export interface ConvOptions<S = PairLike> {
  bias?: Tensor | undefined
  stride?: S
  padding?: S
  dilation?: S
  groups?: number
}

export interface Conv2dFunctionOptions extends ConvOptions {
  /** Added to the result, of its shape: the shortcut of a residual block. */
  residual?: Tensor | undefined
  /** Whether a ReLU follows, after the addition. @default false */
  relu?: boolean | undefined
}

export interface ConvTransposeOptions<S = PairLike> extends ConvOptions<S> {
  /** Added at the end of the output, where several lengths would fit. */
  outputPadding?: S
}

function convolution<S>(
  op: string,
  { stride, padding, dilation, groups = 1 }: ConvOptions<S>,
  sizes: (value: S, name: string, op: string, least?: number) => Sizes,
): Convolution {
  return {
    stride: sizes(stride ?? (1 as S), 'stride', op, 1),
    padding: sizes(padding ?? (0 as S), 'padding', op),
    dilation: sizes(dilation ?? (1 as S), 'dilation', op, 1),
    groups: whole(groups, 'groups', op, 1),
  }
}

/** Cross-correlation: x [B, C, L], weight [O, C/groups, l] → [B, O, L'], L' = ⌊(L + 2·padding − dilation·(l−1) − 1)/stride⌋ + 1. */
export function conv1d<D extends DType>(x: Tensor<D>, weight: Tensor, options: ConvOptions<number> = {}): Tensor<D> {
  return call<D>('conv1d', [x, weight, needOptions(options, 'conv1d').bias], convolution('conv1d', options, single))
}

/**
 * Cross-correlation: x [B, C, H, W], weight [O, C/groups, h, w] → [B, O, H', W'], H' = ⌊(H + 2·padding − dilation·(h−1) − 1)/stride⌋ + 1; then
 * y + residual, and relu(y), where asked for.
 *
 * Where no gradient is recorded, on the CPU, in float32 or bfloat16 and with channels side by side in memory, all of it is one operation of oneDNN, and the
 * weight is brought into its order once, not at every call: that copy is kept while the weight lives and stays the same. Elsewhere they are libtorch's three.
 */
export function conv2d<D extends DType>(x: Tensor<D>, weight: Tensor, options: Conv2dFunctionOptions = {}): Tensor<D> {
  const { bias, residual, relu = false } = needOptions(options, 'conv2d')
  return call<D>('conv2d', [x, weight, bias, residual], { ...convolution('conv2d', options, pair), relu })
}

/**
 * The transpose of `conv1d` as a linear map: x [B, C, L], weight [C, O/groups, l] → [B, O, L'],
 * L' = (L − 1)·stride − 2·padding + dilation·(l − 1) + outputPadding + 1; outputPadding is smaller than stride or dilation.
 */
export function convTranspose1d<D extends DType>(
  x: Tensor<D>,
  weight: Tensor,
  options: ConvTransposeOptions<number> = {},
): Tensor<D> {
  return call<D>('convTranspose1d', [x, weight, needOptions(options, 'convTranspose1d').bias], {
    ...convolution('convTranspose1d', options, single),
    outputPadding: single(options.outputPadding ?? 0, 'outputPadding', 'convTranspose1d'),
  })
}

/** The transpose of `conv2d` as a linear map: x [B, C, H, W], weight [C, O/groups, h, w] → [B, O, H', W'], sizes as in `convTranspose1d`. */
export function convTranspose2d<D extends DType>(
  x: Tensor<D>,
  weight: Tensor,
  options: ConvTransposeOptions = {},
): Tensor<D> {
  return call<D>('convTranspose2d', [x, weight, needOptions(options, 'convTranspose2d').bias], {
    ...convolution('convTranspose2d', options, pair),
    outputPadding: pair(options.outputPadding ?? 0, 'outputPadding', 'convTranspose2d'),
  })
}

// ---- Pooling -------------------------------------------------------------------------------------------------------

export interface PoolOptions<S = PairLike> {
  /** Default: the kernel. */
  stride?: S
  padding?: S
}

function window<S>(
  kernel: S,
  options: PoolOptions<S>,
  op: string,
  sizes: (value: S, name: string, op: string, least?: number) => Sizes,
): Window {
  const { stride = kernel, padding = 0 as S } = needOptions(options, op)
  const size = sizes(kernel, 'kernel', op, 1)
  const around = sizes(padding, 'padding', op)
  if (around.some((p, i) => 2 * p > (size[i] as number))) {
    throw new ArgumentError(`${op}: padding must be at most half the kernel ${show(size)}, got ${show(around)}`, {
      op,
      expected: 'at most half the kernel',
      got: show(around),
    })
  }
  return { kernel: size, stride: sizes(stride, 'stride', op, 1), padding: around }
}

/** The largest value in each window: [B, C, L]. */
export function maxPool1d<D extends DType>(x: Tensor<D>, kernel: number, options: PoolOptions<number> = {}): Tensor<D> {
  return call<D>('maxPool1d', [x], window(kernel, options, 'maxPool1d', single))
}

/** The largest value in each window: [B, C, H, W]. */
export function maxPool2d<D extends DType>(x: Tensor<D>, kernel: PairLike, options: PoolOptions = {}): Tensor<D> {
  return call<D>('maxPool2d', [x], window(kernel, options, 'maxPool2d', pair))
}

/** The mean of each window; padding counts as zeros: [B, C, L]. */
export function avgPool1d<D extends DType>(x: Tensor<D>, kernel: number, options: PoolOptions<number> = {}): Tensor<D> {
  return call<D>('avgPool1d', [x], window(kernel, options, 'avgPool1d', single))
}

/** The mean of each window; padding counts as zeros: [B, C, H, W]. */
export function avgPool2d<D extends DType>(x: Tensor<D>, kernel: PairLike, options: PoolOptions = {}): Tensor<D> {
  return call<D>('avgPool2d', [x], window(kernel, options, 'avgPool2d', pair))
}

/** Means of windows chosen so that the output is [B, C, length]. */
export function adaptiveAvgPool1d<D extends DType>(x: Tensor<D>, length: number): Tensor<D> {
  return call<D>('adaptiveAvgPool1d', [x], { size: single(length, 'length', 'adaptiveAvgPool1d', 1) })
}

/** Means of windows chosen so that the output is [B, C, h, w]. */
export function adaptiveAvgPool2d<D extends DType>(x: Tensor<D>, size: PairLike): Tensor<D> {
  return call<D>('adaptiveAvgPool2d', [x], { size: pair(size, 'size', 'adaptiveAvgPool2d', 1) })
}

/** The largest values of windows chosen so that the output is [B, C, length]. */
export function adaptiveMaxPool1d<D extends DType>(x: Tensor<D>, length: number): Tensor<D> {
  return call<D>('adaptiveMaxPool1d', [x], { size: single(length, 'length', 'adaptiveMaxPool1d', 1) })
}

/** The largest values of windows chosen so that the output is [B, C, h, w]. */
export function adaptiveMaxPool2d<D extends DType>(x: Tensor<D>, size: PairLike): Tensor<D> {
  return call<D>('adaptiveMaxPool2d', [x], { size: pair(size, 'size', 'adaptiveMaxPool2d', 1) })
}

// ---- Resampling ----------------------------------------------------------------------------------------------------

export interface InterpolateOptions {
  /** The new length, or [height, width]. Either this or `scaleFactor`. */
  size?: number | Pair
  /** What the sizes are multiplied by, rounded down. */
  scaleFactor?: number | Pair
  /** `'nearest'`; `'linear'` of signals; `'bilinear'` or `'bicubic'` of images. @default 'nearest' */
  mode?: Interpolation
  /** Whether the corners of both grids are at one place, instead of the edges; not with `'nearest'`. @default false */
  alignCorners?: boolean
}

/**
 * x [B, C, L] or [B, C, H, W] at another resolution. Errors: `ERR_ARGUMENT` unless exactly one of `size` and `scaleFactor` is given; `ERR_SHAPE` where
 * mode and axes do not fit. Differs from torch: no volumes, no antialiasing.
 */
export function interpolate<D extends DType>(x: Tensor<D>, options: InterpolateOptions): Tensor<D> {
  const op = 'interpolate'
  needTensor(x, op, 'the input')
  const { size, scaleFactor, mode = 'nearest', alignCorners = false } = needOptions(options, op)
  const refuse = (what: string): ArgumentError => new ArgumentError(`${op}: ${what}`, { op, expected: what })
  if ((size === undefined) === (scaleFactor === undefined)) throw refuse('either size or scaleFactor must be given')
  if (!Object.hasOwn(interpolations, mode))
    throw refuse(`mode must be one of ${Object.keys(interpolations).join(', ')}, got ${String(mode)}`)
  if (alignCorners && mode === 'nearest') throw refuse("alignCorners means nothing in mode 'nearest'")
  const spatial = x.shape.slice(2)
  const each = (value: number | Pair): Sizes => (typeof value === 'number' ? spatial.map(() => value) : [...value])
  const scales = scaleFactor === undefined ? [] : each(scaleFactor)
  if (scales.some((scale) => !(scale > 0 && Number.isFinite(scale)))) throw refuse('scaleFactor must be positive')
  const target = size === undefined ? scales.map((scale, i) => Math.floor((spatial[i] ?? 0) * scale)) : each(size)
  for (const length of target) whole(length, 'size', op, 1)
  return call<D>('interpolate', [x], { mode, alignCorners, size: target, scales })
}
