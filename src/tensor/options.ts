// Options are one object after the sizes: what is none is refused.
import { ArgumentError } from '../errors.js'

/** @throws ArgumentError (`ERR_ARGUMENT`) for options that are no object: null, a number, … */
export function needOptions<O>(options: O, op: string): O {
  if (typeof options === 'object' && options !== null) return options
  const got = options === null ? 'null' : typeof options
  throw new ArgumentError(`${op}: options must be an object, got ${got}`, { op, expected: 'an object', got })
}
