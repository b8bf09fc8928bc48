// What users pass to the functions of `axis`, checked at the call: a stack, a sequence for it, a carrier, steps by number.
import { ArgumentError, ShapeError } from '../errors.js'
import { checkBuffer } from '../tensor/check-buffer.js'
import { needTensor } from '../tensor/record.js'
import { show } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { told } from '../told.js'
import { Stack } from './stack.js'

export function needStack(stack: Stack, op: string): Stack {
  if (stack instanceof Stack) return stack
  throw refused(op, 'needs a Stack', 'a Stack', stack)
}

/** x [B, T, width] for a stack. */
export function needSequence(x: Tensor, { width }: Stack, op: string): Tensor {
  needTensor(x, op, 'the input')
  if (x.rank === 3 && x.shape[2] === width && (x.shape[1] as number) > 0) return x
  const [expected, got] = [`[B, T, width=${width}]`, show(x.shape)]
  throw new ShapeError(`${op}: the input must be ${expected}, got ${got}`, { op, expected, got })
}

/** An array, each part of which is as it should be. */
export function needList<T>(
  list: readonly T[],
  op: string,
  name: string,
  parts: string,
  fits: (part: T) => boolean,
): readonly T[] {
  if (Array.isArray(list) && Array.from(list as readonly T[]).every(fits)) return list
  throw refused(op, `${name} must be an array of ${parts}`, `an array of ${parts}`, list)
}

/** Whole numbers from 0 to below `count`, from anything that can be gone through. */
export function needIndices(given: Iterable<number>, op: string, name: string, count: number): number[] {
  const iterable = typeof given === 'object' && given !== null && typeof given[Symbol.iterator] === 'function'
  if (ArrayBuffer.isView(given)) checkBuffer(given, op)
  const list = iterable ? Array.from(given) : undefined
  const fits = (k: number): boolean => Number.isInteger(k) && k >= 0 && k < count
  if (list?.every(fits)) return list
  const got = list === undefined ? given : list.find((k) => !fits(k))
  throw refused(op, `${name} must be within 0 … ${count - 1}`, `0 … ${count - 1}`, got)
}

export function refused(op: string, rule: string, expected: string, value: unknown): ArgumentError {
  const got = told(value)
  return new ArgumentError(`${op}: ${rule}, got ${got}`, { op, expected, got })
}
