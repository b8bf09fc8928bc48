// BatchNorm1d and BatchNorm2d: normalisation per channel over the batch, with running statistics for use.

import { ArgumentError, ShapeError } from '../errors.js'
import * as create from '../tensor/create.js'
import { needOptions } from '../tensor/options.js'
import { needTensor } from '../tensor/record.js'
import { noGrad, scope } from '../tensor/scope.js'
import { sameShape, show, whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { Buffer } from './buffer.js'
import { type BatchNormOptions, batchNorm } from './functional.js'
import { ones, zeros } from './init.js'
import type { ParameterOptions } from './linear.js'
import { Module } from './module.js'

export interface BatchNormLayerOptions extends ParameterOptions {
  /** @default 1e-5 */
  eps?: number
  /** How far the running statistics move to those of a batch. @default 0.1 */
  momentum?: number
  /** Learns a factor and an offset per channel. @default true */
  affine?: boolean
  /** Without them the statistics of the batch are used in eval mode too. @default true */
  trackRunningStats?: boolean
}

/** What is done with the normalised values: see `nn.functional.batchNorm`. */
export type AfterNorm = Pick<BatchNormOptions, 'residual' | 'relu'>

export interface SeriesNormOptions extends AfterNorm {
  /** [B, 1, T], 1 where a value counts and 0 beyond the end of its series: training takes its statistics from what counts. */
  mask?: Tensor | undefined
}

/** What the two share; they differ in the shapes they take. */
export abstract class BatchNorm extends Module {
  readonly weight: Variable | undefined
  readonly bias: Variable | undefined
  readonly runningMean: Buffer | undefined
  readonly runningVar: Buffer | undefined
  /** Training batches seen; nothing uses it, torch's files have it. */
  readonly numBatchesTracked: Buffer | undefined
  readonly eps: number
  momentum: number

  constructor(numFeatures: number, given: BatchNormLayerOptions = {}) {
    super()
    const {
      eps = 1e-5,
      momentum = 0.1,
      affine = true,
      trackRunningStats = true,
      ...options
    } = needOptions(given, 'BatchNorm')
    const name = new.target.name
    const shape = [whole(numFeatures, 'numFeatures', name, 1)]
    if (!(momentum >= 0 && momentum <= 1)) {
      throw new ArgumentError(`${name}: momentum must be within 0 … 1, got ${String(momentum)}`, {
        op: name,
        expected: '0 … 1',
        got: String(momentum),
      })
    }
    this.eps = eps
    this.momentum = momentum
    if (affine) {
      this.weight = ones(shape, options)
      this.bias = zeros(shape, options)
    }
    if (trackRunningStats) {
      this.runningMean = buffer(() => create.zeros(shape, options))
      this.runningVar = buffer(() => create.ones(shape, options))
      this.numBatchesTracked = buffer(() => create.zeros([], { device: options.device ?? 'cpu', dtype: 'int64' }))
    }
  }

  /** The keys of torch. */
  protected override *members(): Iterable<readonly [string, unknown]> {
    const names: Record<string, string> = {
      runningMean: 'running_mean',
      runningVar: 'running_var',
      numBatchesTracked: 'num_batches_tracked',
    }
    for (const [key, value] of Object.entries(this)) yield [names[key] ?? key, value]
  }

  protected normalise(x: Tensor, after: AfterNorm, ranks: readonly number[], form: string): Tensor {
    const op = 'batchNorm'
    needTensor(x, op, 'the input')
    if (!ranks.includes(x.rank))
      throw new ShapeError(`${op}: input must be ${form}, got ${show(x.shape)}`, {
        op,
        expected: form,
        got: show(x.shape),
      })
    const { weight, bias, runningMean, runningVar, momentum, eps } = this
    const training = this.training || runningMean === undefined
    const { residual, relu } = needOptions(after, op)
    const norm = { weight, bias, runningMean, runningVar, training, momentum, eps }
    const y = batchNorm(x, { ...norm, residual, ...(relu === undefined ? {} : { relu }) })
    this.#count()
    return y
  }

  /** In training, with the mean and variance of the values whose mask is 1. */
  protected normaliseMasked(x: Tensor, mask: Tensor, { residual, relu }: AfterNorm): Tensor {
    const op = 'batchNorm'
    needTensor(x, op, 'the input')
    needTensor(mask, op, 'mask')
    const [rows, channels, steps] = x.shape as [number, number, number]
    const own = (this.weight ?? this.runningMean)?.shape[0] ?? channels
    if (x.rank !== 3 || channels !== own || !sameShape(mask.shape, [rows, 1, steps]))
      throw new ShapeError(
        `${op}: input and mask must be [B, C, T] and [B, 1, T], got ${show(x.shape)} and ${show(mask.shape)}`,
        {
          op,
          expected: '[B, C, T] and [B, 1, T]',
          got: `${show(x.shape)} and ${show(mask.shape)}`,
        },
      )
    const y = scope(() => {
      const column = (values: Tensor): Tensor => values.reshape([channels, 1])
      const count = mask.sum()
      const mean = (values: Tensor): Tensor => values.mul(mask).sum([0, 2]).div(count)
      const centre = mean(x)
      const away = x.sub(column(centre))
      const variance = mean(away.mul(away))
      this.#follow(centre, variance, count)
      let z = away.mul(column(variance.add(this.eps).rsqrt()))
      if (this.weight !== undefined) z = z.mul(column(this.weight)).add(column(this.bias as Tensor))
      if (residual !== undefined) z = z.add(residual)
      return relu === true ? z.relu() : z
    })
    this.#count()
    return y
  }

  /** s ← (1 − momentum)·s + momentum·(statistic of the batch) */
  #follow(mean: Tensor, variance: Tensor, count: Tensor): void {
    const { runningMean, runningVar, momentum } = this
    if (runningMean === undefined || runningVar === undefined) return
    noGrad(() => {
      const unbiased = variance.mul(count).div(count.sub(1))
      for (const [running, now] of [
        [runningMean, mean],
        [runningVar, unbiased],
      ] as const)
        running.assign(running.mul(1 - momentum).add(now.detach().mul(momentum)))
    })
  }

  #count(): void {
    const { numBatchesTracked } = this
    if (this.training && numBatchesTracked !== undefined)
      scope(() => noGrad(() => void numBatchesTracked.assign(numBatchesTracked.add(1))))
  }
}

function buffer(make: () => Tensor): Buffer {
  return scope(() => new Buffer(make()))
}

/**
 * y = (x − mean) / √(variance + eps) · weight + bias, per channel C over batch and time. In training mean and (biased) variance are the batch's,
 * and s ← (1 − momentum)·s + momentum·(statistic of the batch, variance unbiased) for the running ones; in eval mode the running ones are used.
 *
 * Shapes: x [B, C] or [B, C, T] → the same; weight, bias, running statistics [C]. `forward(x, { mask })` leaves what is filled up after shorter series
 * out of the statistics. Keys `running_mean`, `running_var`, `num_batches_tracked`.
 * Errors: `ERR_SHAPE`, also for a single value per channel in training. Differs from torch: `momentum` is a number (no cumulative average).
 * Source: Ioffe and Szegedy 2015.
 *
 * @example
 * new nn.BatchNorm1d(16).forward(zeros([8, 16])).shape   // [8, 16]
 */
export class BatchNorm1d extends BatchNorm {
  forward(x: Tensor, given: SeriesNormOptions = {}): Tensor {
    const { mask, ...after } = needOptions(given, 'batchNorm')
    if (mask === undefined || !this.training) return this.normalise(x, after, [2, 3], '[B, C] or [B, C, T]')
    return this.normaliseMasked(x, mask, after)
  }
}

/**
 * Batch normalisation of images, as `BatchNorm1d`: per channel over batch, height and width.
 *
 * Shapes: x [B, C, H, W] → the same. `forward(x, { residual, relu: true })` is relu(norm(x) + residual), the end of a residual block, as one operation
 * where channels lie last in memory.
 *
 * @example
 * new nn.BatchNorm2d(3).forward(zeros([8, 3, 4, 4])).shape   // [8, 3, 4, 4]
 */
export class BatchNorm2d extends BatchNorm {
  forward(x: Tensor, after: AfterNorm = {}): Tensor {
    return this.normalise(x, after, [4], '[B, C, H, W]')
  }
}
