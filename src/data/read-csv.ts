// readCsv: a CSV file as a table of typed columns, parsed in Rust on all cores.
import type { CsvColumn } from '../../index.js'
import { ArgumentError, DataError, FileError, type QuarterturnError } from '../errors.js'
import { native } from '../native.js'
import { Cells } from './cells.js'
import { object } from './check.js'
import { fileError, filePath, gather, isStream, notASource, type Source } from './source.js'
import { type Column, type ColumnType, Table } from './table.js'

export interface CsvOptions {
  /** What stands between cells: one ASCII character. @default ',' (a tab for a path that ends in .tsv) */
  delimiter?: string
  /** What cells may be quoted with, or false: then quotes are ordinary characters. @default '"' */
  quote?: string | false
  /** The decimal point. @default '.' */
  decimal?: '.' | ','
  /** Whether the first record names the columns; or the names, where it does not. @default true */
  header?: boolean | readonly string[]
  /** The columns that are kept, in this order; the others cost little. @default all */
  columns?: readonly string[]
  /** What columns hold (default: what the first 1,000 records show). */
  types?: Readonly<Record<string, ColumnType>>
  /** What columns of numbers become. @default 'float64' */
  numbers?: 'float64' | 'float32'
  /** Texts that stand for no value in numbers and dates, beside the empty cell. @default NA, N/A, NaN, nan, null, NULL */
  missing?: readonly string[]
}

const op = 'readCsv'
const types: readonly string[] = ['float64', 'float32', 'date', 'text']

/**
 * Reads a CSV file (RFC 4180: quoted cells may hold delimiters and line ends, a doubled quote stands for one) into a table.
 *
 * ```ts
 * const table = await data.readCsv('weather.csv')
 * console.log(table.types)   // { date: 'date', temp: 'float64', place: 'text' }
 * ```
 *
 * A file is read in blocks of 16 MB, whose records are parsed on all cores, off the JavaScript thread; what is kept are the columns. A stream is gathered
 * first: unpack with `createReadStream(path).pipe(createGunzip())`. What a column holds is told by its first 1,000 cells, unless `types` says it; a later cell
 * that does not fit is an error, not a change of type. Dates are ISO 8601 with the year first (`2024-02-29T12:30+01:00`; UTC where no zone is named) and become
 * milliseconds since 1970. Missing numbers and dates are NaN; texts are kept as they are. Numbers are the nearest doubles: whole ones are exact up to 2⁵³. Blank
 * lines are passed over. Columns without a name are called `column3`, a second `x` is `x_2`. Differs from `pandas.read_csv`: no integer, boolean or categorical columns.
 *
 * @throws DataError (`ERR_DATA`), with `line` and `column`, where the text is malformed or a cell does not fit; FileError (`ERR_IO`) where the file cannot be
 * read; ArgumentError for options that cannot be used.
 */
export async function readCsv(source: Source, options: CsvOptions = {}): Promise<Table> {
  const isPath = typeof source === 'string' || source instanceof URL
  if (!isPath && !(source instanceof Uint8Array) && !isStream(source)) throw notASource(source, op)
  const order = checked(options, isPath && String(source).endsWith('.tsv') ? '\t' : ',')
  const path = isPath ? await filePath(source, op) : undefined
  const bytes = isPath ? undefined : source instanceof Uint8Array ? source : await gather(source, op)
  try {
    const { rows, columns } = await native().readCsv({ ...order, path, bytes })
    return new Table(new Map(columns.map((column) => [column.name, toColumn(column)])), rows)
  } catch (cause) {
    throw explain(cause, path)
  }
}

function checked(options: CsvOptions, tabOrComma: string) {
  object(options, 'options', op)
  const { delimiter = tabOrComma, quote = '"', decimal = '.', header = true, columns, numbers = 'float64' } = options
  if (!oneCharacter(delimiter)) throw wrong('delimiter', 'one ASCII character', delimiter)
  if (quote !== false && !oneCharacter(quote)) throw wrong('quote', 'one ASCII character or false', quote)
  if (decimal !== '.' && decimal !== ',') throw wrong('decimal', "'.' or ','", decimal)
  if (typeof header !== 'boolean' && !isTexts(header)) throw wrong('header', 'true, false or names', header)
  if (numbers !== 'float64' && numbers !== 'float32') throw wrong('numbers', "'float64' or 'float32'", numbers)
  for (const name of ['columns', 'missing'] as const) {
    if (options[name] !== undefined && !isTexts(options[name])) throw wrong(name, 'an array of texts', options[name])
  }
  for (const [name, type] of Object.entries(options.types ?? {})) {
    if (!types.includes(type)) throw wrong(`types.${name}`, types.join(', '), type)
  }
  return {
    delimiter,
    quote: quote === false ? undefined : quote,
    decimal,
    header: header === true,
    names: typeof header === 'boolean' ? undefined : [...header],
    columns: columns === undefined ? undefined : [...columns],
    types: { ...options.types },
    numbers,
    missing: options.missing === undefined ? undefined : [...options.missing],
  }
}

function oneCharacter(text: unknown): boolean {
  return typeof text === 'string' && text.length === 1 && text.charCodeAt(0) < 128
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((text) => typeof text === 'string')
}

function wrong(name: string, expected: string, got: unknown): ArgumentError {
  return new ArgumentError(`${op}: ${name} must be ${expected}, got ${String(got)}`, { op, expected, got: String(got) })
}

function toColumn({ type, float64, float32, bytes, ends }: CsvColumn): Column {
  const values = float64 ?? float32 ?? new Cells(bytes as Uint8Array, ends as Uint32Array)
  return { type: type as ColumnType, values }
}

/** The addon says `CODE:line:column: message`. */
function explain(cause: unknown, path: string | undefined): QuarterturnError | unknown {
  const [, code, line, column, message] = /^(ERR_\w+):(\d*):(\d*): (.*)$/s.exec((cause as Error).message) ?? []
  const text = `${op}: ${path === undefined ? '' : `${path}: `}${message}`
  switch (code) {
    case 'ERR_DATA':
      return new DataError(text, {
        op,
        ...(line !== '' && { line: Number(line) }),
        ...(column !== '' && { column: Number(column) }),
      })
    case 'ERR_ARGUMENT':
      return new ArgumentError(text, { op })
    case 'ERR_IO':
      return path === undefined ? new FileError(text, { op }) : fileError(path, { message }, op)
    default:
      return cause
  }
}
