// Arguments of the functions here, checked before anything happens.
import { ArgumentError } from '../errors.js'
import { checkBuffer } from '../tensor/check-buffer.js'

/** @throws ArgumentError unless the value is text. */
export function checkText(value: unknown, op: string): string {
  if (typeof value === 'string') return value
  throw refuse(op, 'a string', value)
}

/** @throws ArgumentError unless the value can be gone through. */
export function checkIterable<T>(value: Iterable<T>, op: string, what: string): Iterable<T> {
  const given = value as Iterable<T> | null | undefined
  if (ArrayBuffer.isView(given)) checkBuffer(given, op)
  if (typeof given !== 'number' && typeof given?.[Symbol.iterator] === 'function') return value
  throw refuse(op, what, value)
}

/** @throws ArgumentError unless the value is an array. */
export function checkArray<T>(value: readonly T[], op: string, what: string): readonly T[] {
  if (Array.isArray(value)) return value
  throw refuse(op, what, value)
}

function refuse(op: string, expected: string, value: unknown): ArgumentError {
  const got = value === null ? 'null' : typeof value
  return new ArgumentError(`${op}: expected ${expected}, got ${got}`, { op, expected, got })
}
