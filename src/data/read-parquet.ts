// readParquet: a Parquet file as a table; only the row groups and columns that are asked for are read.
import type { FileMetaData, SchemaTree } from 'hyparquet'
import {
  type ColumnarOptions,
  type checkColumnar,
  checkRows,
  chooseColumns,
  damaged,
  Gathered,
  readColumnar,
  unsupported,
  type Where,
} from './gathered.js'
import { optional } from './optional.js'
import type { Opened, Source } from './source.js'
import { type ColumnType, Table } from './table.js'

const op = 'readParquet'

/** Codecs that hyparquet has itself. */
const ownCodecs: readonly string[] = ['UNCOMPRESSED', 'SNAPPY']

/**
 * Reads a Parquet file into a table, by the optional package `hyparquet`; files packed with other codecs than Snappy need `hyparquet-compressors` too.
 *
 * ```ts
 * const flights = await data.readParquet('flights.parquet', { columns: ['delay', 'distance'], end: 1000 })
 * console.log(flights.types)   // { delay: 'float64', distance: 'float64' }
 * ```
 *
 * | stored as | becomes |
 * |---|---|
 * | float | float32 |
 * | double, half float, decimal, whole numbers of up to 32 bits, boolean (0 or 1) | float64 |
 * | whole numbers of 64 bits | float64; what lies beyond ±2⁵³ as `bigIntegers` says |
 * | date, timestamp | date: milliseconds since 1970, with their fraction |
 * | time of day | float64: milliseconds since midnight |
 * | text, enum, JSON, UUID, bytes without a logical type (they must be UTF-8) | text |
 * | no value | NaN; the empty text |
 *
 * Lists, maps, groups, intervals and other bytes are refused by the name of their column, unless `columns` leaves them out. Pages are unpacked on the JavaScript thread, one
 * row group after another, and other work is let in between. Differs from `pandas.read_parquet`: no integer, boolean or categorical columns, no index.
 *
 * @throws PackageError (`ERR_PACKAGE`) without the package; DataError (`ERR_DATA`) for a file that is damaged or cut; FileError (`ERR_IO`) where it cannot be
 * read; DTypeError (`ERR_DTYPE`) for columns that a table does not take; OutOfRangeError (`ERR_RANGE`) for whole numbers beyond ±2⁵³, and for rows beyond the last.
 */
export async function readParquet(source: Source, options: ColumnarOptions = {}): Promise<Table> {
  return readColumnar(source, options, { op, expected: 'a Parquet file' }, read)
}

async function read(opened: Opened, options: ReturnType<typeof checkColumnar>, at: Where): Promise<Table> {
  await checkEnds(opened, at)
  const { parquetMetadataAsync, parquetRead, parquetSchema } = await optional(
    'hyparquet',
    op,
    () => import('hyparquet'),
  )
  const slice = async (start: number, end = opened.size) => {
    if (!(start >= 0 && end >= start && end <= opened.size)) throw damaged(`it ends before byte ${end}`, at)
    const bytes = await opened.read(start, end)
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)
  }
  const file = { byteLength: opened.size, slice }
  const metadata = await parquetMetadataAsync(file, { geoparquet: false })
  const rows = Number(metadata.num_rows)
  const { start, bigIntegers } = options
  checkRows(start, options.end, rows, at)
  const end = Math.min(options.end, rows)
  const schema = new Map(parquetSchema(metadata).children.map((child) => [child.element.name, child]))
  const names = chooseColumns(
    options.columns,
    parquetSchema(metadata).children.map(({ element }) => element.name),
    at,
  )
  const columns = names.map((name) => {
    const { type, scale } = kindOf(schema.get(name) as SchemaTree, bigIntegers === 'text', at)
    return { scale, gathered: new Gathered(name, type, bigIntegers === 'error', at) }
  })
  const compressors = await codecs(metadata, names)
  let before = 0
  for (const group of metadata.row_groups) {
    const after = before + Number(group.num_rows)
    const [rowStart, rowEnd] = [Math.max(before, start), Math.min(after, end)]
    if (rowStart < rowEnd && names.length > 0) {
      for (const { gathered, scale } of columns) {
        const pieces: { columnData: ArrayLike<unknown>; rowStart: number }[] = []
        await parquetRead({
          file,
          metadata,
          columns: [gathered.name],
          rowStart,
          rowEnd,
          parsers,
          ...(compressors !== undefined && { compressors }),
          onChunk: (piece) => pieces.push(piece),
        })
        for (const { columnData, rowStart: first } of pieces.sort((a, b) => a.rowStart - b.rowStart)) {
          const [from, to] = [Math.max(0, rowStart - first), Math.min(columnData.length, rowEnd - first)]
          if (from < to) gathered.add(part(columnData, from, to), scale)
        }
        if (gathered.rows !== rowEnd - start) {
          throw damaged(`column ${gathered.name} has ${gathered.rows} of ${rowEnd - start} values`, at)
        }
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
    before = after
  }
  if (before !== rows) throw damaged(`its groups have ${before} rows, it says ${rows}`, at)
  return new Table(new Map(columns.map(({ gathered }) => [gathered.name, gathered.column()])), end - start)
}

/** The magic at both ends tells an empty, cut or foreign file before anything is believed. */
async function checkEnds(opened: Opened, at: Where): Promise<void> {
  const text = async (start: number) => Buffer.from(await opened.read(start, start + 4)).toString('latin1')
  if (opened.size === 0) throw damaged('it is empty', at)
  const first = await text(0)
  if (first === 'PARE') throw damaged('it is encrypted', at)
  if (first !== 'PAR1') throw damaged('this is not a Parquet file', at)
  if (opened.size < 12 || (await text(opened.size - 4)) !== 'PAR1') throw damaged('it is cut: its end is missing', at)
}

/** hyparquet's parsers: dates as milliseconds with their fraction, texts that are not UTF-8 refused. */
const decoder = new TextDecoder('utf-8', { fatal: true })
const textOf = (bytes: Uint8Array | undefined) =>
  bytes === undefined || bytes === null ? undefined : decoder.decode(bytes)
const milliseconds = (count: bigint | number | undefined, divisor: number) => {
  if (count === undefined || count === null) return undefined
  const whole = BigInt(count)
  const unit = BigInt(divisor)
  return Number(whole / unit) + Number(whole % unit) / divisor
}
const parsers = {
  timestampFromMilliseconds: (count: bigint) => milliseconds(count, 1),
  timestampFromMicroseconds: (count: bigint) => milliseconds(count, 1e3),
  timestampFromNanoseconds: (count: bigint) => milliseconds(count, 1e6),
  dateFromDays: (days: number) => (days === undefined ? undefined : days * 86_400_000),
  stringFromBytes: textOf,
  jsonFromBytes: textOf,
}

/** What a column becomes, and how many milliseconds its unit of time has. */
function kindOf({ element, children }: SchemaTree, bigAsText: boolean, at: Where): { type: ColumnType; scale: number } {
  const { name, type, converted_type: converted, logical_type: logical } = element
  const plain = (column: ColumnType, scale = 1) => ({ type: column, scale })
  if (children.length > 0 || element.repetition_type === 'REPEATED') {
    throw unsupported(name, converted === 'LIST' || children.length === 0 ? 'lists' : 'nested values', at)
  }
  const meaning = logical?.type ?? converted
  if (['GEOMETRY', 'GEOGRAPHY', 'VARIANT', 'FILE', 'BSON', 'INTERVAL'].includes(meaning as string)) {
    throw unsupported(name, String(meaning).toLowerCase(), at)
  }
  if (logical?.type === 'TIME') return plain('float64', { MILLIS: 1, MICROS: 1e-3, NANOS: 1e-6 }[logical.unit])
  if (converted === 'TIME_MILLIS') return plain('float64')
  if (converted === 'TIME_MICROS') return plain('float64', 1e-3)
  if (logical?.type === 'TIMESTAMP' || converted?.startsWith('TIMESTAMP') || meaning === 'DATE' || type === 'INT96') {
    return plain('date')
  }
  if (meaning === 'DECIMAL' || meaning === 'FLOAT16') return plain('float64')
  if (type === 'FLOAT') return plain('float32')
  if (type === 'BYTE_ARRAY' || meaning === 'UUID') return plain('text')
  if (type === 'FIXED_LEN_BYTE_ARRAY') throw unsupported(name, 'bytes', at)
  return plain(bigAsText && type === 'INT64' ? 'text' : 'float64')
}

async function codecs({ row_groups }: FileMetaData, names: readonly string[]) {
  const used = row_groups.flatMap(({ columns }) => columns.map(({ meta_data }) => meta_data))
  const foreign = used.some(
    (chunk) =>
      chunk !== undefined && names.includes(chunk.path_in_schema[0] as string) && !ownCodecs.includes(chunk.codec),
  )
  if (!foreign) return undefined
  return (await optional('hyparquet-compressors', op, () => import('hyparquet-compressors'))).compressors
}

function part(values: ArrayLike<unknown>, from: number, to: number): ArrayLike<unknown> {
  return from === 0 && to === values.length ? values : (values as unknown[]).slice(from, to)
}
