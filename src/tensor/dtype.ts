// Element types: their codes on the wire, sizes, JavaScript arrays, and PyTorch's promotion between them.
import { DTypeError } from '../errors.js'
import { told } from '../told.js'
import type { Device } from './device.js'

/** Element types. `bfloat16` and `float16` have no JavaScript array: their bits are read as a `Uint16Array`. `float16` lives on CUDA devices only. */
export type DType = 'float32' | 'float64' | 'bfloat16' | 'float16' | 'int64' | 'int32' | 'uint8' | 'bool'
export type FloatDType = 'float32' | 'float64' | 'bfloat16' | 'float16'

export interface ArrayOf {
  float32: Float32Array
  float64: Float64Array
  bfloat16: Uint16Array
  float16: Uint16Array
  int64: BigInt64Array
  int32: Int32Array
  uint8: Uint8Array
  bool: Uint8Array
}

/** What one element is in JavaScript. */
export interface ElementOf {
  float32: number
  float64: number
  bfloat16: number
  float16: number
  int64: number
  int32: number
  uint8: number
  bool: boolean
}

type Category = 'bool' | 'integer' | 'float'

interface DTypeInfo {
  code: number
  bytes: number
  category: Category
  array: new (buffer: ArrayBuffer) => ArrayOf[DType]
}

export const dtypes: { readonly [D in DType]: DTypeInfo } = {
  float32: { code: 0, bytes: 4, category: 'float', array: Float32Array },
  float64: { code: 1, bytes: 8, category: 'float', array: Float64Array },
  bfloat16: { code: 2, bytes: 2, category: 'float', array: Uint16Array },
  int64: { code: 3, bytes: 8, category: 'integer', array: BigInt64Array },
  bool: { code: 4, bytes: 1, category: 'bool', array: Uint8Array },
  int32: { code: 5, bytes: 4, category: 'integer', array: Int32Array },
  uint8: { code: 6, bytes: 1, category: 'integer', array: Uint8Array },
  float16: { code: 7, bytes: 2, category: 'float', array: Uint16Array },
}

const rank: Record<Category, number> = { bool: 0, integer: 1, float: 2 }

export function isDType(value: unknown): value is DType {
  return typeof value === 'string' && Object.hasOwn(dtypes, value)
}

/**
 * The dtype that a user named, for a tensor on `device`.
 *
 * @throws DTypeError (`ERR_DTYPE`) for an unknown name, and for float16 on the CPU.
 */
export function checkDType(value: unknown, op: string, device: Device = 'cpu'): DType {
  const expected = Object.keys(dtypes)
    .filter((name) => name !== 'float16' || device !== 'cpu')
    .join(', ')
  if (value === 'float16' && device === 'cpu') {
    throw new DTypeError(`${op}: float16 is refused on the CPU, where one matmul takes seconds; use bfloat16`, {
      op,
      expected,
      got: 'float16',
    })
  }
  if (isDType(value)) return value
  throw new DTypeError(`${op}: dtype must be one of ${expected}, got ${told(value)}`, {
    op,
    expected,
    got: told(value),
  })
}

export function isFloat(dtype: DType): dtype is FloatDType {
  return dtypes[dtype].category === 'float'
}

export function isInteger(dtype: DType): boolean {
  return dtypes[dtype].category === 'integer'
}

export function sameCategory(a: DType, b: DType): boolean {
  return dtypes[a].category === dtypes[b].category
}

/** The dtype of an arithmetic result of two tensors, as PyTorch promotes: category first, then width. */
export function promote(a: DType, b: DType): DType {
  if (a === b) return a
  const byCategory = rank[dtypes[a].category] - rank[dtypes[b].category]
  if (byCategory !== 0) return byCategory > 0 ? a : b
  if (dtypes[a].bytes === dtypes[b].bytes) return 'float32' // bfloat16 and float16: neither holds the other
  // Two of one category, by width: bfloat16 < float32 < float64, uint8 < int32 < int64.
  return dtypes[a].bytes > dtypes[b].bytes ? a : b
}

/** The dtype of a tensor combined with a JavaScript number: the number changes the category, never the width. */
export function promoteScalar(tensor: DType, scalar: number | boolean): DType {
  if (typeof scalar === 'boolean') return tensor
  const category = dtypes[tensor].category
  if (category === 'float') return tensor
  if (!Number.isInteger(scalar)) return 'float32'
  return category === 'integer' ? tensor : 'int64'
}

/** What a function of real numbers gives: floats stay, the rest becomes float32. */
export function floating(dtype: DType): DType {
  return isFloat(dtype) ? dtype : 'float32'
}

/** A float16 as a number, exactly: sign, 5 bits of exponent, 10 of fraction. */
export function fromHalf(bits: number): number {
  const sign = bits >> 15 === 1 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

export function fromFloat16(bits: Uint16Array): Float32Array {
  return Float32Array.from(bits, fromHalf)
}

/** The float value of the bits of a bfloat16: the upper half of a float32. */
export function fromBfloat16(bits: Uint16Array): Float32Array {
  const wide = new Uint32Array(bits.length)
  for (let i = 0; i < bits.length; i++) wide[i] = (bits[i] as number) << 16
  return new Float32Array(wide.buffer)
}
