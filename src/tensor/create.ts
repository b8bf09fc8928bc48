// Making tensors: from JavaScript data, constants and ranges.
import { ArgumentError, DTypeError, OutOfRangeError, ShapeError } from '../errors.js'
import { told } from '../told.js'
import { checkBuffer } from './check-buffer.js'
import { type DeviceLike, device } from './device.js'
import { type ArrayOf, checkDType, type DType, dtypes } from './dtype.js'
import { needOptions } from './options.js'
import { stage } from './queue.js'
import { needTensor } from './record.js'
import { checkShape, elements, type Shape, show, whole } from './shape.js'
import { call, type Nested, type Tensor } from './tensor.js'

export interface TensorOptions<D extends DType = DType> {
  dtype?: D
  device?: DeviceLike
}

export type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
export type TensorData = Nested<number> | Nested<boolean> | Nested<bigint> | TypedArray

/** The dtype that an array stands for when none is named. */
type DTypeOf<T> = T extends Float64Array
  ? 'float64'
  : T extends
        | BigInt64Array
        | Int8Array
        | Uint8Array
        | Int16Array
        | Uint16Array
        | Int32Array
        | Uint32Array
        | Nested<bigint>
    ? 'int64'
    : T extends Nested<boolean>
      ? 'bool'
      : 'float32'

/**
 * A tensor of the given numbers, copied at once.
 *
 * Nested arrays give their own shape; a typed array is flat unless `shape` is named. Without `dtype`: numbers and `Float32Array` are float32,
 * `Float64Array` float64, integer arrays and bigints int64, booleans bool. Differs from `torch.tensor`: whole numbers are float32 too, since
 * JavaScript does not tell 1 from 1.0; int32 and uint8 are made only by name.
 *
 * @throws ShapeError for ragged arrays; DTypeError for mixed elements; OutOfRangeError where a number does not fit its integer dtype;
 * ArgumentError for detached, resizable or shared buffers.
 */
export function tensor<const T extends TensorData, D extends DType = DTypeOf<T>>(
  data: T,
  options: TensorOptions<D> & { shape?: Shape } = {},
): Tensor<D> {
  const { dtype, device: where = 'cpu', shape } = needOptions(options, 'tensor')
  const place = device(where, 'tensor')
  const { values, own } = ArrayBuffer.isView(data) ? fromView(data as TypedArray) : fromNested(data as Nested<number>)
  const found = values.shape
  const target = shape === undefined ? found : checkShape(shape, 'tensor')
  if (elements(target) !== elements(found)) {
    throw new ShapeError(
      `tensor: ${show(found)} has ${elements(found)} elements, ${show(target)} has ${elements(target)}`,
      {
        op: 'tensor',
        expected: show(target),
        got: show(found),
      },
    )
  }
  const type = dtype === undefined ? own : checkDType(dtype, 'tensor', place)
  const stored = type === 'bfloat16' || type === 'float16' ? 'float32' : type
  const staging = stage(bytesOf(convert(values.flat, stored)))
  const made = call('fromBytes', [], { staging, shape: target, dtype: stored, device: place })
  return (type === stored ? made : made.to(type)) as Tensor<D>
}

interface Flat {
  flat: ArrayLike<Leaf>
  shape: Shape
}

function fromView(data: TypedArray): { values: Flat; own: DType } {
  checkBuffer(data)
  const own = data instanceof Float32Array ? 'float32' : data instanceof Float64Array ? 'float64' : 'int64'
  if (data instanceof DataView || !('length' in data))
    throw new ArgumentError('tensor: a DataView has no elements; pass a typed array', { op: 'tensor' })
  return { values: { flat: data, shape: [data.length] }, own }
}

type Leaf = number | boolean | bigint

function fromNested(data: Nested<Leaf>): { values: Flat; own: DType } {
  const shape: number[] = []
  for (let level: Nested<Leaf> | undefined = data; Array.isArray(level); level = level[0]) shape.push(level.length)
  const flat: Leaf[] = []
  collect(data, 0, shape, flat)
  const kind = flat.length === 0 ? 'number' : typeof flat[0]
  if (kind !== 'number' && kind !== 'boolean' && kind !== 'bigint') {
    throw new DTypeError(
      `tensor: elements must be numbers, booleans or bigints, got ${flat[0] === null ? 'null' : kind}`,
      { op: 'tensor', got: kind },
    )
  }
  const odd = flat.find((x) => typeof x !== kind)
  if (odd !== undefined)
    throw new DTypeError(`tensor: elements must all be of one type, got ${kind} and ${typeof odd}`, {
      op: 'tensor',
      got: typeof odd,
    })
  return {
    values: { flat: flat as number[], shape },
    own: kind === 'number' ? 'float32' : kind === 'boolean' ? 'bool' : 'int64',
  }
}

function collect(data: Nested<Leaf>, depth: number, shape: Shape, out: Leaf[]): void {
  if (!Array.isArray(data)) {
    if (depth !== shape.length) throw ragged(depth, shape)
    out.push(data)
    return
  }
  if (depth >= shape.length || data.length !== shape[depth]) throw ragged(depth, shape)
  for (const item of data) collect(item, depth + 1, shape, out)
}

function ragged(depth: number, shape: Shape): ShapeError {
  return new ShapeError(
    `tensor: the arrays differ in length or depth at level ${depth}; the first ones make ${show(shape)}`,
    { op: 'tensor', expected: show(shape) },
  )
}

function convert(flat: ArrayLike<number | bigint | boolean>, dtype: DType): ArrayOf[DType] {
  // A Uint8Array holds any byte, a bool 0 and 1 only.
  if (dtype !== 'bool' && flat instanceof dtypes[dtype].array) return flat as ArrayOf[DType]
  switch (dtype) {
    case 'float32':
      return Float32Array.from(flat, Number)
    case 'float64':
      return Float64Array.from(flat, Number)
    case 'int64':
      return BigInt64Array.from(flat, toBigInt)
    case 'int32':
      return Int32Array.from(flat, within(dtype, -(2 ** 31), 2 ** 31 - 1))
    case 'uint8':
      return Uint8Array.from(flat, within(dtype, 0, 255))
    case 'bool':
      return Uint8Array.from(flat, (x) => (x ? 1 : 0))
    case 'bfloat16':
    case 'float16':
      throw new DTypeError(`tensor: ${dtype} is made from float32`, { op: 'tensor' })
  }
}

/** Whole numbers of a narrow dtype. */
function within(dtype: DType, low: number, high: number): (value: number | bigint | boolean) => number {
  return (value) => {
    const number = Number(value)
    if (Number.isInteger(number) && number >= low && number <= high) return number
    throw new OutOfRangeError(`tensor: ${dtype} elements must be whole numbers from ${low} to ${high}, got ${value}`, {
      op: 'tensor',
      expected: `${low} … ${high}`,
      got: String(value),
    })
  }
}

const limit = 2n ** 63n

function toBigInt(value: number | bigint | boolean): bigint {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw new OutOfRangeError(`tensor: int64 elements must be whole numbers within ±2⁵³, got ${value}`, {
      op: 'tensor',
      got: String(value),
    })
  }
  const big = BigInt(value)
  if (big >= limit || big < -limit)
    throw new OutOfRangeError(`tensor: ${big} does not fit an int64`, { op: 'tensor', got: String(big) })
  return big
}

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}

/** Every element `value`. */
export function full<D extends DType = 'float32'>(
  shape: Shape,
  value: number,
  options: TensorOptions<D> = {},
): Tensor<D> {
  const { dtype, device: where = 'cpu' } = needOptions(options, 'full')
  if (typeof value !== 'number')
    throw new ArgumentError(`full: value must be a number, got ${typeof value}`, { op: 'full', got: typeof value })
  const place = device(where, 'full')
  return call<D>('full', [], {
    shape: checkShape(shape, 'full'),
    value,
    dtype: checkDType(dtype ?? 'float32', 'full', place),
    device: place,
  })
}

export function zeros<D extends DType = 'float32'>(shape: Shape, options?: TensorOptions<D>): Tensor<D> {
  return full(shape, 0, options)
}

export function ones<D extends DType = 'float32'>(shape: Shape, options?: TensorOptions<D>): Tensor<D> {
  return full(shape, 1, options)
}

/** Zeros of the shape, dtype and device of `x`. */
export function zerosLike<D extends DType>(x: Tensor<D>): Tensor<D> {
  needTensor(x, 'zerosLike')
  return full<D>(x.shape, 0, { dtype: x.dtype, device: x.device })
}

export function onesLike<D extends DType>(x: Tensor<D>): Tensor<D> {
  needTensor(x, 'onesLike')
  return full<D>(x.shape, 1, { dtype: x.dtype, device: x.device })
}

/**
 * start, start + step, … below `end`. With one number: 0 … n−1. Whole numbers give int64 unless `dtype` is named.
 */
export function arange(end: number): Tensor<'int64'>
export function arange<D extends DType = 'int64'>(
  start: number,
  end: number,
  options?: TensorOptions<D> & { step?: number },
): Tensor<D>
export function arange(first: number, second?: number, options: TensorOptions & { step?: number } = {}): Tensor {
  const { step = 1, dtype, device: where = 'cpu' } = needOptions(options, 'arange')
  const [start, end] = second === undefined ? [0, first] : [first, second]
  if (![start, end, step].every(Number.isFinite) || step === 0) {
    throw new ArgumentError(
      `arange: start, end and step must be finite and step not 0, got ${told([start, end, step])}`,
      { op: 'arange' },
    )
  }
  const integers = [start, end, step].every(Number.isInteger)
  const place = device(where, 'arange')
  return call('arange', [], {
    start,
    end,
    step,
    dtype: checkDType(dtype ?? (integers ? 'int64' : 'float32'), 'arange', place),
    device: place,
  })
}

/** The identity matrix [n, n]. */
export function eye(n: number, options?: TensorOptions<'float32'>): Tensor<'float32'> {
  const i = arange(whole(n, 'n', 'eye'))
  return i
    .unsqueeze(0)
    .eq(i.unsqueeze(1))
    .to('float32', options?.device ?? 'cpu')
}
