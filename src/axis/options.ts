// Options of carriers, checked when the carrier is made: every message names the carrier and the rule.
import { told } from '../told.js'
import { broken } from './carrier.js'

/** A number between two bounds, which it may reach. */
export function numberOption(
  carrier: string,
  name: string,
  value: unknown,
  least = -Infinity,
  most = Infinity,
): number {
  if (typeof value === 'number' && Number.isFinite(value) && value >= least && value <= most) return value
  const bounded = least > -Infinity || most < Infinity
  throw refused(carrier, name, bounded ? `a number within ${least} … ${most}` : 'a finite number', value)
}

export function flagOption(carrier: string, name: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value
  throw refused(carrier, name, 'true or false', value)
}

function refused(carrier: string, name: string, expected: string, value: unknown): Error {
  const got = told(value)
  return broken({ name: carrier }, `${name} must be ${expected}, got ${got}`, { expected, got })
}
