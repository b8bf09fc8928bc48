// windows: a series cut into pairs of past and future, split by time, scaled by what the training part shows.
import { ArgumentError } from '../errors.js'
import { tensor } from '../tensor/create.js'
import { unscope } from '../tensor/lifetime.js'
import type { Tensor } from '../tensor/tensor.js'
import { checkFiles, DistantWindows } from './distant-windows.js'
import { int64, Rows, type Selection } from './field.js'
import { FileRows } from './file-rows.js'
import { Scaling } from './scaling.js'
import { Table } from './table.js'
import {
  type CheckedOptions,
  checkOptions,
  cutsOf,
  ofTraining,
  type Parts,
  rowAt,
  runsOf,
  type WindowOptions,
  windowsIn,
} from './window-cuts.js'
import { WindowLoader } from './window-loader.js'

/** One series: a table, its rows being the steps of time in order, or the values of a single column. */
export type Series = Table | Float64Array | Float32Array | readonly number[]

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
 * Series that `openRows` opened, rows of [I] or of numbers, may be larger than memory: their windows are read when a batch asks for them, and `loader` and
 * `splitByTime` are async, because the scaling is fitted by reading the training part once.
 *
 * ```ts
 * await writeFile('waves.bin', Float32Array.from({ length: 500 }, (_, t) => Math.sin(t / 8)))
 * const stored = await data.openRows('waves.bin', { dtype: 'float32', shape: [1] })
 * const parts = await data.windows(stored, { past: 48, future: 12 }).splitByTime(0.8)
 * console.log(parts.training.rows)   // 341
 * ```
 *
 * @throws ArgumentError where the columns hold missing or infinite values (`fillMissing`, `dropMissing`) or differ from series to series; DTypeError for
 * columns of dates or text.
 */
export function windows(series: FileRows | readonly FileRows[], options: WindowOptions): DistantWindows
export function windows(series: Series | readonly Table[], options: WindowOptions): Windows
export function windows(
  series: Series | readonly Table[] | FileRows | readonly FileRows[],
  options: WindowOptions,
): Windows | DistantWindows {
  const all = Array.isArray(series) ? [...series] : [series]
  if (all.length > 0 && all.every((own) => own instanceof FileRows)) {
    return new DistantWindows(all, checkOptions(options, checkFiles(all)))
  }
  return new Windows(series as Series | readonly Table[], options)
}

/** Windows over series, to be split by time or gone through as they are. */
export class Windows {
  readonly #series: readonly Table[]
  readonly #options: CheckedOptions

  /** @internal */
  constructor(series: Series | readonly Table[], options: WindowOptions) {
    this.#series = checkSeries(series)
    this.#options = checkOptions(options, (this.#series[0] as Table).names.length)
  }

  /** How many windows there are in all. */
  get length(): number {
    return this.#series.reduce((sum, { rows }) => sum + windowsIn(rows, this.#options), 0)
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
    const { cuts, names } = cutsOf(training, validation)
    const parts = this.#parts(cuts, names)
    return Object.fromEntries(names.map((name, i) => [name, parts[i]])) as unknown as Parts<WindowLoader>
  }

  #parts(cuts: readonly number[], names: readonly string[]): WindowLoader[] {
    const { past, future, targets, scale, device } = this.#options
    const end = cuts[1] as number
    const scaling = Scaling.fit(
      this.#series.map((table) => table.slice(0, rowAt(table.rows, end))),
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
      return new WindowLoader(fields, ofTraining(this.#options, part === 0), scaling)
    })
  }

  /** Where the windows between two shares of each series start, in all series put one after another. */
  #starts(from: number, to: number, name: string): Int32Array {
    const { stride } = this.#options
    const starts: number[] = []
    const runs = runsOf(this.#series, from, to, name, this.#options)
    let offset = 0
    for (const { series, begin, count } of runs) {
      for (let k = 0; k < count; k++) starts.push(offset + begin + k * stride)
      offset += series.rows
    }
    return Int32Array.from(starts)
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
