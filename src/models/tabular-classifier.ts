// TabularClassifier: a label from the columns of a table.
import { Loader } from '../data/index.js'
import type { Table } from '../data/table.js'
import * as nn from '../nn/index.js'
import type { DeviceLike, Tensor } from '../tensor/index.js'
import { checkTensor } from '../train/check.js'
import type { Outputs } from '../train/index.js'
import { checkString, checkTable, taken } from './check.js'
import type { ColumnInput } from './features.js'
import { loadFolder, saveFolder } from './folder.js'
import { type Classified, checkLabels, classified, labelId } from './labels.js'
import { type TabularLoaderOptions, TabularNetwork, type TabularSizes, tabularOptions } from './tabular-network.js'

export interface TabularClassifierOptions extends TabularSizes {
  /** What the columns become, as `TabularClassifier.of` finds it. */
  columns: readonly ColumnInput[]
  /** The column of labels. */
  target: string
  labels: readonly string[]
}

/** Rows and the numbers of their labels. */
export interface LabelledRows {
  /** float32 [B, inputs] */
  x: Tensor
  /** int64 [B] */
  label: Tensor
}

const KIND = 'TabularClassifier'
type Config = Required<TabularClassifierOptions>

/**
 * The label of a row of a table, by the residual network of `TabularRegressor`:
 *
 *     p(label | row) = softmax(head(blocks(W x + b)))
 *
 * Numbers are scaled to mean 0 and deviation 1, and a missing one is marked by an input of its own; of a column of text each category is an input.
 *
 * @example
 * const size = Array.from({ length: 200 }, (_, i) => i / 100)
 * const table = data.Table.of({ size, colour: size.map((_, i) => (i % 2 ? 'red' : 'blue')), kind: size.map((x) => (x > 1 ? 'large' : 'small')) })
 * const model = models.TabularClassifier.of(table, { target: 'kind' })
 * await train.fit(model, model.loader(table), { epochs: 10 })
 * const [answer] = await model.predict(data.Table.of({ size: [1.9], colour: ['red'] }))
 * console.log(answer.label, answer.probability)
 * await model.save('kinds')
 */
export class TabularClassifier extends TabularNetwork<Config> {
  constructor(options: TabularClassifierOptions) {
    const { columns, target, labels, width = 64, blocks = 2, dropout = 0.1 } = taken(options, KIND)
    checkString(target, 'target', KIND)
    const names = checkLabels(labels, KIND)
    super({ columns, target, labels: names, width, blocks, dropout }, names.length)
  }

  /**
   * A model for the columns and the labels of a training table; it is not trained yet. The target is a column of text. `inputs` names the columns that it
   * predicts from (default: all but the target).
   *
   * @throws ArgumentError for a target that is not a column of text, and for columns of more than 256 categories.
   */
  static of(table: Table, options: TabularSizes & { target: string; inputs?: readonly string[] }): TabularClassifier {
    const given = tabularOptions(table, options, `${KIND}.of`)
    const labels = [...new Set(table.texts(given.target))].filter((text) => text !== '').sort()
    return new TabularClassifier({ ...given, labels })
  }

  get labels(): readonly string[] {
    return this.config.labels
  }

  /** x [B, inputs] → logits [B, labels]. */
  override forward(x: Tensor): Tensor {
    return super.forward(x)
  }

  /** The mean cross entropy, in nats, and the logits for metrics: `metrics: { accuracy: train.accuracy() }`. */
  loss(batch: LabelledRows): Outputs {
    const { x, label } = taken(batch, `${KIND}.loss`, 'the batch')
    checkTensor(label, 'label', `${KIND}.loss`)
    const logits = this.forward(x)
    return { loss: nn.functional.crossEntropy(logits, label), prediction: logits, target: label }
  }

  /**
   * Batches of rows for training or validation; rows without a label are left out.
   *
   * @throws ArgumentError for labels that the model does not have.
   */
  loader(table: Table, options: TabularLoaderOptions = {}) {
    const { batch = 32, shuffle = true, seed } = taken(options, `${KIND}.loader`)
    const texts = checkTable(table, `${KIND}.loader`).texts(this.config.target)
    const known = Int32Array.from(texts.keys()).filter((row) => texts[row] !== '')
    const label = Array.from(known, (row) => labelId(this.labels, texts[row] as string, KIND))
    const x = this.features(known.length === table.rows ? table : table.take(known))
    const dtypes = { label: 'int64' } as const
    return new Loader({ x, label }, { batch, shuffle, dtypes, ...(seed === undefined ? {} : { seed }) })
  }

  /**
   * The labels of the rows of a table, with their probabilities. It goes ahead of training that is under way.
   *
   * @throws ArgumentError for a table that lacks a column.
   */
  async predict(table: Table): Promise<Classified[]> {
    return classified(this.labels, await this.computed(table, (logits) => logits.softmax(-1)))
  }

  /**
   * Writes the model to a folder, which is made if need be: `config.json`, with what the columns become, and `model.safetensors`.
   *
   * @throws FileError (`ERR_IO`) where the file system refuses.
   */
  save(folder: string): Promise<void> {
    return saveFolder(folder, { kind: KIND, config: this.config, vocabularies: {}, state: this.stateDict() })
  }

  /**
   * A model that was saved in a folder.
   *
   * @throws FileError (`ERR_IO`) where a file cannot be read; CheckpointError (`ERR_CHECKPOINT`) where one is damaged or they do not belong together.
   */
  static async load(folder: string, options: { device?: DeviceLike } = {}): Promise<TabularClassifier> {
    const { device = 'cpu' } = taken(options, `${KIND}.load`)
    const { config, state } = await loadFolder<Config>(folder, KIND, [])
    return new TabularClassifier(config).loadStateDict(state).to(device).eval()
  }
}
