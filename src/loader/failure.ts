// What is said when something native cannot be loaded: the problem, what was tried, and what mends it.
import { type ErrorDetails, NativeError } from '../errors.js'

/** One place that was looked at, and what became of it. */
export interface Attempt {
  /** `LIBTORCH`, the name of a package, `cache folder`, … */
  place: string
  outcome: string
}

interface Problem extends ErrorDetails {
  tried?: readonly Attempt[]
  /** What the user does about it: a command where there is one. */
  remedy: string
}

/** The error for a problem of loading; its text has everything that is known. */
export function failure(problem: string, { tried = [], remedy, ...details }: Problem): NativeError {
  const lines = tried.map(({ place, outcome }) => `\n  ${place}: ${outcome}`)
  const list = lines.length === 0 ? '' : `\nTried:${lines.join('')}`
  return new NativeError(`quarterturn: ${problem}.${list}\nTo mend it: ${remedy}`, details)
}

/** The first line of what was thrown. */
export function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] ?? ''
}
