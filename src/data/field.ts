// One field of a dataset: rows that live once in the engine, from which batches are gathered there.
import { ArgumentError, DTypeError, OutOfRangeError, ShapeError } from '../errors.js'
import { checkBuffer } from '../tensor/check-buffer.js'
import { type TypedArray, tensor } from '../tensor/create.js'
import type { Device } from '../tensor/device.js'
import type { DType } from '../tensor/dtype.js'
import { unscope } from '../tensor/lifetime.js'
import { checkShape, elements, type Shape, sameShape, show } from '../tensor/shape.js'
import { call, Tensor } from '../tensor/tensor.js'
import { Variable } from '../tensor/variable.js'

/** One row: a number, or an array of rows. */
export type Row = number | boolean | bigint | TypedArray | readonly Row[]

/**
 * What a field may be given as, the first axis being the rows: nested arrays, in which sequences may differ in length; a typed array, flat or with its
 * shape; a tensor; rows that are made or read when they are asked for.
 */
export type FieldData =
  | Tensor
  | TypedArray
  | { readonly data: TypedArray; readonly shape: Shape }
  | readonly Row[]
  | Rows

export interface FieldOptions {
  /** Where the rows are put; tensors stay where they are if none is named. */
  device: Device | undefined
  dtype: DType | undefined
  padding: number | undefined
}

/** The rows of a batch: which, and where they start if they follow one another. */
export interface Selection {
  readonly rows: Int32Array
  readonly start: number | undefined
}

/** The pass of a loader over its rows, from which random numbers follow. */
export interface Pass {
  /** Epochs of the loader before this one. */
  readonly epoch: number
  /** The seed of the loader, a whole number below 2⁶⁴. */
  readonly seed: string
}

/** Rows from which a loader makes batches: those of arrays are kept in the engine; others are made or read when a batch asks for them. */
export abstract class Rows {
  abstract readonly rows: number
  /** The length of each row; undefined where rows are scalars or all of one length. */
  readonly lengths: Int32Array | undefined
  /** The tensor of a batch: [B, …], or [B, T, …] with T the longest of these sequences. */
  abstract batch(selection: Selection): Tensor
}

/** Rows that must be waited for: `read` gives what makes the tensor of a batch, to be called once. */
export abstract class DistantRows extends Rows {
  abstract read(selection: Selection, pass: Pass): Promise<() => Tensor>

  override batch(): Tensor {
    throw new ArgumentError('Loader: these rows must be read first', { op: 'Loader' })
  }
}

export function makeField(name: string, data: FieldData, options: FieldOptions): Rows {
  if (data instanceof Rows) return data
  if (data instanceof Tensor) return new Rectangle(name, ownHandle(data), options)
  if (ArrayBuffer.isView(data)) return new Rectangle(name, tensor(data as TypedArray, typed(options.dtype)), options)
  if (Array.isArray(data)) return fromRows(name, data as readonly Row[], options)
  if (typeof data === 'object' && data !== null && 'data' in data && ArrayBuffer.isView(data.data)) {
    return new Rectangle(
      name,
      tensor(data.data, { ...typed(options.dtype), shape: checkShape(data.shape, 'Loader') }),
      options,
    )
  }
  const got = data === null ? 'null' : typeof data
  throw new ArgumentError(`Loader: ${name} must be arrays, a typed array, { data, shape } or a tensor, got ${got}`, {
    op: 'Loader',
    got,
  })
}

const typed = (dtype: DType | undefined): { dtype?: DType } => (dtype === undefined ? {} : { dtype })

/** A handle of the loader's own, so that the user may dispose theirs; a variable is copied, since it changes in place. */
function ownHandle(data: Tensor): Tensor {
  return data instanceof Variable ? call('clone', [data.detach()], {}) : data.detach()
}

/** Rows of one shape. */
class Rectangle extends Rows {
  readonly rows: number
  override readonly lengths: Int32Array | undefined
  readonly #data: Tensor

  constructor(name: string, data: Tensor, { device, dtype }: FieldOptions) {
    super()
    if (data.rank === 0)
      throw new ShapeError(`Loader: ${name} must have rows, got a scalar`, {
        op: 'Loader',
        expected: '[N, …]',
        got: '[]',
      })
    this.#data = data.to(dtype ?? data.dtype, device ?? data.device)
    unscope(this.#data)
    const [rows, length] = data.shape as [number, number | undefined]
    this.rows = rows
    this.lengths = length === undefined ? undefined : new Int32Array(rows).fill(length)
  }

  batch({ rows, start }: Selection): Tensor {
    if (start !== undefined) return this.#data.slice(0, start, start + rows.length)
    return this.#data.indexSelect(0, tensor(int64(rows)).to(this.#data.device))
  }
}

/** Sequences of different lengths, one after another in one tensor whose last row is the padding. */
class Sequences extends Rows {
  override readonly lengths: Int32Array
  readonly #offsets: Int32Array
  readonly #steps: Tensor

  constructor(steps: Tensor, lengths: Int32Array) {
    super()
    this.lengths = lengths
    this.#offsets = new Int32Array(lengths.length)
    for (let i = 1; i < lengths.length; i++)
      this.#offsets[i] = (this.#offsets[i - 1] as number) + (lengths[i - 1] as number)
    this.#steps = steps
    unscope(steps)
  }

  override get rows(): number {
    return this.lengths.length
  }

  batch({ rows }: Selection): Tensor {
    const [count, ...trailing] = this.#steps.shape as [number, ...number[]]
    let longest = 0
    for (const row of rows) longest = Math.max(longest, this.lengths[row] as number)
    const positions = new Int32Array(rows.length * longest).fill(count - 1)
    rows.forEach((row, i) => {
      const offset = this.#offsets[row] as number
      const length = this.lengths[row] as number
      for (let t = 0, at = i * longest; t < length; t++) positions[at + t] = offset + t
    })
    const index = tensor(int64(positions)).to(this.#steps.device)
    return this.#steps.indexSelect(0, index).reshape([rows.length, longest, ...trailing])
  }
}

function fromRows(name: string, data: readonly Row[], options: FieldOptions): Rows {
  const values = new Values(name)
  const lengths = new Int32Array(data.length)
  const scalar = typeof data[0] !== 'object'
  let trailing: Shape | undefined
  data.forEach((row, i) => {
    const shape = shapeOf(row)
    // An empty sequence does not tell what its steps look like.
    if (shape.length > 1 || shape[0] !== 0) trailing ??= shape.slice(1)
    if (
      (shape.length === 0) !== scalar ||
      ((shape.length > 1 || shape[0] !== 0) && !sameShape(shape.slice(1), trailing ?? []))
    ) {
      throw new ShapeError(
        `Loader: ${name}: only the lengths of its sequences may differ; row ${i} is ${show(shape)}`,
        { op: 'Loader', got: show(shape) },
      )
    }
    lengths[i] = shape[0] ?? 1
    values.add(row, shape, 0, i)
  })
  const rest = trailing ?? []
  if (scalar || data.length === 0)
    return new Rectangle(name, values.tensor([data.length, ...rest], options.dtype), options)
  const first = lengths[0] as number
  if (lengths.every((length) => length === first))
    return new Rectangle(name, values.tensor([data.length, first, ...rest], options.dtype), options)
  if (options.padding === undefined) {
    throw new ArgumentError(
      `Loader: the sequences of ${name} differ in length; say what fills the rest: padding: { ${name}: 0 }`,
      {
        op: 'Loader',
        expected: `padding.${name}`,
        got: 'none',
      },
    )
  }
  values.fill(options.padding, elements(rest))
  const total = lengths.reduce((sum, length) => sum + length, 0)
  return new Sequences(values.tensor([total + 1, ...rest], options.dtype).to(options.device ?? 'cpu'), lengths)
}

function shapeOf(row: Row): number[] {
  const shape: number[] = []
  let level: Row | undefined = row
  for (; typeof level === 'object' && level !== null; level = (level as readonly Row[])[0]) {
    if (ArrayBuffer.isView(level)) checkBuffer(level, 'Loader')
    shape.push(level.length)
  }
  return shape
}

/** The elements of nested arrays, one after another. */
class Values {
  readonly #name: string
  #flat = new Float64Array(1024)
  #length = 0
  #kind: string | undefined
  #whole = true

  constructor(name: string) {
    this.#name = name
  }

  /** What the elements are when nothing is said: bool, int64 for whole numbers, else float32. */
  get dtype(): DType {
    return this.#kind === 'boolean' ? 'bool' : this.#whole && this.#length > 0 ? 'int64' : 'float32'
  }

  add(item: Row, shape: Shape, depth: number, row: number): void {
    if (typeof item === 'object' && item !== null) {
      if (item.length !== shape[depth]) throw this.#ragged(row, shape)
      for (const inner of item) this.add(inner, shape, depth + 1, row)
      return
    }
    if (depth !== shape.length) throw this.#ragged(row, shape)
    const kind = typeof item
    this.#kind ??= kind
    if (kind !== this.#kind || (kind !== 'number' && kind !== 'boolean' && kind !== 'bigint')) {
      const got = item === null || item === undefined ? String(item) : kind
      throw new DTypeError(
        `Loader: ${this.#name}: row ${row} holds a ${got}; elements must all be numbers, all booleans or all bigints`,
        { op: 'Loader', got },
      )
    }
    const value = Number(item)
    if (kind === 'bigint' && !Number.isSafeInteger(value)) {
      throw new OutOfRangeError(`Loader: ${this.#name}: row ${row} holds ${item}, beyond ±2⁵³; pass a BigInt64Array`, {
        op: 'Loader',
        got: String(item),
      })
    }
    if (!Number.isSafeInteger(value)) this.#whole = false
    this.#push(value)
  }

  fill(value: number, count: number): void {
    if (!Number.isSafeInteger(value)) this.#whole = false
    for (let i = 0; i < count; i++) this.#push(value)
  }

  tensor(shape: Shape, dtype: DType = this.dtype): Tensor {
    const flat = this.#flat.subarray(0, this.#length)
    return dtype === 'int64' && this.#whole ? tensor(int64(flat), { shape }) : tensor(flat, { dtype, shape })
  }

  #push(value: number): void {
    if (this.#length === this.#flat.length) {
      const wider = new Float64Array(this.#length * 2)
      wider.set(this.#flat)
      this.#flat = wider
    }
    this.#flat[this.#length++] = value
  }

  #ragged(row: number, shape: Shape): ShapeError {
    return new ShapeError(
      `Loader: ${this.#name}: the arrays of row ${row} differ in length or depth; the first ones make ${show(shape)}`,
      {
        op: 'Loader',
        expected: show(shape),
      },
    )
  }
}

/** Whole numbers as int64, written by halves: making bigints takes twenty times longer. */
export function int64(values: Int32Array | Float64Array): BigInt64Array {
  const out = new BigInt64Array(values.length)
  const halves = new Int32Array(out.buffer)
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number
    halves[2 * i] = value
    halves[2 * i + 1] = Math.floor(value / 2 ** 32)
  }
  return out
}
