// Arguments of the functions here, checked before anything happens.
import { ArgumentError } from '../errors.js'
import { Module } from '../nn/index.js'
import { Tensor } from '../tensor/tensor.js'

export function checkModel(model: unknown, op: string): void {
  if (!(model instanceof Module)) throw refused(op, 'the model', 'an nn.Module', model)
}

export function checkTensor(value: unknown, name: string, op: string): void {
  if (!(value instanceof Tensor)) throw refused(op, name, 'a tensor', value)
}

/** A copy of an object of options, so that what a getter in it throws is told apart. */
export function taken<T extends object>(options: T, op: string, name = 'options'): T {
  if (typeof options !== 'object' || options === null) throw refused(op, name, 'an object', options)
  try {
    return { ...options }
  } catch (cause) {
    throw new ArgumentError(`${op}: ${name} cannot be read`, { op, expected: 'an object', cause })
  }
}

/** An argument of the wrong kind. */
export function refused(op: string, name: string, expected: string, value: unknown): ArgumentError {
  const got =
    value instanceof Tensor || ['string', 'number', 'boolean', 'bigint'].includes(typeof value)
      ? String(value)
      : value === null
        ? 'null'
        : typeof value
  return new ArgumentError(`${op}: ${name} must be ${expected}, got ${got}`, { op, expected, got })
}
