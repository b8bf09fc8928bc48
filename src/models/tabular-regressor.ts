// TabularRegressor: a number from the other columns of a table.
import { Loader } from '../data/index.js'
import type { Table } from '../data/table.js'
import { ArgumentError } from '../errors.js'
import * as nn from '../nn/index.js'
import { adamW, type OptimizerFactory } from '../optim/index.js'
import { ahead, type DeviceLike, type Tensor, tensor } from '../tensor/index.js'
import { whole } from '../tensor/shape.js'
import type { Outputs } from '../train/index.js'
import { Mode } from '../train/mode.js'
import { checkList, checkString, checkTable, refused, taken } from './check.js'
import { checkColumns, inputsOf } from './columns.js'
import { type ColumnInput, featuresOf, widthOf } from './features.js'
import { loadFolder, saveFolder } from './folder.js'
import { momentsOf } from './scale.js'

export interface TabularSizes {
  /** Width of the residual stream. @default 64 */
  width?: number
  /** Residual blocks. @default 2 */
  blocks?: number
  /** Dropout of the inputs of the head, in training. @default 0.1 */
  dropout?: number
}

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
export class TabularRegressor extends nn.Module {
  readonly config: Config
  embed: nn.Linear
  blocks: nn.ResidualMLP[]
  head: nn.Linear

  constructor(options: TabularRegressorOptions) {
    super()
    const { columns, target, width = 64, blocks = 2, dropout = 0.1 } = taken(options, KIND)
    const inputs = widthOf(checkColumns(columns, KIND))
    if (
      !(
        typeof target === 'object' &&
        target?.deviation > 0 &&
        Number.isFinite(target.mean) &&
        typeof target.name === 'string'
      )
    )
      throw refused(KIND, 'target', '{ name, mean, deviation }', target)
    whole(blocks, 'blocks', KIND, 0)
    if (inputs === 0)
      throw new ArgumentError(`${KIND}: there is no column to predict from`, {
        op: KIND,
        expected: 'columns',
        got: 'none',
      })
    this.config = { columns, target, width, blocks, dropout }
    this.embed = new nn.Linear(inputs, width)
    this.blocks = Array.from({ length: blocks }, () => new nn.ResidualMLP(width, 2 * width))
    this.head = new nn.Linear(width, 1)
  }

  /**
   * A model for the columns of a training table; it is not trained yet. `inputs` names the columns that it predicts from (default: all but the target).
   *
   * @throws ArgumentError for a target that is not a column of numbers, and for columns of more than 256 categories.
   */
  static of(table: Table, options: TabularSizes & { target: string; inputs?: readonly string[] }): TabularRegressor {
    const op = `${KIND}.of`
    const { target, inputs, ...sizes } = taken(options, op)
    checkTable(table, op)
    checkString(target, 'target', op)
    for (const name of inputs === undefined ? [] : checkList(inputs, 'inputs', op)) checkString(name, 'each input', op)
    const names = inputs ?? table.names.filter((name) => name !== target)
    if (names.includes(target))
      throw new ArgumentError(`${KIND}.of: ${target} is the target, so it cannot be an input`, {
        op: KIND,
        got: target,
      })
    const values = Array.from(table.numbers(target)).filter((value) => !Number.isNaN(value))
    const { mean, deviation } = momentsOf(
      values.map((value) => [value]),
      1,
    )
    const scaled = { name: target, mean: mean[0] as number, deviation: deviation[0] as number }
    return new TabularRegressor({ ...sizes, columns: inputsOf(table, names), target: scaled })
  }

  /** x [B, inputs] → scaled values [B]. */
  forward(x: Tensor): Tensor {
    let stream: Tensor = this.embed.forward(x)
    for (const block of this.blocks) stream = block.forward(stream)
    const kept = nn.functional.dropout(stream, this.config.dropout, { training: this.training })
    return this.head.forward(kept).squeeze(1)
  }

  /** The mean squared error in units of the target's variance (1 is what its mean would give), and both in their own units for metrics. */
  loss({ x, y }: RowBatch): Outputs {
    const predicted = this.forward(x)
    const unscaled = (values: Tensor): Tensor => values.mul(this.config.target.deviation).add(this.config.target.mean)
    return { loss: nn.functional.mseLoss(predicted, y), prediction: unscaled(predicted), target: unscaled(y) }
  }

  optimizer(): OptimizerFactory {
    return adamW({ lr: 2e-3, weightDecay: 0.01 })
  }

  /** Batches of rows for training or validation; rows without a target are left out. */
  loader(table: Table, options: { batch?: number; shuffle?: boolean; seed?: number | bigint } = {}) {
    const { batch = 32, shuffle = true, seed } = taken(options, `${KIND}.loader`)
    checkTable(table, `${KIND}.loader`)
    const { columns, target } = this.config
    const known = Int32Array.from(table.numbers(target.name).keys()).filter(
      (row) => !Number.isNaN(table.numbers(target.name)[row]),
    )
    const rows = known.length === table.rows ? table : table.take(known)
    const y = Float32Array.from(rows.numbers(target.name), (value) => (value - target.mean) / target.deviation)
    const x = { data: featuresOf(rows, columns), shape: [rows.rows, widthOf(columns)] }
    return new Loader({ x, y }, { batch, shuffle, ...(seed === undefined ? {} : { seed }) })
  }

  /**
   * The values of the target for the rows of a table, in its own units. It goes ahead of training that is under way.
   *
   * @throws ArgumentError for a table that lacks a column.
   */
  async predict(table: Table): Promise<number[]> {
    const { columns, target } = this.config
    if (checkTable(table, `${KIND}.predict`).rows === 0) return []
    const values = featuresOf(table, columns)
    const y = new Mode(this).run(false, () =>
      ahead(() =>
        this.forward(tensor(values, { shape: [table.rows, widthOf(columns)] }).to(this.device))
          .mul(target.deviation)
          .add(target.mean),
      ),
    )
    const predicted = Array.from(await y.data(), Number)
    y.dispose()
    return predicted
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
