// SequenceClassifier: which of some labels a series of measurements has.
import { Loader } from '../data/index.js'
import { ArgumentError, ShapeError } from '../errors.js'
import { type DeviceLike, type Tensor, tensor } from '../tensor/index.js'
import { checkList, checkRecords, refused, taken } from './check.js'
import {
  type Classified,
  Classifier,
  type ClassifierLoaderOptions,
  type ClassifierOptions,
  type ClassifierSizes,
} from './classifier.js'
import { loadFolder, saveFolder } from './folder.js'
import { type Moments, momentsOf, Scale } from './scale.js'

/** A series [T, I]: for each step, the measurements of it. Series may differ in length. */
export type Series = readonly (readonly number[])[]

export interface LabelledSeries {
  series: Series
  label: string
}

export interface SequenceClassifierOptions extends ClassifierOptions {
  /** Measurements per step, I. */
  inputs: number
  labels: readonly string[]
  /** What the measurements are scaled by (default: they are taken as they are). `SequenceClassifier.of` finds it. */
  moments?: Moments
}

const KIND = 'SequenceClassifier'
type Config = ClassifierSizes & { inputs: number; labels: string[] }

/**
 * The label of a series of measurements, read by an LSTM in both directions:
 *
 *     p(label | x) = softmax(head([h_T, h'_1, mean over time]))        x scaled to mean 0 and deviation 1, column by column
 *
 * @example
 * const examples = Array.from({ length: 64 }, (_, i) => ({
 *   series: Array.from({ length: 10 + (i % 5) }, (_, t) => [Math.sin((i % 2 ? 1 : 2) * t)]),
 *   label: i % 2 ? 'slow' : 'fast',
 * }))
 * const model = models.SequenceClassifier.of(examples)
 * await train.fit(model, model.loader(examples), { epochs: 30 })
 * const [answer] = await model.predict([examples[0].series])
 * console.log(answer.label, answer.probability)
 * await model.save('waves')
 */
export class SequenceClassifier extends Classifier {
  readonly inputs: number
  scale: Scale

  constructor(options: SequenceClassifierOptions) {
    const { inputs, labels, moments, ...sizes } = taken(options, KIND)
    super(labels, inputs, sizes)
    this.inputs = inputs
    this.scale = new Scale(inputs, moments)
  }

  /** A model for the labels and the scale of the examples; it is not trained yet. */
  static of(examples: readonly LabelledSeries[], options: ClassifierOptions = {}): SequenceClassifier {
    for (const { series } of checkRecords(examples, 'examples', `${KIND}.of`))
      for (const step of checkList(series, 'each series', `${KIND}.of`)) checkList(step, 'each step', `${KIND}.of`)
    const inputs = examples[0]?.series[0]?.length
    if (inputs === undefined)
      throw new ArgumentError(`${KIND}.of: the first example has no steps`, {
        op: KIND,
        expected: 'examples',
        got: 'none',
      })
    const moments = momentsOf(
      (function* () {
        for (const { series } of examples) yield* series
      })(),
      inputs,
    )
    const labels = [...new Set(examples.map(({ label }) => label))].sort()
    return new SequenceClassifier({ ...taken(options, `${KIND}.of`), inputs, labels, moments })
  }

  /** Logits [B, labels] of sequences [B, T, I], of which the first `length` steps count. */
  forward(sequence: Tensor, length: Tensor): Tensor {
    return this.read(this.scale.forward(sequence), length)
  }

  /**
   * Batches of examples for training or validation, series of near-equal lengths together.
   *
   * @throws ArgumentError for labels that the model does not have; ShapeError for steps of another width.
   */
  loader(examples: readonly LabelledSeries[], options: ClassifierLoaderOptions = {}) {
    const { batch = 32, shuffle = true, seed } = taken(options, `${KIND}.loader`)
    checkRecords(examples, 'examples', `${KIND}.loader`)
    const fields = {
      sequence: examples.map(({ series }) => this.#checked(series)),
      length: examples.map(({ series }) => series.length),
      label: examples.map(({ label }) => this.labelId(label)),
    }
    const dtypes = { sequence: 'float32', length: 'int64', label: 'int64' } as const
    const drawn = seed === undefined ? {} : { seed }
    return new Loader(fields, { batch, shuffle, bucketBy: 'sequence', padding: { sequence: 0 }, dtypes, ...drawn })
  }

  /**
   * The labels of some series, in the units of the training data, with their probabilities. It goes ahead of training that is under way.
   *
   * @throws ShapeError for a series without steps, or with steps of another width.
   */
  predict(series: readonly Series[]): Promise<Classified[]> {
    for (const each of checkList(series, 'series', `${KIND}.predict`)) this.#checked(each)
    return this.classify(series, (rows) => {
      const longest = Math.max(...rows.map((row) => row.length))
      const flat = new Float32Array(rows.length * longest * this.inputs)
      for (const [i, row] of rows.entries())
        for (const [t, step] of row.entries()) flat.set(step, (i * longest + t) * this.inputs)
      const shape = [rows.length, longest, this.inputs]
      const lengths = rows.map((row) => row.length)
      return {
        sequence: tensor(flat, { shape }).to(this.device),
        length: tensor(lengths, { dtype: 'int64', device: this.device }),
      }
    })
  }

  #checked(series: Series): Series {
    const { inputs } = this
    for (const step of checkList(series, 'a series', KIND)) {
      for (const value of checkList(step, 'each step', KIND))
        if (typeof value !== 'number') throw refused(KIND, 'each value', 'a number', value)
    }
    const wrong = series.length === 0 ? 'no steps' : series.find((step) => step.length !== inputs)
    if (wrong === undefined) return series
    const got = typeof wrong === 'string' ? wrong : `a step of ${wrong.length}`
    throw new ShapeError(`${KIND}: a series must be [T, I=${inputs}], got ${got}`, {
      op: KIND,
      expected: `[T, ${inputs}]`,
      got,
    })
  }

  /**
   * Writes the model to a folder, which is made if need be: `config.json` and `model.safetensors`.
   *
   * @throws FileError (`ERR_IO`) where the file system refuses.
   */
  save(folder: string): Promise<void> {
    const config = { ...this.sizes, inputs: this.inputs, labels: this.labels }
    return saveFolder(folder, { kind: KIND, config, vocabularies: {}, state: this.stateDict() })
  }

  /**
   * A model that was saved in a folder.
   *
   * @throws FileError (`ERR_IO`) where a file cannot be read; CheckpointError (`ERR_CHECKPOINT`) where one is damaged or they do not belong together.
   */
  static async load(folder: string, options: { device?: DeviceLike } = {}): Promise<SequenceClassifier> {
    const { device = 'cpu' } = taken(options, `${KIND}.load`)
    const { config, state } = await loadFolder<Config>(folder, KIND, [])
    return new SequenceClassifier(config).loadStateDict(state).to(device).eval()
  }
}
