// TabularNetwork: what the models of table rows share: columns as inputs, the residual stream over them, optimizer, outputs for a table.
import type { Table } from '../data/table.js'
import { ArgumentError } from '../errors.js'
import * as nn from '../nn/index.js'
import { adamW, type OptimizerFactory } from '../optim/index.js'
import { ahead, type Tensor, tensor } from '../tensor/index.js'
import { whole } from '../tensor/shape.js'
import { checkTensor } from '../train/check.js'
import { Mode } from '../train/mode.js'
import { checkList, checkString, checkTable, taken } from './check.js'
import { checkColumns, inputsOf } from './columns.js'
import { type ColumnInput, featuresOf, widthOf } from './features.js'

export interface TabularSizes {
  /** Width of the residual stream. @default 64 */
  width?: number
  /** Residual blocks. @default 2 */
  blocks?: number
  /** Dropout of the inputs of the head, in training. @default 0.1 */
  dropout?: number
}

type Config = Required<TabularSizes> & { columns: readonly ColumnInput[] }

/** Of `loader`. */
export interface TabularLoaderOptions {
  /** @default 32 */
  batch?: number
  /** @default true */
  shuffle?: boolean
  /** Where the shuffles start (default: drawn from the ambient generator). */
  seed?: number | bigint
}

/** Rows that are computed at once. */
const ROWS = 4096

/** head(blocks(W x + b)) */
export abstract class TabularNetwork<C extends Config> extends nn.Module {
  readonly config: C
  embed: nn.Linear
  blocks: nn.ResidualMLP[]
  head: nn.Linear

  protected constructor(config: C, outputs: number) {
    super()
    const op = new.target.name
    const { columns, width, blocks } = config
    const inputs = widthOf(checkColumns(columns, op))
    whole(width, 'width', op, 1)
    whole(blocks, 'blocks', op, 0)
    if (inputs === 0)
      throw new ArgumentError(`${op}: there is no column to predict from`, { op, expected: 'columns', got: 'none' })
    this.config = config
    this.embed = new nn.Linear(inputs, width)
    this.blocks = Array.from({ length: blocks }, () => new nn.ResidualMLP(width, 2 * width))
    this.head = new nn.Linear(width, outputs)
  }

  /** x [B, inputs] → [B, outputs] */
  forward(x: Tensor): Tensor {
    checkTensor(x, 'x', this.constructor.name)
    const inputs = x.to(this.head.weight.dtype as 'float32')
    const stream = this.blocks.reduce((y: Tensor, block) => block.forward(y), this.embed.forward(inputs))
    return this.head.forward(nn.functional.dropout(stream, this.config.dropout, { training: this.training }))
  }

  optimizer(): OptimizerFactory {
    return adamW({ lr: 2e-3, weightDecay: 0.01 })
  }

  /** The inputs of the rows of a table. */
  protected features(table: Table): { data: Float32Array; shape: [number, number] } {
    const { columns } = this.config
    return { data: featuresOf(table, columns), shape: [table.rows, widthOf(columns)] }
  }

  /** What `read` makes of the outputs for the rows of a table, some at a time, in eval mode, ahead of training that is under way. */
  protected async computed(table: Table, read: (y: Tensor) => Tensor): Promise<number[]> {
    const { data, shape } = this.features(checkTable(table, `${this.constructor.name}.predict`))
    const [rows, width] = shape
    const mode = new Mode(this)
    const all: number[] = []
    for (let start = 0; start < rows; start += ROWS) {
      const end = Math.min(rows, start + ROWS)
      const part = data.subarray(start * width, end * width)
      const values = mode.run(false, () =>
        ahead(() => read(this.forward(tensor(part, { shape: [end - start, width] }).to(this.device)))),
      )
      for (const value of await values.data()) all.push(Number(value))
      values.dispose()
    }
    return all
  }
}

/** What the options of `of` say: the columns that are predicted from, all but the target unless they are named. */
export function tabularOptions<O extends { target: string; inputs?: readonly string[] }>(
  table: Table,
  options: O,
  op: string,
): Omit<O, 'inputs'> & { columns: readonly ColumnInput[] } {
  const { inputs, ...rest } = taken(options, op)
  const { target } = rest
  checkTable(table, op)
  checkString(target, 'target', op)
  for (const name of inputs === undefined ? [] : checkList(inputs, 'inputs', op)) checkString(name, 'each input', op)
  const names = inputs ?? table.names.filter((name) => name !== target)
  if (names.includes(target))
    throw new ArgumentError(`${op}: ${target} is the target, so it cannot be an input`, { op, got: target })
  return { ...rest, columns: inputsOf(table, names) }
}
