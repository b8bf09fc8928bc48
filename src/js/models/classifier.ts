// The classifiers: a recurrent net that reads a sequence in both directions, and a head over its labels.
import { ArgumentError, ShapeError } from '../../errors.js'
import type { Vocabulary } from '../../text/vocabulary.js'
import { words } from '../../text/words.js'
import { Embedding } from '../embedding.js'
import { Linear } from '../linear.js'
import { LSTM } from '../lstm.js'
import { Module } from '../module.js'
import { constant, type Parameter } from '../parameter.js'
import { softmax } from './softmax.js'

/** What a classifier makes of one input. */
export interface Classified {
  /** The most probable label. */
  label: string
  probability: number
  /** Those of all labels. */
  probabilities: Record<string, number>
}

interface Sizes {
  labels: string[]
  width: number
  numLayers: number
}

/** p = softmax(head([h_T →, h_1 ←, mean over time of both])) of one sequence x [1, T, I]. */
abstract class Classifier extends Module {
  readonly labels: readonly string[]
  readonly rnn: LSTM
  readonly head: Linear

  protected constructor({ labels, width, numLayers }: Sizes, inputs: number) {
    super()
    this.labels = labels
    this.rnn = new LSTM(inputs, width, { numLayers, bidirectional: true })
    this.head = new Linear(4 * width, labels.length)
  }

  protected read(x: Float32Array, steps: number): Classified {
    const { labels, rnn, head } = this
    const width = 2 * rnn.hiddenSize
    const output = rnn.forward(x, [1, steps, rnn.inputSize])
    const seen = new Float32Array(2 * width)
    seen.set(rnn.state.h.subarray(-width))
    for (let j = 0; j < width; j++) {
      let sum = 0
      for (let t = 0; t < steps; t++) sum += output[t * width + j] as number
      seen[width + j] = sum / steps
    }
    const probabilities = softmax(head.forward(seen, [1, 2 * width]))
    const best = probabilities.indexOf(Math.max(...probabilities))
    return {
      label: labels[best] as string,
      probability: probabilities[best] as number,
      probabilities: Object.fromEntries(labels.map((label, i) => [label, probabilities[i] as number])),
    }
  }
}

/** (x − mean) / deviation, column by column, as training saw them. */
class Scale extends Module {
  readonly mean: Parameter
  readonly deviation: Parameter

  constructor(columns: number) {
    super()
    this.mean = constant([columns], 0)
    this.deviation = constant([columns], 1)
  }

  forward(series: readonly (readonly number[])[]): Float32Array {
    const { mean, deviation } = this
    return Float32Array.from(series.flat(), (value, i) => {
      const column = i % mean.data.length
      return (value - (mean.data[column] as number)) / (deviation.data[column] as number)
    })
  }
}

/** `models.SequenceClassifier` as it predicts. */
export class SequenceClassifier extends Classifier {
  readonly scale: Scale

  constructor(config: Sizes & { inputs: number }) {
    super(config, config.inputs)
    this.scale = new Scale(config.inputs)
  }

  /**
   * The labels of some series, each [T][measurements], in the units of the training data.
   *
   * @throws ShapeError for a series without steps, or with steps of another width.
   */
  predict(series: readonly (readonly (readonly number[])[])[]): Classified[] {
    const { inputSize } = this.rnn
    return series.map((each) => {
      if (each.length === 0 || each.some((step) => step.length !== inputSize)) {
        const expected = `[T, I=${inputSize}]`
        throw new ShapeError(`SequenceClassifier: a series must be ${expected}`, { op: 'SequenceClassifier', expected })
      }
      return this.read(this.scale.forward(each), each.length)
    })
  }
}

/** `models.TextClassifier` as it predicts. */
export class TextClassifier extends Classifier {
  readonly embed: Embedding
  readonly #vocabulary: Vocabulary
  readonly #maxWords: number

  constructor(config: Sizes & { embedding: number; maxWords: number }, vocabulary: Vocabulary) {
    super(config, config.embedding)
    this.embed = new Embedding(vocabulary.size, config.embedding)
    this.#vocabulary = vocabulary
    this.#maxWords = config.maxWords
  }

  /** The labels of some texts. @throws ArgumentError for a text without a word. */
  predict(texts: readonly string[]): Classified[] {
    return texts.map((text) => {
      const ids = Int32Array.from(this.#vocabulary.encode(words(text).slice(0, this.#maxWords)))
      if (ids.length === 0)
        throw new ArgumentError(`TextClassifier: there is no word in ${JSON.stringify(text)}`, {
          op: 'TextClassifier',
          expected: 'a word',
          got: text,
        })
      return this.read(this.embed.forward(ids, [1, ids.length]), ids.length)
    })
  }
}
