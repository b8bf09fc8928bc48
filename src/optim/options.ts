// Checks that the options of optimizers and schedules share.
import { ArgumentError } from '../errors.js'

/** Options, which must be an object. */
export function needOptions<O>(options: O, op: string): O {
  if (typeof options === 'object' && options !== null) return options
  const got = options === null ? 'null' : typeof options
  throw new ArgumentError(`${op}: options must be an object, got ${got}`, { op, expected: 'an object', got })
}

/** An option that must be a number, least ≤ value < below. */
export function needNumber(value: unknown, name: string, op: string, least = -Infinity, below = Infinity): number {
  if (typeof value === 'number' && value >= least && value < below) return value
  const expected = below === Infinity ? `a number ≥ ${least}` : `a number, ${least} ≤ ${name} < ${below}`
  const got = String(value)
  throw new ArgumentError(`${op}: ${name} must be ${expected}, got ${got}`, { op, expected, got })
}

/** An option that must be true or false. */
export function needFlag(value: unknown, name: string, op: string): boolean {
  if (typeof value === 'boolean') return value
  const got = String(value)
  throw new ArgumentError(`${op}: ${name} must be true or false, got ${got}`, { op, expected: 'true or false', got })
}

/** The decay rates of two moments, each 0 ≤ β < 1. */
export function needBetas(betas: unknown, op: string): void {
  if (!Array.isArray(betas) || betas.length !== 2) {
    const [expected, got] = ['[β₁, β₂]', String(betas)]
    throw new ArgumentError(`${op}: betas must be ${expected}, got ${got}`, { op, expected, got })
  }
  for (const [i, beta] of betas.entries()) needNumber(beta, `betas[${i}]`, op, 0, 1)
}
