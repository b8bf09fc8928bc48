// TabularRegressor: a number from the other columns of a table.
import { ArgumentError, ShapeError } from '../../errors.js'
import { type ColumnInput, type Columns, featuresOf, widthOf } from '../../models/features.js'
import { Linear } from '../linear.js'
import { Module } from '../module.js'
import { ResidualMLP } from '../residual-mlp.js'

interface Config {
  columns: readonly ColumnInput[]
  target: { name: string; mean: number; deviation: number }
  width: number
  blocks: number
}

/** Columns by name: numbers, a missing one NaN, or texts, a missing one ''. */
export type ColumnData = Readonly<Record<string, readonly number[] | readonly string[]>>

/** `models.TabularRegressor` as it predicts: y = deviation · head(blocks(W x + b)) + mean. */
export class TabularRegressor extends Module {
  readonly config: Config
  readonly embed: Linear
  readonly blocks: readonly ResidualMLP[]
  readonly head: Linear

  constructor(config: Config) {
    super()
    const { columns, width, blocks } = config
    this.config = config
    this.embed = new Linear(widthOf(columns), width)
    this.blocks = Array.from({ length: blocks }, () => new ResidualMLP(width, 2 * width))
    this.head = new Linear(width, 1)
  }

  /**
   * The values of the target, row by row.
   *
   * @throws ArgumentError where a column is missing or of another type; ShapeError for columns of different lengths.
   */
  predict(data: ColumnData): number[] {
    const { columns, target } = this.config
    const table = tableOf(data)
    if (table.rows === 0) return []
    let x = this.embed.forward(featuresOf(table, columns), [table.rows, widthOf(columns)])
    for (const block of this.blocks) x = block.forward(x, this.embed.outputShape)
    return Array.from(this.head.forward(x, this.embed.outputShape), (value) => value * target.deviation + target.mean)
  }
}

function tableOf(data: ColumnData): Columns {
  const rows = Object.values(data)[0]?.length ?? 0
  const column = <T>(name: string, type: string): readonly T[] => {
    const values: readonly unknown[] | undefined = Object.hasOwn(data, name) ? data[name] : undefined
    if (values === undefined || values.some((value) => typeof value !== type)) {
      const got = values === undefined ? 'none' : 'other values'
      throw new ArgumentError(`TabularRegressor: column ${name} must be there and of type ${type}, got ${got}`, {
        op: 'TabularRegressor',
        expected: type,
        got,
      })
    }
    if (values.length === rows) return values as readonly T[]
    throw new ShapeError(`TabularRegressor: columns must be equally long, ${name} has ${values.length} of ${rows}`, {
      op: 'TabularRegressor',
      expected: String(rows),
      got: String(values.length),
    })
  }
  return { rows, numbers: (name) => column<number>(name, 'number'), texts: (name) => column<string>(name, 'string') }
}
