// openRows: a dataset larger than memory, whose rows are read from a file when a batch asks for them.
import { open } from 'node:fs/promises'
import { ArgumentError, DataError, FileError } from '../errors.js'
import { native } from '../native.js'
import { type Device, type DeviceLike, device } from '../tensor/device.js'
import { checkDType, type DType, dtypes } from '../tensor/dtype.js'
import { begin } from '../tensor/queue.js'
import { checkShape, elements, type Shape, whole } from '../tensor/shape.js'
import { call, type Tensor } from '../tensor/tensor.js'
import { object } from './check.js'
import { DistantRows, type Selection } from './field.js'
import { filePath } from './source.js'

export interface RowLayout {
  /** How elements are stored, little-endian. */
  dtype: DType
  /** The shape of one row; [] for a number. */
  shape: Shape
  /** Bytes before the first row. @default 0 */
  offset?: number
  /** How many rows there are (default: as many as the file holds; then what is left over must not be part of a row). */
  rows?: number
  /** Where batches are put. @default 'cpu' */
  device?: DeviceLike
}

/**
 * Rows of equal size that lie one after another in a file, as a field of a `Loader`. The rows of a batch are read by position, off the JavaScript thread, while
 * the batch before is being computed; nothing else of the file is kept, so it may be larger than memory.
 *
 * ```ts
 * await writeFile('x.bin', Float32Array.from({ length: 6 }, (_, i) => i))
 * const x = await data.openRows('x.bin', { dtype: 'float32', shape: [2] })
 * for await (const batch of new data.Loader({ x }, { batch: 2 })) console.log(await batch.x.toArray())   // [ [ 0, 1 ], [ 2, 3 ] ] …
 * ```
 *
 * Differs from a memory map: a read that fails is an error of that batch (`ERR_IO`) and not the end of the process, and resident memory does not grow.
 *
 * @throws FileError (`ERR_IO`) where the file cannot be read; DataError (`ERR_DATA`) where it does not hold whole rows, or not as many as `rows` says.
 */
export async function openRows(path: string | URL, layout: RowLayout): Promise<FileRows> {
  const op = 'openRows'
  object(layout, 'layout', op)
  const dtype = checkDType(layout.dtype, op)
  const shape = checkShape(layout.shape, op)
  const offset = whole(layout.offset ?? 0, 'offset', op)
  const size = elements(shape) * dtypes[dtype].bytes
  if (size === 0) throw new ArgumentError(`${op}: a row must have elements, got shape [${shape.join(', ')}]`, { op })
  const place = device(layout.device ?? 'cpu', op)
  const absolute = await filePath(path, op)
  const file = await open(absolute)
  let bytes: number
  try {
    bytes = (await file.stat()).size - offset
  } finally {
    await file.close()
  }
  const rows = layout.rows === undefined ? bytes / size : whole(layout.rows, 'rows', op, 1)
  if (!Number.isInteger(rows) || rows < 1 || rows * size > bytes) {
    const expected = layout.rows === undefined ? `a multiple of ${size} bytes` : `at least ${rows * size} bytes`
    throw new DataError(`${op}: ${absolute} must hold ${expected} after the first ${offset}, got ${bytes}`, {
      op,
      expected,
      got: String(bytes),
    })
  }
  begin()
  return new FileRows(absolute, rows, { dtype, shape, offset, size, device: place })
}

interface Stored {
  dtype: DType
  shape: Shape
  offset: number
  size: number
  device: Device
}

/** Rows in a file; made by `openRows`. */
export class FileRows extends DistantRows {
  readonly path: string
  readonly rows: number
  readonly #stored: Stored

  /** @internal */
  constructor(path: string, rows: number, stored: Stored) {
    super()
    this.path = path
    this.rows = rows
    this.#stored = stored
  }

  get dtype(): DType {
    return this.#stored.dtype
  }

  /** The shape of one row. */
  get shape(): Shape {
    return this.#stored.shape
  }

  /** @internal Bytes of a row. */
  get bytes(): number {
    return this.#stored.size
  }

  override read({ rows }: Selection): Promise<() => Tensor> {
    return this.gather(Float64Array.from(rows))
  }

  /** @internal Rows by their positions, each in [0, rows). */
  async gather(rows: Float64Array): Promise<() => Tensor> {
    const { dtype, shape, offset, size, device: place } = this.#stored
    let staging: number
    try {
      staging = await native().stageRows(this.path, offset, size, rows)
    } catch (cause) {
      const [, , message = String(cause)] = /^(ERR_\w+):\d*:\d*: (.*)$/s.exec((cause as Error).message) ?? []
      throw new FileError(`Loader: ${this.path}: ${message}`, { op: 'Loader', cause })
    }
    return () => call('fromBytes', [], { staging, shape: [rows.length, ...shape], dtype, device: place })
  }
}
