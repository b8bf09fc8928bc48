// Table: typed columns of equal length, as readCsv gives them and windows takes them.
import { ArgumentError, DTypeError, OutOfRangeError, ShapeError } from '../errors.js'
import { checkBuffer } from '../tensor/check-buffer.js'
import type { TensorOptions } from '../tensor/create.js'
import { device as checkDevice } from '../tensor/device.js'
import { checkDType, type DType } from '../tensor/dtype.js'
import { stageColumns } from '../tensor/queue.js'
import { whole } from '../tensor/shape.js'
import { call, type Tensor } from '../tensor/tensor.js'
import { Cells } from './cells.js'
import { list, object } from './check.js'

/** What a column holds: numbers, milliseconds since 1970 (as float64), or text. */
export type ColumnType = 'float64' | 'float32' | 'date' | 'text'

export interface Column {
  readonly type: ColumnType
  readonly values: Float64Array | Float32Array | Cells
}

/** Columns by name: numbers (a missing one is NaN), texts, or dates. */
export type ColumnData = Float64Array | Float32Array | readonly number[] | readonly string[] | readonly Date[]

/** How a missing value is replaced: by the one before it, on the line between its neighbours, by the column's mean, or by a number. */
export type Filling = 'previous' | 'linear' | 'mean' | number

/**
 * Columns of equal length, by name and in order. A table never changes; its methods give new ones, which share the columns that stay as they are.
 *
 * ```ts
 * const table = data.Table.of({ hour: [0, 1, 2], temp: [1.5, Number.NaN, 3], place: ['Ulm', 'Ulm', 'Bonn'] })
 * const x = table.select('hour', 'temp').fillMissing('linear').tensor()   // [3, 2], float32
 * ```
 */
export class Table {
  readonly rows: number
  readonly #columns: ReadonlyMap<string, Column>

  /** @internal Columns of `rows` values each. */
  constructor(columns: ReadonlyMap<string, Column>, rows: number) {
    this.#columns = columns
    this.rows = rows
  }

  /** @throws ShapeError for columns of different lengths; DTypeError for one that mixes types. */
  static of(columns: Readonly<Record<string, ColumnData>>): Table {
    const made = new Map(
      Object.entries(object(columns, 'columns', 'Table.of')).map(([name, values]) => [name, makeColumn(name, values)]),
    )
    const lengths = [...made].map(([name, { values }]) => `${name} ${values.length}`)
    const rows = [...made.values()][0]?.values.length ?? 0
    if ([...made.values()].some(({ values }) => values.length !== rows)) {
      throw new ShapeError(`Table.of: columns must be equally long, got ${lengths.join(', ')}`, {
        op: 'Table.of',
        expected: String(rows),
        got: lengths.join(', '),
      })
    }
    return new Table(made, rows)
  }

  /** The names of the columns, in order. */
  get names(): string[] {
    return [...this.#columns.keys()]
  }

  /** The types of the columns, by name. */
  get types(): Record<string, ColumnType> {
    return Object.fromEntries([...this.#columns].map(([name, { type }]) => [name, type]))
  }

  /** A column of numbers or dates: its own array, not a copy. NaN where there is no value. */
  numbers(name: string): Float64Array | Float32Array {
    const { values } = this.#column(name, 'Table.numbers')
    if (!(values instanceof Cells)) return values
    throw new DTypeError(`Table.numbers: ${name} holds text; categories('${name}') numbers it`, {
      op: 'Table.numbers',
      expected: 'a column of numbers',
      got: 'text',
    })
  }

  /** A column of text. */
  texts(name: string): string[] {
    const { type, values } = this.#column(name, 'Table.texts')
    if (values instanceof Cells) return values.strings()
    throw new DTypeError(`Table.texts: ${name} holds ${type}`, { op: 'Table.texts', expected: 'text', got: type })
  }

  /** A column of text as numbers: `labels` in alphabetical order (by code units), and for each row the place of its label among them. */
  categories(name: string): { ids: Int32Array; labels: string[] } {
    const texts = this.texts(name)
    const labels = [...new Set(texts)].sort()
    const places = new Map(labels.map((label, id) => [label, id]))
    return { ids: Int32Array.from(texts, (text) => places.get(text) as number), labels }
  }

  /** These columns, in this order. */
  select(...names: readonly string[]): Table {
    return new Table(new Map(names.map((name) => [name, this.#column(name, 'Table.select')])), this.rows)
  }

  /** All columns and one more; a column of that name is replaced. */
  with(name: string, values: ColumnData): Table {
    if (typeof name !== 'string') {
      throw new ArgumentError('Table.with: name must be a text', {
        op: 'Table.with',
        expected: 'a text',
        got: typeof name,
      })
    }
    const column = makeColumn(name, values)
    if (this.#columns.size > 0 && column.values.length !== this.rows) {
      throw new ShapeError(`Table.with: ${name} has ${column.values.length} values, the table ${this.rows} rows`, {
        op: 'Table.with',
        expected: String(this.rows),
        got: String(column.values.length),
      })
    }
    return new Table(new Map([...this.#columns, [name, column]]), column.values.length)
  }

  /** Rows start … end − 1. */
  slice(start: number, end: number = this.rows): Table {
    whole(start, 'start', 'Table.slice', 0, this.rows)
    whole(end, 'end', 'Table.slice', start, this.rows)
    const cut = ({ type, values }: Column): Column => ({ type, values: values.subarray(start, end) })
    return new Table(new Map([...this.#columns].map(([name, column]) => [name, cut(column)])), end - start)
  }

  /** These rows, in this order: for example a part that `splitByHash` gave. */
  take(rows: ArrayLike<number>): Table {
    list(rows, 'rows', 'Table.take')
    const chosen = Int32Array.from(rows, Number)
    const wrong = Array.from(rows).find((row) => !Number.isInteger(row) || row < 0 || row >= this.rows)
    if (wrong !== undefined) {
      throw new OutOfRangeError(`Table.take: rows must be from 0 to ${this.rows - 1}, got ${wrong}`, {
        op: 'Table.take',
        expected: `0 … ${this.rows - 1}`,
        got: String(wrong),
      })
    }
    const columns = [...this.#columns].map(([name, { type, values }]): [string, Column] => {
      if (values instanceof Cells) return [name, { type, values: values.take(chosen) }]
      const taken = new (values instanceof Float32Array ? Float32Array : Float64Array)(chosen.length)
      for (let i = 0; i < chosen.length; i++) taken[i] = values[chosen[i] as number] as number
      return [name, { type, values: taken }]
    })
    return new Table(new Map(columns), chosen.length)
  }

  /** How many values are missing, by column: NaN in numbers and dates, empty texts. */
  missing(): Record<string, number> {
    const count = ({ values }: Column): number => {
      if (values instanceof Cells) return values.empty()
      let missing = 0
      for (const value of values) if (Number.isNaN(value)) missing++
      return missing
    }
    return Object.fromEntries([...this.#columns].map(([name, column]) => [name, count(column)]))
  }

  /** The rows in which none of these columns (default: none at all) is missing a value. */
  dropMissing(...names: readonly string[]): Table {
    const columns = (names.length === 0 ? this.names : names).map((name) => this.#column(name, 'Table.dropMissing'))
    const rows: number[] = []
    for (let row = 0; row < this.rows; row++) {
      const missing = columns.some(({ values }) =>
        values instanceof Cells ? values.isEmpty(row) : Number.isNaN(values[row] as number),
      )
      if (!missing) rows.push(row)
    }
    return rows.length === this.rows ? this : this.take(rows)
  }

  /**
   * The table with a value wherever one is missing in these columns (default: all columns of numbers). At the ends, where `'previous'` and `'linear'` have no
   * neighbour on one side, the nearest value is taken.
   *
   * @throws ArgumentError for a column without a single value.
   */
  fillMissing(how: Filling, ...names: readonly string[]): Table {
    const op = 'Table.fillMissing'
    if (!['previous', 'linear', 'mean'].includes(how as string) && !Number.isFinite(how)) {
      const expected = "'previous', 'linear', 'mean' or a number"
      throw new ArgumentError(`${op}: how must be ${expected}, got ${String(how)}`, { op, expected, got: String(how) })
    }
    const chosen = names.length > 0 ? names : this.names.filter((name) => /^float/.test(this.types[name] as string))
    const columns = new Map(this.#columns)
    for (const name of chosen) {
      const values = this.numbers(name)
      const filled = fill(values, how, name)
      columns.set(name, { type: this.#column(name, op).type, values: filled })
    }
    return new Table(columns, this.rows)
  }

  /**
   * The columns side by side: [rows, columns], float32 unless another dtype is named.
   *
   * @throws DTypeError where one of them holds dates or text.
   */
  tensor<D extends DType = 'float32'>(options: TensorOptions<D> = {}): Tensor<D> {
    const { dtype, device = 'cpu' } = object(options, 'options', 'Table.tensor')
    if (this.#columns.size === 0) throw new ArgumentError('Table.tensor: there are no columns', { op: 'Table.tensor' })
    const type = checkDType(dtype ?? ('float32' as D), 'Table.tensor')
    const place = checkDevice(device, 'Table.tensor')
    const columns = this.series('Table.tensor')
    for (const values of columns) checkBuffer(values, 'Table.tensor')
    const wide = type !== 'float32' && columns.some((values) => values instanceof Float64Array)
    const stored = type === 'float64' || wide ? 'float64' : 'float32'
    const staging = stageColumns(columns, stored)
    const shape = [this.rows, columns.length]
    return call<typeof stored>('fromBytes', [], { staging, shape, dtype: stored, device: place }).to(type) as Tensor<D>
  }

  /** @internal The columns of numbers, refusing others. */
  series(op: string): (Float64Array | Float32Array)[] {
    return [...this.#columns].map(([name, column]) => numeric(name, column, op))
  }

  toString(): string {
    const columns = [...this.#columns].map(([name, { type }]) => `${name} ${type}`)
    return `Table of ${this.rows} rows: ${columns.join(', ')}`
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString()
  }

  #column(name: string, op: string): Column {
    const column = this.#columns.get(name)
    if (column !== undefined) return column
    const expected = this.names.join(', ')
    throw new ArgumentError(`${op}: there is no column ${String(name)}; the columns are ${expected}`, {
      op,
      expected,
      got: String(name),
    })
  }
}

function numeric(name: string, { type, values }: Column, op: string): Float64Array | Float32Array {
  if (type !== 'text' && type !== 'date' && !(values instanceof Cells)) return values
  throw new DTypeError(`${op}: ${name} holds ${type}; choose columns of numbers with select(…)`, {
    op,
    expected: 'numbers',
    got: type,
  })
}

function makeColumn(name: string, values: ColumnData): Column {
  if (values instanceof Float64Array || values instanceof Float32Array) {
    checkBuffer(values, 'Table')
    return { type: values instanceof Float64Array ? 'float64' : 'float32', values }
  }
  const items: readonly unknown[] = Array.isArray(values) ? values : [values]
  const kind = items.length === 0 ? 'number' : kindOf(items[0])
  const odd = items.findIndex((value) => kind === undefined || kindOf(value) !== kind)
  if (odd >= 0) {
    const got = items[odd] === null ? 'null' : typeof items[odd]
    throw new DTypeError(`Table: ${name} must hold numbers, texts or dates only, got ${got} in row ${odd}`, {
      op: 'Table',
      expected: 'numbers, texts or dates',
      got,
    })
  }
  if (kind === 'text') return { type: 'text', values: Cells.of(items as readonly string[]) }
  return { type: kind === 'date' ? 'date' : 'float64', values: Float64Array.from(items as readonly number[], Number) }
}

function kindOf(value: unknown): 'number' | 'date' | 'text' | undefined {
  if (typeof value === 'number') return 'number'
  if (typeof value === 'string') return 'text'
  return value instanceof Date ? 'date' : undefined
}

function fill(values: Float64Array | Float32Array, how: Filling, name: string): Float64Array | Float32Array {
  const first = values.findIndex((value) => !Number.isNaN(value))
  const out = values.slice()
  if (typeof how === 'number') return out.map((value) => (Number.isNaN(value) ? how : value))
  if (first < 0 && values.length > 0) {
    throw new ArgumentError(`Table.fillMissing: ${name} has no value at all`, { op: 'Table.fillMissing', got: name })
  }
  if (how === 'mean') {
    const known = Float64Array.from(values).filter((value) => !Number.isNaN(value))
    const mean = known.reduce((sum, value) => sum + value, 0) / known.length
    return out.map((value) => (Number.isNaN(value) ? mean : value))
  }
  out.fill(values[first] as number, 0, first)
  let before = first
  for (let row = first; row < values.length; row++) {
    if (Number.isNaN(values[row])) continue
    const [from, to] = [values[before] as number, values[row] as number]
    for (let k = before + 1; k < row; k++) {
      out[k] = how === 'previous' ? from : from + ((to - from) * (k - before)) / (row - before)
    }
    before = row
  }
  return out.fill(values[before] as number, before)
}
