// Checks that the options of optimizers and schedules share.
import { ArgumentError } from '../errors.js'
import { told } from '../told.js'

/** An option that must be a number, least ≤ value < below. */
export function needNumber(value: unknown, name: string, op: string, least = -Infinity, below = Infinity): number {
  if (typeof value === 'number' && value >= least && value < below) return value
  const expected = below === Infinity ? `a number ≥ ${least}` : `a number, ${least} ≤ ${name} < ${below}`
  const got = told(value)
  throw new ArgumentError(`${op}: ${name} must be ${expected}, got ${got}`, { op, expected, got })
}

/** An option that must be true or false. */
export function needFlag(value: unknown, name: string, op: string): boolean {
  if (typeof value === 'boolean') return value
  const got = told(value)
  throw new ArgumentError(`${op}: ${name} must be true or false, got ${got}`, { op, expected: 'true or false', got })
}

/** The decay rates of two moments, each 0 ≤ β < 1. */
export function needBetas(betas: unknown, op: string): void {
  if (!Array.isArray(betas) || betas.length !== 2) {
    const [expected, got] = ['[β₁, β₂]', told(betas)]
    throw new ArgumentError(`${op}: betas must be ${expected}, got ${got}`, { op, expected, got })
  }
  for (const [i, beta] of betas.entries()) needNumber(beta, `betas[${i}]`, op, 0, 1)
}

/** The options that every Adam has. */
export function needMoments(options: { betas: unknown; eps: unknown; weightDecay: unknown }, op: string): void {
  needBetas(options.betas, op)
  needNumber(options.eps, 'eps', op, 0)
  needNumber(options.weightDecay, 'weightDecay', op, 0)
}
