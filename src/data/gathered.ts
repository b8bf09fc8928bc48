// What a reader of foreign columns gathers, piece by piece, and the columns of a table that it becomes.
import { ArgumentError, DataError, DTypeError, OutOfRangeError, QuarterturnError } from '../errors.js'
import { whole } from '../tensor/shape.js'
import { Cells } from './cells.js'
import { list, object } from './check.js'
import { type Opened, openSource, type Source } from './source.js'
import type { Column, ColumnType, Table } from './table.js'

export interface ColumnarOptions {
  /** The columns that are kept, in this order. @default all */
  columns?: readonly string[]
  /** The first row. @default 0 */
  start?: number
  /** The row after the last one. @default all rows */
  end?: number
  /** What becomes of whole numbers beyond ±2⁵³, which a float64 does not hold: an error, the nearest double, or the column as text. @default 'error' */
  bigIntegers?: 'error' | 'nearest' | 'text'
}

export interface Where {
  op: string
  /** The function, and the file if there is one: `readArrow: /data/a.arrow`. */
  where: string
  /** What the file should be. */
  expected: string
}

/** Bytes that are not what they should be. */
export function damaged(what: string, { op, where, expected }: Where, cause?: unknown): DataError {
  return new DataError(`${where}: ${what}`, { op, expected, ...(cause !== undefined && { cause }) })
}

/** Opens a source, reads it, and closes it whatever came of that; what a package throws, or meets, in bytes that make no sense is a DataError. */
export async function readColumnar(
  source: Source,
  options: ColumnarOptions,
  { op, expected }: Omit<Where, 'where'>,
  read: (opened: Opened, options: ReturnType<typeof checkColumnar>, at: Where) => Promise<Table>,
): Promise<Table> {
  const checked = checkColumnar(options, op)
  const opened = await openSource(source, op)
  const at = { op, expected, where: opened.path === undefined ? op : `${op}: ${opened.path}` }
  try {
    return await read(opened, checked, at)
  } catch (cause) {
    if (cause instanceof QuarterturnError) throw cause
    throw damaged((cause as Error).message, at, cause)
  } finally {
    await opened.close().catch(() => {}) // a package may have closed it
  }
}

/** The options with their defaults; `end` is Infinity where all rows are wanted. */
export function checkColumnar(options: ColumnarOptions, op: string) {
  const { columns, start = 0, end = Infinity, bigIntegers = 'error' } = object(options, 'options', op)
  const names = columns === undefined ? undefined : Array.from(list(columns, 'columns', op))
  if (names?.some((name) => typeof name !== 'string')) {
    throw new ArgumentError(`${op}: columns must be names`, { op, expected: 'an array of texts' })
  }
  whole(start, 'start', op)
  if (end !== Infinity) whole(end, 'end', op, start)
  if (!['error', 'nearest', 'text'].includes(bigIntegers)) {
    const expected = "'error', 'nearest' or 'text'"
    const got = String(bigIntegers)
    throw new ArgumentError(`${op}: bigIntegers must be ${expected}, got ${got}`, { op, expected, got })
  }
  return { columns: names, start, end, bigIntegers }
}

/** The names that are read: those asked for, or all that there are. */
export function chooseColumns(asked: readonly string[] | undefined, all: readonly string[], at: Where): string[] {
  const { op, where } = at
  const missing = asked?.find((name) => !all.includes(name))
  if (missing !== undefined) {
    const expected = all.join(', ')
    throw new ArgumentError(`${where}: there is no column ${missing}; the columns are ${expected}`, {
      op,
      expected,
      got: missing,
    })
  }
  const chosen = [...(asked ?? all)]
  const twice = chosen.find((name, i) => chosen.indexOf(name) !== i)
  if (twice === undefined) return chosen
  throw new ArgumentError(`${where}: there are two columns ${twice}; name those that are wanted: columns: [...]`, {
    op,
    got: twice,
  })
}

/** `start` and `end` must lie within the rows that there are. */
export function checkRows(start: number, end: number, rows: number, { op, where }: Where): void {
  if (start <= rows && (end === Infinity || end <= rows)) return
  const got = `${start} … ${end}`
  throw new OutOfRangeError(`${where}: there are ${rows} rows, asked for ${got}`, { op, expected: `0 … ${rows}`, got })
}

type Piece = Float64Array | Float32Array

/** One column while it is read: values of any JavaScript kind go in, null for a missing one. */
export class Gathered {
  readonly name: string
  readonly type: ColumnType
  readonly #at: Where
  /** Whether whole numbers beyond ±2⁵³ are refused. */
  readonly #exact: boolean
  readonly #numbers: Piece[] = []
  readonly #texts: string[] = []
  #rows = 0

  constructor(name: string, type: ColumnType, exact: boolean, at: Where) {
    this.name = name
    this.type = type
    this.#exact = exact
    this.#at = at
  }

  get rows(): number {
    return this.#rows
  }

  /** The next values. Numbers are multiplied by `scale`: how many milliseconds a unit of time has. */
  add(values: ArrayLike<unknown>, scale = 1): void {
    const first = this.#rows
    this.#rows += values.length
    if (this.type === 'text') {
      for (let i = 0; i < values.length; i++) this.#texts.push(this.#text(values[i], first + i))
      return
    }
    const Numbers = this.type === 'float32' ? Float32Array : Float64Array
    if (scale === 1 && isNumbers(values)) {
      this.#numbers.push(Numbers.from(values))
      return
    }
    const piece = new Numbers(values.length)
    for (let i = 0; i < values.length; i++) piece[i] = this.#number(values[i], scale, first + i)
    this.#numbers.push(piece)
  }

  column(): Column {
    if (this.type === 'text') return { type: 'text', values: Cells.of(this.#texts) }
    const values = new (this.type === 'float32' ? Float32Array : Float64Array)(this.#rows)
    let at = 0
    for (const piece of this.#numbers) {
      values.set(piece, at)
      at += piece.length
    }
    return { type: this.type, values }
  }

  #number(value: unknown, scale: number, row: number): number {
    if (typeof value === 'number') return value * scale
    if (value === null || value === undefined) return Number.NaN
    if (typeof value === 'boolean') return value ? 1 : 0
    if (value instanceof Date) return value.getTime()
    if (typeof value !== 'bigint') throw this.#refuse(value, row)
    const number = Number(value)
    // Times are counted in nanoseconds beyond 2⁵³; a date is exact to its float64 in any case.
    if (this.type === 'date' || scale !== 1) return number * scale
    if (!Number.isSafeInteger(number) && this.#exact) {
      const { where, op } = this.#at
      const ways = "bigIntegers: 'nearest' rounds it, 'text' keeps it as text"
      throw new OutOfRangeError(`${where}: column ${this.name} holds ${value} in row ${row}, beyond ±2⁵³; ${ways}`, {
        op,
        expected: 'whole numbers within ±2⁵³',
        got: String(value),
      })
    }
    return number
  }

  #text(value: unknown, row: number): string {
    if (typeof value === 'string') return value
    if (value === null || value === undefined) return ''
    if (typeof value === 'bigint' || typeof value === 'number') return String(value)
    throw this.#refuse(value, row)
  }

  #refuse(value: unknown, row: number): DTypeError {
    const { where, op } = this.#at
    const got = Array.isArray(value) ? 'a list' : ArrayBuffer.isView(value) ? 'bytes' : typeof value
    return new DTypeError(`${where}: column ${this.name} holds ${got} in row ${row}, not ${this.type}`, {
      op,
      expected: this.type,
      got,
    })
  }
}

/** A column that no table holds: nested, or bytes. */
export function unsupported(name: string, holds: string, { where, op }: Where): DTypeError {
  return new DTypeError(
    `${where}: column ${name} holds ${holds}, which a table does not take; name the others: columns: [...]`,
    { op, expected: 'numbers, dates or text', got: holds },
  )
}

function isNumbers(values: ArrayLike<unknown>): values is ArrayLike<number> {
  return ArrayBuffer.isView(values) && !(values instanceof BigInt64Array) && !(values instanceof BigUint64Array)
}
