// windows: a series cut into pairs of past and future, split by time, scaled by what the training part shows.
import { ArgumentError } from '../errors.js'
import { tensor } from '../tensor/create.js'
import type { DeviceLike } from '../tensor/device.js'
import { unscope } from '../tensor/lifetime.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { object } from './check.js'
import { int64, Rows, type Selection } from './field.js'
import { Loader } from './loader.js'
import { Scaling, type ScalingKind } from './scaling.js'
import { Table } from './table.js'

/** One series: a table, its rows being the steps of time in order, or the values of a single column. */
export type Series = Table | Float64Array | Float32Array | readonly number[]

export interface WindowOptions {
  /** Steps that a model sees, P. */
  past: number
  /** Steps that it is to forecast, F. */
  future: number
  /** Steps between the starts of two windows. @default 1 */
  stride?: number
  /** How many columns are forecast, the first ones, O; the others are only seen. @default all */
  targets?: number
  /** How columns are scaled, by the training part alone. @default 'standard' */
  scale?: ScalingKind
  /** Windows in a batch. @default 32 */
  batch?: number
  /** Whether the training part is gone through in a new random order in each epoch. @default true */
  shuffle?: boolean
  /** Where the shuffles start (default: drawn from the ambient generator). */
  seed?: number | bigint
  device?: DeviceLike
}

/** What the parts of a split are called. */
export interface Parts<T> {
  training: T
  validation: T
}

const op = 'windows'

/**
 * Windows over one series or several: window k is `past` steps [P, I] and the `future` steps [F, O] after them; no window reaches from one series into another.
 *
 * ```ts
 * const waves = Float64Array.from({ length: 500 }, (_, t) => 20 + 5 * Math.sin(t / 8))
 * const { training, validation } = data.windows(waves, { past: 48, future: 12 }).splitByTime(0.8)
 * for await (const { past, future } of training) console.log(past.shape, future.shape)   // [ 32, 48, 1 ] [ 32, 12, 1 ] …
 * ```
 *
 * @throws ArgumentError where the columns hold missing or infinite values (`fillMissing`, `dropMissing`) or differ from series to series; DTypeError for
 * columns of dates or text.
 */
export function windows(series: Series | readonly Table[], options: WindowOptions): Windows {
  return new Windows(series, options)
}

/** Windows over series, to be split by time or gone through as they are. */
export class Windows {
  readonly #series: readonly Table[]
  readonly #options: Required<Omit<WindowOptions, 'seed' | 'device'>> & Pick<WindowOptions, 'seed' | 'device'>

  /** @internal */
  constructor(series: Series | readonly Table[], options: WindowOptions) {
    this.#series = checkSeries(series)
    object(options, 'options', op)
    const columns = (this.#series[0] as Table).names.length
    const { past, future, stride = 1, targets = columns, scale = 'standard', batch = 32, shuffle = true } = options
    whole(past, 'past', op, 1)
    whole(future, 'future', op, 1)
    whole(stride, 'stride', op, 1)
    whole(targets, 'targets', op, 1, columns)
    this.#options = { ...options, past, future, stride, targets, scale, batch, shuffle }
  }

  /** How many windows there are in all. */
  get length(): number {
    return this.#series.reduce((sum, { rows }) => sum + this.#count(rows), 0)
  }

  /** All windows as one loader; the scaling is fitted on all of them. */
  loader(): WindowLoader {
    return this.#parts([0, 1], ['windows'])[0] as WindowLoader
  }

  /**
   * The first `training` share of each series, the next `validation` share where it is named, and the rest. A window lies within one part whole, so no step is
   * in two of them. The scaling is fitted on the training part and applied to all.
   *
   * @throws ArgumentError where a part is too short for a single window.
   */
  splitByTime(training: number): Parts<WindowLoader>
  splitByTime(training: number, validation: number): Parts<WindowLoader> & { test: WindowLoader }
  splitByTime(training: number, validation?: number): Parts<WindowLoader> & { test?: WindowLoader } {
    const numbers = [training, validation ?? 0].every((share) => typeof share === 'number')
    const rest = numbers ? 1 - training - (validation ?? 0) : Number.NaN
    if (!(numbers && training > 0 && (validation ?? 1) > 0 && rest > 1e-12)) {
      const got = [training, ...(validation === undefined ? [] : [validation])].map(String).join(', ')
      throw new ArgumentError(`splitByTime: shares must be > 0 and leave something for the last part, got ${got}`, {
        op: 'splitByTime',
        expected: 'shares > 0 with a sum below 1',
        got,
      })
    }
    if (validation === undefined) {
      const [first, second] = this.#parts([0, training, 1], ['training', 'validation'])
      return { training: first as WindowLoader, validation: second as WindowLoader }
    }
    const cuts = [0, training, training + validation, 1]
    const [first, second, test] = this.#parts(cuts, ['training', 'validation', 'test']) as WindowLoader[]
    return { training: first as WindowLoader, validation: second as WindowLoader, test: test as WindowLoader }
  }

  #parts(cuts: readonly number[], names: readonly string[]): WindowLoader[] {
    const { past, future, targets, scale, batch, shuffle, seed, device } = this.#options
    const end = cuts[1] as number
    const scaling = Scaling.fit(
      this.#series.map((table) => table.slice(0, at(table.rows, end))),
      scale,
    )
    const columns = scaling.names.length
    const values = tensor(scaled(this.#series, scaling), { shape: [total(this.#series), columns] })
    const all = values.to('float32', device ?? 'cpu')
    const wanted = targets === columns ? all : all.slice(1, 0, targets).clone()
    unscope(all)
    unscope(wanted)
    return names.map((name, part) => {
      const starts = this.#starts(cuts[part] as number, cuts[part + 1] as number, name)
      const fields = {
        past: new WindowRows(all, starts, 0, past),
        future: new WindowRows(wanted, starts, past, future),
      }
      const own = shuffle && part === 0 ? { shuffle, ...(seed !== undefined && { seed }) } : {}
      return new WindowLoader(fields, { batch, ...own }, scaling)
    })
  }

  /** Where the windows between two shares of each series start, in all series put one after another. */
  #starts(from: number, to: number, name: string): Int32Array {
    const { past, future, stride } = this.#options
    const starts: number[] = []
    let offset = 0
    let longest = 0
    for (const { rows } of this.#series) {
      const [begin, end] = [at(rows, from), at(rows, to)]
      longest = Math.max(longest, end - begin)
      for (let start = begin; start + past + future <= end; start += stride) starts.push(offset + start)
      offset += rows
    }
    if (starts.length > 0) return Int32Array.from(starts)
    throw new ArgumentError(`windows: ${name} has at most ${longest} steps in a row, a window takes ${past + future}`, {
      op,
      expected: `at least ${past + future} steps`,
      got: String(longest),
    })
  }

  #count(rows: number): number {
    const { past, future, stride } = this.#options
    return Math.max(0, Math.floor((rows - past - future) / stride) + 1)
  }
}

/** A loader of windows: batches of past [B, P, I] and future [B, F, O], scaled. */
export class WindowLoader extends Loader<{ past: Rows; future: Rows }> {
  /** How the columns were scaled: `scaling.inverse(forecast)` gives the units of the data back. */
  readonly scaling: Scaling

  /** @internal */
  constructor(
    fields: { past: Rows; future: Rows },
    options: { batch: number; shuffle?: boolean; seed?: number | bigint },
    scaling: Scaling,
  ) {
    super(fields, options)
    this.scaling = scaling
  }
}

/** Pieces of `length` steps from a series [N, I] in the engine. */
class WindowRows extends Rows {
  readonly #series: Tensor
  readonly #starts: Int32Array
  readonly #offset: number
  readonly #length: number

  constructor(series: Tensor, starts: Int32Array, offset: number, length: number) {
    super()
    this.#series = series
    this.#starts = starts
    this.#offset = offset
    this.#length = length
  }

  override get rows(): number {
    return this.#starts.length
  }

  override batch({ rows }: Selection): Tensor {
    const length = this.#length
    const positions = new Int32Array(rows.length * length)
    for (let i = 0; i < rows.length; i++) {
      const first = (this.#starts[rows[i] as number] as number) + this.#offset
      for (let t = 0, at = i * length; t < length; t++) positions[at + t] = first + t
    }
    const index = tensor(int64(positions)).to(this.#series.device)
    return this.#series.indexSelect(0, index).reshape([rows.length, length, this.#series.shape[1] as number])
  }
}

/** The row at a share of a series. */
function at(rows: number, share: number): number {
  return share === 1 ? rows : Math.floor(rows * share + 1e-9)
}

function total(series: readonly Table[]): number {
  return series.reduce((sum, { rows }) => sum + rows, 0)
}

/** All series one after another, [N, I]. */
function scaled(series: readonly Table[], { offset, factor }: Scaling): Float32Array {
  const width = offset.length
  const out = new Float32Array(total(series) * width)
  let begin = 0
  for (const table of series) {
    for (const [column, values] of table.series(op).entries()) {
      const [subtract, divide] = [offset[column] as number, factor[column] as number]
      for (let row = 0, to = begin + column; row < values.length; row++, to += width) {
        out[to] = ((values[row] as number) - subtract) / divide
      }
    }
    begin += table.rows * width
  }
  return out
}

function checkSeries(given: Series | readonly Table[]): Table[] {
  const several = Array.isArray(given) && given[0] instanceof Table
  const all = several ? (given as readonly Table[]) : [given instanceof Table ? given : single(given as Series)]
  const names = (all[0] as Table).names
  for (const [i, table] of all.entries()) {
    if (table.names.join() !== names.join() || names.length === 0) {
      throw new ArgumentError(
        `windows: series ${i} has the columns ${table.names.join(', ')}, the first ${names.join(', ')}`,
        {
          op,
          expected: names.join(', '),
          got: table.names.join(', '),
        },
      )
    }
    for (const [column, values] of table.series(op).entries()) {
      const row = values.findIndex((value) => !Number.isFinite(value))
      if (row < 0) continue
      const got = `${names[column]} is ${values[row]} in row ${row}`
      const where = several ? ` of series ${i}` : ''
      throw new ArgumentError(
        `windows: ${got}${where}; fill it with fillMissing('linear'), or leave such rows out with dropMissing()`,
        { op, expected: 'finite values', got },
      )
    }
  }
  return [...all]
}

function single(values: Series): Table {
  if (values instanceof Float64Array || values instanceof Float32Array || Array.isArray(values)) {
    return Table.of({ value: values as readonly number[] })
  }
  const got = values === null ? 'null' : typeof values
  throw new ArgumentError(`windows: series must be a table, tables or numbers, got ${got}`, { op, got })
}
