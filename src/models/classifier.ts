// What the classifiers share: a recurrent net that reads a sequence, a head over its labels, loss, optimizer and answers.
import * as nn from '../nn/index.js'
import { adamW, type OptimizerFactory } from '../optim/index.js'
import { ahead, cat, type Tensor } from '../tensor/index.js'
import { whole } from '../tensor/shape.js'
import type { Outputs } from '../train/index.js'
import { Mode } from '../train/mode.js'
import { type Classified, checkLabels, classified, labelId } from './labels.js'

export type { Classified }

export interface ClassifierOptions {
  /** Width of each direction of the LSTM. @default 64 */
  width?: number
  /** @default 1 */
  numLayers?: number
  /** Dropout before the head and between the layers, in training. @default 0.2 */
  dropout?: number
}

export type ClassifierSizes = Required<ClassifierOptions>

/** Sequences and their labels as numbers, as `loader` gives them. */
export interface LabelledBatch {
  /** [B, T, I] float32, or [B, T] int64, filled up at the end. */
  sequence: Tensor
  /** int64 [B]: the steps that count. */
  length: Tensor
  /** int64 [B] */
  label: Tensor
}

export interface ClassifierLoaderOptions {
  /** @default 32 */
  batch?: number
  /** @default true */
  shuffle?: boolean
  /** Where the shuffles start (default: drawn from the ambient generator). */
  seed?: number | bigint
}

/** Rows that are classified at once. */
const ROWS = 256

/**
 * Logits of labels from a sequence of vectors x [B, T, I], of which the first `length` count:
 *
 *     p = softmax(head([h_last →, h_last ←, mean over time of both]))
 */
export abstract class Classifier extends nn.Module {
  readonly labels: readonly string[]
  readonly sizes: ClassifierSizes
  rnn: nn.LSTM
  head: nn.Linear

  protected constructor(
    labels: readonly string[],
    inputs: number,
    { width = 64, numLayers = 1, dropout = 0.2 }: ClassifierOptions,
  ) {
    super()
    const op = new.target.name
    this.labels = checkLabels(labels, op)
    whole(width, 'width', op, 1)
    this.sizes = { width, numLayers, dropout }
    this.rnn = new nn.LSTM(inputs, width, { numLayers, bidirectional: true, dropout: numLayers > 1 ? dropout : 0 })
    this.head = new nn.Linear(4 * width, labels.length)
  }

  /** Logits [B, labels] of x [B, T, I] and lengths [B]. */
  protected read(x: Tensor, length: Tensor): Tensor {
    const { output, state } = this.rnn.forward(x, undefined, { lengths: length })
    const steps = length.to('float32').clamp({ low: 1 }).unsqueeze(1)
    const parts = [state.h.select(0, -2), state.h.select(0, -1), output.sum(1).div(steps)]
    return this.head.forward(nn.functional.dropout(cat(parts, 1), this.sizes.dropout, { training: this.training }))
  }

  abstract override forward(sequence: Tensor, length: Tensor): Tensor

  /** The mean cross entropy, in nats, and the logits for metrics: `metrics: { accuracy: train.accuracy() }`. */
  loss({ sequence, length, label }: LabelledBatch): Outputs {
    const logits = this.forward(sequence, length)
    return { loss: nn.functional.crossEntropy(logits, label), prediction: logits, target: label }
  }

  optimizer(): OptimizerFactory {
    return adamW({ lr: 2e-3, weightDecay: 0.01 })
  }

  /** The number of a label. */
  protected labelId(label: string): number {
    return labelId(this.labels, label, this.constructor.name)
  }

  /** Answers by rows that `batch` makes tensors of, ahead of training that may be under way. */
  protected async classify<T>(
    inputs: readonly T[],
    batch: (rows: readonly T[]) => { sequence: Tensor; length: Tensor },
  ): Promise<Classified[]> {
    const answers: Classified[] = []
    const mode = new Mode(this)
    for (let start = 0; start < inputs.length; start += ROWS) {
      const rows = inputs.slice(start, start + ROWS)
      const probabilities = mode.run(false, () =>
        ahead(() => {
          const { sequence, length } = batch(rows)
          return this.forward(sequence, length).softmax(-1).to('float32')
        }),
      )
      const values = await probabilities.data()
      probabilities.dispose()
      answers.push(...classified(this.labels, values as Float32Array))
    }
    return answers
  }
}
