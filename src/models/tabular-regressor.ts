// TabularRegressor: a number from the other columns of a table.
import { Loader } from '../data/index.js'
import type { Table } from '../data/table.js'
import * as nn from '../nn/index.js'
import type { DeviceLike, Tensor } from '../tensor/index.js'
import { checkTensor } from '../train/check.js'
import type { Outputs } from '../train/index.js'
import { checkTable, refused, taken } from './check.js'
import type { ColumnInput } from './features.js'
import { loadFolder, saveFolder } from './folder.js'
import { momentsOf } from './scale.js'
import { type TabularLoaderOptions, TabularNetwork, type TabularSizes, tabularOptions } from './tabular-network.js'

export interface TabularRegressorOptions extends TabularSizes {
  /** What the columns become, as `TabularRegressor.of` finds it. */
  columns: readonly ColumnInput[]
  /** The column that is predicted, its mean and its deviation in training. */
  target: { name: string; mean: number; deviation: number }
}

export interface RowBatch {
  /** float32 [B, inputs] */
  x: Tensor
  /** float32 [B], scaled */
  y: Tensor
}

const KIND = 'TabularRegressor'
type Config = Required<TabularRegressorOptions>

/**
 * The value of a column from others of the same row, by a residual network:
 *
 *     y = deviation · head(blocks(W x + b)) + mean
 *
 * Numbers are scaled to mean 0 and deviation 1, and a missing one is marked by an input of its own; of a column of text each category is an input.
 *
 * @example
 * const size = Array.from({ length: 200 }, (_, i) => i / 100)
 * const table = data.Table.of({
 *   size, kind: size.map((_, i) => (i % 2 ? 'flat' : 'house')), price: size.map((x, i) => 3 * x + (i % 2 ? 1 : 2)),
 * })
 * const model = models.TabularRegressor.of(table, { target: 'price' })
 * await train.fit(model, model.loader(table), { epochs: 20 })
 * console.log(await model.predict(data.Table.of({ size: [1.5], kind: ['flat'] })))
 * await model.save('prices')
 */
export class TabularRegressor extends TabularNetwork<Config> {
  constructor(options: TabularRegressorOptions) {
    const { columns, target, width = 64, blocks = 2, dropout = 0.1 } = taken(options, KIND)
    if (
      !(
        typeof target === 'object' &&
        target?.deviation > 0 &&
        Number.isFinite(target.mean) &&
        typeof target.name === 'string'
      )
    )
      throw refused(KIND, 'target', '{ name, mean, deviation }', target)
    super({ columns, target, width, blocks, dropout }, 1)
  }

  /**
   * A model for the columns of a training table; it is not trained yet. `inputs` names the columns that it predicts from (default: all but the target).
   *
   * @throws ArgumentError for a target that is not a column of numbers, and for columns of more than 256 categories.
   */
  static of(table: Table, options: TabularSizes & { target: string; inputs?: readonly string[] }): TabularRegressor {
    const given = tabularOptions(table, options, `${KIND}.of`)
    const values = Array.from(table.numbers(given.target)).filter((value) => !Number.isNaN(value))
    const { mean, deviation } = momentsOf(
      values.map((value) => [value]),
      1,
    )
    const target = { name: given.target, mean: mean[0] as number, deviation: deviation[0] as number }
    return new TabularRegressor({ ...given, target })
  }

  /** x [B, inputs] → scaled values [B]. */
  override forward(x: Tensor): Tensor {
    return super.forward(x).squeeze(1)
  }

  /** The mean squared error in units of the target's variance (1 is what its mean would give), and both in their own units for metrics. */
  loss(batch: RowBatch): Outputs {
    const { x, y } = taken(batch, `${KIND}.loss`, 'the batch')
    checkTensor(y, 'y', `${KIND}.loss`)
    const predicted = this.forward(x)
    return {
      loss: nn.functional.mseLoss(predicted, y.to(predicted.dtype as 'float32')),
      prediction: this.#unscaled(predicted),
      target: this.#unscaled(y),
    }
  }

  #unscaled(y: Tensor): Tensor {
    const { mean, deviation } = this.config.target
    return y.mul(deviation).add(mean)
  }

  /** Batches of rows for training or validation; rows without a target are left out. */
  loader(table: Table, options: TabularLoaderOptions = {}) {
    const { batch = 32, shuffle = true, seed } = taken(options, `${KIND}.loader`)
    const { name, mean, deviation } = this.config.target
    const values = checkTable(table, `${KIND}.loader`).numbers(name)
    const known = Int32Array.from(values.keys()).filter((row) => !Number.isNaN(values[row]))
    const x = this.features(known.length === table.rows ? table : table.take(known))
    const y = Float32Array.from(known, (row) => ((values[row] as number) - mean) / deviation)
    return new Loader({ x, y }, { batch, shuffle, ...(seed === undefined ? {} : { seed }) })
  }

  /**
   * The values of the target for the rows of a table, in its own units. It goes ahead of training that is under way.
   *
   * @throws ArgumentError for a table that lacks a column.
   */
  async predict(table: Table): Promise<number[]> {
    return this.computed(table, (y) => this.#unscaled(y))
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
  static async load(folder: string, options: { device?: DeviceLike } = {}): Promise<TabularRegressor> {
    const { device = 'cpu' } = taken(options, `${KIND}.load`)
    const { config, state } = await loadFolder<Config>(folder, KIND, [])
    return new TabularRegressor(config).loadStateDict(state).to(device).eval()
  }
}
