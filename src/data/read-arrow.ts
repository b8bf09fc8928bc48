// readArrow: Arrow's IPC files and streams, and Feather, as a table.
import type { Data, DataType, Field, RecordBatch, Vector } from 'apache-arrow'
import { checkFile, checkStream } from './arrow-messages.js'
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
import { lz4Frame } from './lz4.js'
import { optional } from './optional.js'
import type { Opened, Source } from './source.js'
import { type ColumnType, Table } from './table.js'

const op = 'readArrow'
type Arrow = typeof import('apache-arrow')

/**
 * Reads an Arrow file, an Arrow stream or a Feather file (version 2) into a table, by the optional package `apache-arrow`. Bodies packed with LZ4 are unpacked here,
 * those packed with Zstandard by `hyparquet-compressors`.
 *
 * ```ts
 * const flights = await data.readArrow('flights.arrow', { columns: ['delay', 'time'], end: 1000 })
 * console.log(flights.types)   // { delay: 'float64', time: 'float32' }
 * ```
 *
 * | stored as | becomes |
 * |---|---|
 * | float | float32 |
 * | double, half float, decimal, whole numbers of up to 32 bits, boolean (0 or 1), nothing but nulls | float64 |
 * | whole numbers of 64 bits | float64; what lies beyond ±2⁵³ as `bigIntegers` says |
 * | date, timestamp | date: milliseconds since 1970, with their fraction |
 * | time of day, duration | float64: milliseconds |
 * | text, dictionary (categories) of text | text; `table.categories(name)` numbers it |
 * | no value | NaN; the empty text |
 *
 * Lists, structs, maps, unions, intervals and bytes are refused by the name of their column, unless `columns` leaves them out. A file is read record batch by
 * record batch, so that it is never in memory whole beside the table.
 *
 * @throws PackageError (`ERR_PACKAGE`) without the package; DataError (`ERR_DATA`) for a file that is damaged or cut; FileError (`ERR_IO`) where it cannot be
 * read; DTypeError (`ERR_DTYPE`) for columns that a table does not take; OutOfRangeError (`ERR_RANGE`) for whole numbers beyond ±2⁵³, and for rows beyond the last.
 */
export async function readArrow(source: Source, options: ColumnarOptions = {}): Promise<Table> {
  return readColumnar(source, options, { op, expected: 'an Arrow file or stream' }, read)
}

async function read(opened: Opened, options: ReturnType<typeof checkColumnar>, at: Where): Promise<Table> {
  await checkEnds(opened, at)
  const arrow = await optional('apache-arrow', op, () => import('apache-arrow'))
  await addCodecs(arrow)
  const from = opened.file ?? (await opened.read(0, opened.size))
  const reader = await arrow.RecordBatchReader.from(from as Uint8Array)
  await reader.open({ autoDestroy: false })
  if (reader.schema === undefined) throw damaged('it has no schema', at)
  const { start, end, bigIntegers } = options
  const { fields } = reader.schema
  const names = chooseColumns(
    options.columns,
    fields.map(({ name }) => name),
    at,
  )
  const columns = names.map((name) => {
    const field = fields.find((it) => it.name === name) as Field
    const { type, scale } = kindOf(arrow, name, field.type, bigIntegers === 'text', at)
    return { scale, gathered: new Gathered(name, type, bigIntegers === 'error', at) }
  })
  let before = 0
  for await (const batch of reader as AsyncIterable<RecordBatch>) {
    const after = before + batch.numRows
    const [first, last] = [Math.max(before, start), Math.min(after, end)]
    if (first < last) {
      for (const { gathered, scale } of columns) {
        const column = batch.getChild(gathered.name)
        if (column === null) throw damaged(`a batch lacks the column ${gathered.name}`, at)
        gathered.add(valuesOf(arrow, column.slice(first - before, last - before), gathered.name, at), scale)
      }
    }
    before = after
    if (before >= end) break
  }
  checkRows(start, end, before, at)
  return new Table(
    new Map(columns.map(({ gathered }) => [gathered.name, gathered.column()])),
    Math.min(end, before) - start,
  )
}

/** What tells an empty, cut or foreign file before anything is believed. */
async function checkEnds(opened: Opened, at: Where): Promise<void> {
  const { size } = opened
  if (size === 0) throw damaged('it is empty', at)
  const head = Buffer.from(await opened.read(0, 8))
  const text = head.toString('latin1')
  if (text.startsWith('FEA1')) throw damaged('Feather version 1 is not read; write it as version 2', at)
  if (text.startsWith('ARROW1')) {
    const tail = Buffer.from(await opened.read(size - 10, size))
    const whole = size >= 22 && tail.subarray(4).toString('latin1') === 'ARROW1'
    const footer = whole ? tail.readInt32LE(0) : 0
    if (footer <= 0 || footer > size - 18) throw damaged('it is cut: its end is missing', at)
    await checkFile(opened, await opened.read(size - 10 - footer, size - 10), at)
    return
  }
  await checkStream(opened, at)
}

/** The codecs of packed record batches, where the user has set none. */
async function addCodecs({ compressionRegistry, CompressionType }: Arrow): Promise<void> {
  const { LZ4_FRAME, ZSTD } = CompressionType
  if (compressionRegistry.get(LZ4_FRAME) === null) compressionRegistry.set(LZ4_FRAME, { decode: lz4Frame })
  if (compressionRegistry.get(ZSTD) !== null) return
  const name = 'hyparquet-compressors'
  const decode = await optional(name, op, () => import('hyparquet-compressors')).then(
    ({ decompressZstd }) =>
      (bytes: Uint8Array) =>
        decompressZstd(bytes),
    // Thrown where such a body is met, and not for a file that has none.
    (absent) => () => {
      throw absent
    },
  )
  compressionRegistry.set(ZSTD, { decode })
}

/** What a column becomes, and how many milliseconds its unit of time has. */
function kindOf(
  { DataType: Is, Precision, TimeUnit }: Arrow,
  name: string,
  type: DataType,
  bigAsText: boolean,
  at: Where,
): { type: ColumnType; scale: number } {
  const plain = (column: ColumnType, scale = 1) => ({ type: column, scale })
  if (Is.isDictionary(type)) {
    if (Is.isUtf8(type.dictionary) || Is.isLargeUtf8(type.dictionary)) return plain('text')
    throw unsupported(name, `categories of ${type.dictionary}`, at)
  }
  if (Is.isUtf8(type) || Is.isLargeUtf8(type) || Is.isUtf8View(type)) return plain('text')
  if (Is.isInt(type)) return plain(bigAsText && type.bitWidth === 64 ? 'text' : 'float64')
  if (Is.isFloat(type)) return plain(type.precision === Precision.SINGLE ? 'float32' : 'float64')
  if (Is.isBool(type) || Is.isDecimal(type) || Is.isNull(type)) return plain('float64')
  if (Is.isDate(type) || Is.isTimestamp(type)) return plain('date')
  if (Is.isTime(type) || Is.isDuration(type)) {
    const milliseconds = {
      [TimeUnit.SECOND]: 1000,
      [TimeUnit.MILLISECOND]: 1,
      [TimeUnit.MICROSECOND]: 1e-3,
      [TimeUnit.NANOSECOND]: 1e-6,
    }
    return plain('float64', milliseconds[type.unit as keyof typeof milliseconds])
  }
  throw unsupported(name, String(type), at)
}

/** The values of a column as numbers, bigints or texts, null for none; typed arrays as they are where none is missing. */
function valuesOf(arrow: Arrow, column: Vector, name: string, at: Where): ArrayLike<unknown> {
  const { DataType: Is } = arrow
  const { type } = column
  const parts = column.data.map((data: Data): ArrayLike<unknown> => {
    checkBuffers(arrow, data, name, at)
    const own = new arrow.Vector([data])
    if (Is.isDictionary(type)) {
      for (const piece of (data.dictionary as Vector).data) checkBuffers(arrow, piece, name, at)
      const labels = Array.from((data.dictionary as Vector).toArray() as Iterable<unknown>)
      const ids = data.values as ArrayLike<number | bigint>
      return Array.from({ length: data.length }, (_, row) => {
        if (!data.getValid(row)) return null
        const id = Number(ids[row])
        if (id >= 0 && id < labels.length) return labels[id]
        throw damaged(`column ${name} refers to category ${id} of ${labels.length}`, at)
      })
    }
    if (Is.isDecimal(type)) {
      return Array.from({ length: data.length }, (_, row) =>
        data.getValid(row) ? decimal(data, row, type.scale) : null,
      )
    }
    const halves = Is.isFloat(type) && type.precision === arrow.Precision.HALF
    if ((Is.isInt(type) || Is.isFloat(type)) && !halves && data.nullCount === 0) {
      return (data.values as Float64Array).subarray(0, data.length)
    }
    return Array.from(own)
  })
  return parts.length === 1 ? (parts[0] as ArrayLike<unknown>) : parts.flatMap((part) => Array.from(part))
}

/** A decimal is a whole number of 32-bit words, lowest first, in two's complement; its nearest double is that of its digits. */
function decimal(data: Data, row: number, scale: number): number {
  const { stride } = data
  const words = data.values as Uint32Array
  let value = 0n
  for (let i = stride - 1; i >= 0; i--) value = (value << 32n) | BigInt(words[row * stride + i] as number)
  return Number(`${BigInt.asIntN(32 * stride, value)}e${-scale}`)
}

/** Buffers must be as long as the rows say, or rows would be made up. */
function checkBuffers({ DataType: Is }: Arrow, data: Data, name: string, at: Where): void {
  const { type, length, values, valueOffsets: offsets } = data
  const short = (what: string) => damaged(`the ${what} of column ${name} are cut`, at)
  if (Is.isNull(type) || length === 0) return
  if (data.nullCount > 0 && data.nullBitmap.length * 8 < (data.offset % 8) + length)
    throw short('marks of missing values')
  if (Is.isUtf8(type) || Is.isLargeUtf8(type)) {
    if (offsets.length < length + 1) throw short('offsets')
    let before = Number(offsets[0])
    for (let row = 1; row <= length; row++) {
      const end = Number(offsets[row])
      if (end < before) throw damaged(`the offsets of column ${name} run backwards in row ${row - 1}`, at)
      before = end
    }
    if (Number(offsets[0]) < 0 || before > values.length) throw short('texts')
    return
  }
  if (Is.isUtf8View(type)) return // checked where a text is taken
  const needed = Is.isBool(type) ? Math.ceil(((data.offset % 8) + length) / 8) : length * data.stride
  if (values === undefined || values.length < needed) throw short('values')
}
