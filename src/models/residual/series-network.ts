// SeriesNetwork: what the convolutional classifiers of series share: scaling, batches, answers, files.
import { Loader } from '../../data/index.js'
import { ArgumentError, ShapeError } from '../../errors.js'
import * as nn from '../../nn/index.js'
import { adamW, type OptimizerFactory } from '../../optim/index.js'
import { ahead, arange, type Tensor, tensor } from '../../tensor/index.js'
import { scope } from '../../tensor/scope.js'
import { show, whole } from '../../tensor/shape.js'
import { checkTensor } from '../../train/check.js'
import type { Outputs } from '../../train/index.js'
import { Mode } from '../../train/mode.js'
import { checkList, checkRecords, refused, taken } from '../check.js'
import type { ClassifierLoaderOptions } from '../classifier.js'
import { type Classified, checkLabels, classified, labelId } from '../labels.js'
import { momentsOf } from '../scale.js'
import type { LabelledSeries, Series } from '../sequence-classifier.js'

export interface SeriesNetworkOptions {
  /** Measurements per step, I. */
  inputs: number
  labels: readonly string[]
  /** Channels of the first convolution; the others are in proportion. @default 64 of ResNet1d, 128 of FCN */
  width?: number
  /** Each series is brought to mean 0 and deviation 1, column by column. @default true */
  normalize?: boolean
}

export type SeriesNetworkConfig = Required<SeriesNetworkOptions> & { labels: string[] }

/** Series and their labels as numbers, as `loader` gives them. */
export interface SeriesBatch {
  /** float32 [B, T, I], filled up with zeros at the end. */
  sequence: Tensor
  /** int64 [B]: the steps that count, where they are not all. */
  length?: Tensor
  /** int64 [B] */
  label: Tensor
}

/** Kernels of the three convolutions one after another (Wang et al. 2017, section 2). */
export const KERNELS = [8, 5, 3] as const
const LONGEST_KERNEL = KERNELS[0]
/** Series that are classified at once. */
const ROWS = 256

/** A convolution along time that keeps the length, and its norm: with an even kernel the longer half of the padding is at the end. */
export class ConvNorm extends nn.Module {
  readonly conv: nn.Conv1d
  readonly norm: nn.BatchNorm1d

  constructor(
    input: number,
    output: number,
    readonly kernel: number,
  ) {
    super()
    this.conv = new nn.Conv1d(input, output, kernel)
    this.norm = new nn.BatchNorm1d(output)
  }

  /** x [B, C, T]; what lies beyond a series' end, where `mask` [B, 1, T] is 0, counts as the padding, and not for the norm. */
  forward(x: Tensor, mask?: Tensor): Tensor {
    const around = this.kernel - 1
    const read = mask === undefined ? x : x.mul(mask)
    const padded = around === 0 ? read : nn.functional.pad(read, [Math.floor(around / 2), Math.ceil(around / 2)])
    return this.norm.forward(this.conv.forward(padded), { mask })
  }
}

/** p(label | x) = softmax(head(mean over time of features(x))) */
export abstract class SeriesNetwork extends nn.Module {
  readonly config: SeriesNetworkConfig
  abstract readonly head: nn.Linear

  protected constructor(options: SeriesNetworkOptions, widthOf: number) {
    super()
    const op = new.target.name
    const { inputs, labels, width = widthOf, normalize = true } = taken(options, op)
    whole(inputs, 'inputs', op, 1)
    whole(width, 'width', op, 1)
    if (typeof normalize !== 'boolean') throw refused(op, 'normalize', 'true or false', normalize)
    this.config = { inputs, labels: checkLabels(labels, op), width, normalize }
  }

  get labels(): readonly string[] {
    return this.config.labels
  }

  /** x [B, I, T] → [B, C, T] */
  protected abstract features(x: Tensor, mask: Tensor | undefined): Tensor

  /** Logits [B, labels] of sequences [B, T, I], of which the first `length` steps count, or all. */
  forward(sequence: Tensor, length?: Tensor): Tensor {
    const { inputs } = this.config
    checkTensor(sequence, 'the sequence', this.constructor.name)
    if (length !== undefined) checkTensor(length, 'length', this.constructor.name)
    const [, steps] = sequence.shape as [number, number]
    if (sequence.rank !== 3 || sequence.shape[2] !== inputs || steps < LONGEST_KERNEL)
      throw this.#wrong(`[B, T ≥ ${LONGEST_KERNEL}, I=${inputs}]`, show(sequence.shape))
    return scope(() => {
      const { dtype } = this.head.weight
      const x = sequence.to(dtype as 'float32').transpose(1, 2)
      if (length === undefined) return this.head.forward(this.features(x, undefined).mean(2))
      const places = arange(0, steps, { dtype: 'int64', device: sequence.device })
      const mask = places
        .unsqueeze(0)
        .lt(length.unsqueeze(1))
        .to(dtype as 'float32')
        .unsqueeze(1)
      const sum = this.features(x, mask).mul(mask).sum(2)
      return this.head.forward(sum.div(length.to(dtype as 'float32').unsqueeze(1)))
    })
  }

  /** The mean cross entropy, in nats, and the logits for metrics: `metrics: { accuracy: train.accuracy() }`. */
  loss(batch: SeriesBatch): Outputs {
    const op = `${this.constructor.name}.loss`
    const { sequence, length, label } = taken(batch, op, 'the batch')
    checkTensor(label, 'label', op)
    const logits = this.forward(sequence, length)
    return { loss: nn.functional.crossEntropy(logits, label), prediction: logits, target: label }
  }

  optimizer(): OptimizerFactory {
    return adamW({ lr: 1e-3, weightDecay: 1e-4 })
  }

  /**
   * Batches of examples for training or validation; where lengths differ, series of near-equal ones together.
   *
   * @throws ArgumentError for labels that the model does not have; ShapeError for steps of another width and series shorter than the longest kernel.
   */
  loader(examples: readonly LabelledSeries[], options: ClassifierLoaderOptions = {}) {
    const op = this.constructor.name
    const { batch = 32, shuffle = true, seed } = taken(options, `${op}.loader`)
    const series = checkRecords(examples, 'examples', `${op}.loader`).map((example) => this.#scaled(example.series))
    const fields = { sequence: series, label: examples.map(({ label }) => labelId(this.labels, label, op)) }
    const dtypes = { sequence: 'float32', label: 'int64' } as const
    const drawn = { batch, shuffle, ...(seed === undefined ? {} : { seed }) }
    if (series.every(({ length }) => length === series[0]?.length)) return new Loader(fields, { ...drawn, dtypes })
    const length = series.map((each) => each.length)
    return new Loader(
      { ...fields, length },
      { ...drawn, bucketBy: 'sequence', padding: { sequence: 0 }, dtypes: { ...dtypes, length: 'int64' } },
    )
  }

  /**
   * The labels of some series, in the units of the training data, with their probabilities. It goes ahead of training that is under way.
   *
   * @throws ShapeError for a series with steps of another width, or shorter than the longest kernel.
   */
  async predict(series: readonly Series[]): Promise<Classified[]> {
    const { inputs } = this.config
    const all = checkList(series, 'series', `${this.constructor.name}.predict`).map((each) => this.#scaled(each))
    const answers: Classified[] = []
    const mode = new Mode(this)
    for (let start = 0; start < all.length; start += ROWS) {
      const rows = all.slice(start, start + ROWS)
      const longest = Math.max(...rows.map((row) => row.length))
      const flat = new Float32Array(rows.length * longest * inputs)
      for (const [i, row] of rows.entries())
        for (const [t, step] of row.entries()) flat.set(step, (i * longest + t) * inputs)
      const lengths = rows.map((row) => row.length)
      const probabilities = mode.run(false, () =>
        ahead(() => {
          const sequence = tensor(flat, { shape: [rows.length, longest, inputs] }).to(this.device)
          const length = tensor(lengths, { dtype: 'int64', device: this.device })
          const even = lengths.every((each) => each === longest)
          return this.forward(sequence, even ? undefined : length)
            .to('float32')
            .softmax(-1)
        }),
      )
      answers.push(...classified(this.labels, (await probabilities.data()) as Float32Array))
      probabilities.dispose()
    }
    return answers
  }

  /** The series, checked, each column with mean 0 and deviation 1 if the model wants it. */
  #scaled(series: Series): Series {
    const op = this.constructor.name
    const { inputs, normalize } = this.config
    for (const step of checkList(series, 'a series', op)) {
      if (checkList(step, 'each step', op).length !== inputs)
        throw this.#wrong(`[T, I=${inputs}]`, `a step of ${step.length}`)
      for (const value of step) if (typeof value !== 'number') throw refused(op, 'each value', 'a number', value)
    }
    if (series.length < LONGEST_KERNEL)
      throw this.#wrong(`[T ≥ ${LONGEST_KERNEL}, I=${inputs}], as long as the kernel`, `${series.length} steps`)
    if (!normalize) return series
    const { mean, deviation } = momentsOf(series, inputs)
    return series.map((step) => step.map((x, i) => (x - (mean[i] as number)) / (deviation[i] as number)))
  }

  #wrong(expected: string, got: string): ShapeError {
    const op = this.constructor.name
    return new ShapeError(`${op}: a series must be ${expected}, got ${got}`, { op, expected, got })
  }
}

/** The sizes of a model for some examples. */
export function sizesFor(
  examples: readonly LabelledSeries[],
  op: string,
): Pick<SeriesNetworkOptions, 'inputs' | 'labels'> {
  const inputs = checkRecords(examples, 'examples', op)[0]?.series?.[0]?.length
  if (inputs === undefined)
    throw new ArgumentError(`${op}: the first example has no steps`, { op, expected: 'examples', got: 'none' })
  return { inputs, labels: [...new Set(examples.map(({ label }) => label))].sort() }
}
