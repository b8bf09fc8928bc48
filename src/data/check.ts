// What several functions of this folder check of their arguments.
import { ArgumentError } from '../errors.js'
import { checkBuffer } from '../tensor/check-buffer.js'
import { told } from '../told.js'

/** Options must be an object. */
export function object<T extends object>(given: T, name: string, op: string): T {
  if (typeof given === 'object' && given !== null) return given
  throw refused(given, name, 'an object', op)
}

/** Lists must be arrays, typed arrays or the like. */
export function list<L extends ArrayLike<unknown>>(given: L, name: string, op: string): L {
  const length = typeof given === 'object' && given !== null ? given.length : undefined
  if (ArrayBuffer.isView(given)) checkBuffer(given, op)
  if (Number.isInteger(length) && (length as number) >= 0 && (length as number) < 2 ** 31) return given
  throw refused(given, name, 'an array', op)
}

function refused(given: unknown, name: string, expected: string, op: string): ArgumentError {
  const got = given === null ? 'null' : typeof given
  return new ArgumentError(`${told(op)}: ${told(name)} must be ${expected}, got ${got}`, { op, expected, got })
}
