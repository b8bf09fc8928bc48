// Shapes: validation, broadcasting, axes. Pure functions; every message names the operation that asked.
import { ArgumentError, ShapeError } from '../errors.js'
import { told } from '../told.js'

export type Shape = readonly number[]

export function show(shape: Shape): string {
  return Array.isArray(shape)
    ? `[${shape.map((size) => (typeof size === 'number' ? size : told(size))).join(', ')}]`
    : told(shape)
}

export function elements(shape: Shape): number {
  let n = 1
  for (const size of shape) n *= size
  return n
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i])
}

/** A shape given by the user: sizes must be whole and not negative, and the whole must be addressable. */
export function checkShape(shape: Shape, op: string): Shape {
  if (!Array.isArray(shape)) throw new ShapeError(`${op}: shape must be an array of sizes, got ${told(shape)}`, { op })
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new ShapeError(`${op}: sizes must be whole numbers ≥ 0, got ${told(shape)}`, {
        op,
        expected: 'whole numbers ≥ 0',
        got: told(shape),
      })
    }
  }
  if (!Number.isSafeInteger(elements(shape))) {
    throw new ShapeError(`${op}: ${show(shape)} has more elements than can be addressed`, { op, got: show(shape) })
  }
  return [...shape]
}

/** Broadcasting as in PyTorch and NumPy: sizes are matched from the last; a 1 stretches. */
export function broadcast(a: Shape, b: Shape, op: string): Shape {
  if (sameShape(a, b)) return a
  const length = Math.max(a.length, b.length)
  const out = new Array<number>(length)
  for (let i = 1; i <= length; i++) {
    const x = a[a.length - i] ?? 1
    const y = b[b.length - i] ?? 1
    if (x !== y && x !== 1 && y !== 1) {
      throw new ShapeError(`${op}: shapes ${show(a)} and ${show(b)} do not broadcast`, {
        op,
        expected: show(a),
        got: show(b),
      })
    }
    out[length - i] = x === 1 ? y : x
  }
  return out
}

/** An axis, counted from the end when negative, as a number in 0 … rank−1. */
export function axis(dim: number, rank: number, op: string): number {
  if (!Number.isInteger(dim) || dim < -rank || dim >= rank) {
    const expected = rank === 0 ? 'none: the tensor is a scalar' : `${-rank} … ${rank - 1}`
    throw new ShapeError(`${op}: axis must be ${expected}, got ${told(dim)}`, { op, expected, got: told(dim) })
  }
  return dim < 0 ? dim + rank : dim
}

/** Several distinct axes; none given means all. */
export function axes(dims: number | readonly number[] | undefined, rank: number, op: string): number[] {
  if (dims === undefined) return []
  if (typeof dims !== 'number') list(dims, 'axes', op)
  const out = (typeof dims === 'number' ? [dims] : dims).map((dim) => axis(dim, rank, op))
  if (new Set(out).size !== out.length)
    throw new ShapeError(`${op}: axes must differ, got ${show(out)}`, { op, got: show(out) })
  return out
}

/** @throws ArgumentError for what is no array. */
export function list<T>(value: readonly T[], name: string, op: string): readonly T[] {
  if (Array.isArray(value)) return value
  throw new ArgumentError(`${op}: ${name} must be an array, got ${told(value)}`, {
    op,
    expected: 'an array',
    got: told(value),
  })
}

/** @throws ArgumentError for what cannot be gone through; a typed array is no iterable of tensors, and its buffer may be detached. */
export function iterable<T>(value: Iterable<T>, name: string, op: string): Iterable<T> {
  const known = (typeof value === 'object' || typeof value === 'string') && value !== null && !ArrayBuffer.isView(value)
  if (known && typeof value[Symbol.iterator] === 'function') return value
  throw new ArgumentError(`${op}: ${name} must be iterable, got ${told(value)}`, {
    op,
    expected: 'an iterable',
    got: told(value),
  })
}

/** The shape after reducing `dims` (none: all). */
export function reduced(shape: Shape, dims: readonly number[], keepDim: boolean): Shape {
  const gone = dims.length === 0 ? shape.map((_, i) => i) : dims
  return keepDim ? shape.map((size, i) => (gone.includes(i) ? 1 : size)) : shape.filter((_, i) => !gone.includes(i))
}

export function without(shape: Shape, dim: number): Shape {
  return shape.filter((_, i) => i !== dim)
}

export function withSize(shape: Shape, dim: number, size: number): Shape {
  return shape.map((old, i) => (i === dim ? size : old))
}

/** A whole number within bounds, named in the message. */
export function whole(value: number, name: string, op: string, least = 0, most = Number.MAX_SAFE_INTEGER): number {
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    const expected =
      most === Number.MAX_SAFE_INTEGER ? `a whole number ≥ ${least}` : `a whole number from ${least} to ${most}`
    throw new ArgumentError(`${op}: ${name} must be ${expected}, got ${told(value)}`, {
      op,
      expected,
      got: told(value),
    })
  }
  return value
}
