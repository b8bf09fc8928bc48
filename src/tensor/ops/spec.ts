// What the table of operations says of each: the shape rule and the encoding of its attributes.
import { ArgumentError, DeviceError, DTypeError, ShapeError } from '../../errors.js'
import { type Device, deviceCode } from '../device.js'
import { type DType, dtypes, isFloat, isInteger, promote, sameCategory } from '../dtype.js'
import type { Meta } from '../record.js'
import { type Shape, show } from '../shape.js'

export type Input = Meta | undefined

export interface OpSpec<A> {
  /** The results for these inputs; throws where they do not fit. */
  outputs(inputs: readonly Input[], attributes: A): Meta[]
  /** The attributes as words, as docs/protocol.md orders them. */
  attributes(attributes: A): readonly number[]
  /** Results share the storage of an input. */
  view?: true
  /** No gradient flows through it. */
  differentiable?: false
  /** Inputs may be on different devices. */
  anyDevice?: true
}

/** Fixes the attribute type of an entry of the table. */
export function op<A>(spec: OpSpec<A>): OpSpec<A> {
  return spec
}

export type None = Record<never, never>
const noWords: readonly number[] = []
export const nothing = (): readonly number[] => noWords

/** Where and as what a new tensor is made. */
export interface Place {
  shape: Shape
  dtype: DType
  device: Device
}

export function placeWords({ dtype, device, shape }: Place): number[] {
  return [dtypes[dtype].code, deviceCode(device), shape.length, ...shape]
}

export function list(items: readonly number[]): number[] {
  return [items.length, ...items]
}

export const flag = (value: boolean): number => (value ? 1 : 0)

/** The input at `index`. @throws ArgumentError where it is absent: undefined in place of a tensor. */
export function at(inputs: readonly Input[], index: number): Meta {
  const input = inputs[index]
  if (input !== undefined) return input
  throw new ArgumentError('a tensor is needed, got undefined', { expected: 'a tensor', got: 'undefined' })
}

export function like(x: Meta, shape: Shape = x.shape, dtype: DType = x.dtype): Meta {
  return { shape, dtype, device: x.device }
}

export function needRank(x: Meta, rank: number, op: string, name: string, form: string): void {
  if (x.shape.length !== rank) throw badShape(op, name, form, x.shape)
}

export function badShape(op: string, name: string, form: string, got: Shape): ShapeError {
  return new ShapeError(`${op}: ${name} must be ${form}, got ${show(got)}`, { op, expected: form, got: show(got) })
}

export function needFloat(x: Meta, op: string, name = 'input'): void {
  if (!isFloat(x.dtype)) throw badDType(op, name, 'a float dtype', x.dtype)
}

/** For operations that PyTorch has for numbers only. */
export function needNumbers(x: Meta, op: string, name = 'input'): void {
  if (x.dtype === 'bool') throw badDType(op, name, 'a dtype of numbers', 'bool')
}

export function needDType(x: Meta, dtype: DType, op: string, name: string): void {
  if (x.dtype !== dtype) throw badDType(op, name, dtype, x.dtype)
}

/** Positions and classes: any dtype of whole numbers. */
export function needIndex(x: Meta, op: string, name = 'index'): void {
  if (isInteger(x.dtype)) return
  const expected = 'int64, int32 or uint8'
  throw new DTypeError(`${op}: ${name} must be ${expected}, got ${x.dtype}; convert with .to('int64')`, {
    op,
    expected,
    got: x.dtype,
  })
}

/** All given inputs must have the dtype of the first. */
export function needSameDType(inputs: readonly Input[], op: string): void {
  const first = at(inputs, 0).dtype
  for (const x of inputs) if (x !== undefined && x.dtype !== first) throw badDType(op, 'every operand', first, x.dtype)
}

/** What our kernels compute: float32, some of them bfloat16, and, step by step in plain code, float64; on the CPU. */
export function needKernels(x: Meta, op: string, name = 'input', bfloat16 = false): void {
  if (x.dtype !== 'float32' && x.dtype !== 'float64' && !(bfloat16 && x.dtype === 'bfloat16'))
    throw badDType(op, name, bfloat16 ? 'float32, bfloat16 or float64' : 'float32 or float64', x.dtype)
  if (x.device !== 'cpu') {
    throw new DeviceError(`${op}: ${name} must be on the CPU, where our kernels run, got ${x.device}`, {
      op,
      expected: 'cpu',
      got: x.device,
    })
  }
}

/** What our kernels compute on the CPU; on another device any float dtype, where operations of libtorch stand in for them. */
export function needKernelsHere(x: Meta, op: string, name = 'input', bfloat16 = false): void {
  if (x.device === 'cpu') needKernels(x, op, name, bfloat16)
  else needFloat(x, op, name)
}

/** The number of steps of each row, if given. */
export function needLengths(lengths: Input, batch: number, op: string): void {
  if (lengths === undefined) return
  needDType(lengths, 'int64', op, 'lengths')
  if (lengths.shape.length !== 1 || lengths.shape[0] !== batch)
    throw badShape(op, 'lengths', `[B=${batch}]`, lengths.shape)
}

export function badDType(op: string, name: string, expected: string, got: DType): DTypeError {
  return new DTypeError(
    `${op}: ${name} must be ${expected}, got ${got}; convert with .to('${isFloatName(expected) ? expected : 'float32'}')`,
    {
      op,
      expected,
      got,
    },
  )
}

function isFloatName(name: string): boolean {
  return Object.hasOwn(dtypes, name)
}

/** The dtype of two operands combined: one without axes changes the category only, never the width, as in PyTorch. */
export function promotePair(a: Meta, b: Meta): DType {
  const promoted = promote(a.dtype, b.dtype)
  if ((a.shape.length === 0) === (b.shape.length === 0)) return promoted
  const wide = a.shape.length === 0 ? b : a
  return sameCategory(promoted, wide.dtype) ? wide.dtype : promoted
}

export function promoteAll(inputs: readonly Input[]): DType {
  let dtype: DType | undefined
  for (const x of inputs) if (x !== undefined) dtype = dtype === undefined ? x.dtype : promote(dtype, x.dtype)
  return dtype as DType
}
