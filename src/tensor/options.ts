// Options are one object after the sizes: what is none is refused.
import { ArgumentError } from '../errors.js'

/** @throws ArgumentError (`ERR_ARGUMENT`) for options that are no object: null, a number, … */
export function needOptions<O>(options: O, op: string, name = 'options'): O {
  if (typeof options === 'object' && options !== null) return options
  const got = options === null ? 'null' : typeof options
  throw new ArgumentError(`${op}: ${name} must be an object, got ${got}`, { op, expected: 'an object', got })
}

/** @throws ArgumentError for what cannot be called. */
export function needFunction<F>(fn: F, op: string, name = 'fn'): F {
  if (typeof fn === 'function') return fn
  const got = fn === null ? 'null' : typeof fn
  throw new ArgumentError(`${op}: ${name} must be a function, got ${got}`, { op, expected: 'a function', got })
}
