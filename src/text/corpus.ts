// Hypotheses and their references, checked and brought to one form.
import { ArgumentError } from '../errors.js'
import { told } from '../told.js'
import { checkArray, checkText } from './check.js'

/** What would have been right for one hypothesis: one text, or several of which each would do. */
export type References = string | readonly string[]

export interface Corpus {
  readonly size: number
  readonly hypotheses: readonly string[]
  readonly references: readonly (readonly string[])[]
  /** How many references each hypothesis has; undefined where they differ. */
  readonly perSentence: number | undefined
}

/** @throws ArgumentError where the two differ in length, are empty or hold what is not text. */
export function corpusOf(hypotheses: readonly string[], references: readonly References[], op: string): Corpus {
  checkArray(hypotheses, op, 'hypotheses: an array of texts')
  checkArray(references, op, 'references: an array of texts, or of arrays of texts')
  if (hypotheses.length !== references.length || hypotheses.length === 0) {
    const expected = 'as many hypotheses as references, one or more'
    const got = `${hypotheses.length} and ${references.length}`
    throw new ArgumentError(`${op}: expected ${expected}, got ${got}`, { op, expected, got })
  }
  const lines = Array.from(hypotheses, (line) => checkText(line, op))
  const sets = Array.from(references, (given, i) => {
    const set =
      typeof given === 'string' ? [given] : checkArray(given, op, `references ${i} as a text or an array of texts`)
    if (set.length > 0) return Array.from(set, (line) => checkText(line, op))
    throw new ArgumentError(`${op}: sentence ${i} has no reference`, {
      op,
      expected: 'one reference or more',
      got: 'none',
    })
  })
  const counts = new Set(sets.map((set) => set.length))
  return {
    size: lines.length,
    hypotheses: lines,
    references: sets,
    perSentence: counts.size === 1 ? sets[0]?.length : undefined,
  }
}

/** @throws ArgumentError unless the value is one of those. */
export function oneOf<T extends string>(value: T, all: readonly T[], name: string, op: string): T {
  if (all.includes(value)) return value
  const expected = all.map((each) => `'${each}'`).join(', ')
  throw new ArgumentError(`${op}: ${name} must be one of ${expected}, got ${told(value)}`, {
    op,
    expected,
    got: told(value),
  })
}

/** @throws ArgumentError unless the value is true or false. */
export function flag(value: boolean, name: string, op: string): boolean {
  if (typeof value === 'boolean') return value
  const expected = 'true or false'
  throw new ArgumentError(`${op}: ${name} must be ${expected}, got ${told(value)}`, { op, expected, got: told(value) })
}

/** @throws ArgumentError unless the value is a finite number > 0. */
export function positive(value: number, name: string, op: string): number {
  if (typeof value === 'number' && value > 0 && value < Infinity) return value
  const expected = 'a number > 0'
  throw new ArgumentError(`${op}: ${name} must be ${expected}, got ${told(value)}`, { op, expected, got: told(value) })
}

/** How often each piece occurs. */
export function counted(pieces: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>()
  for (const piece of pieces) counts.set(piece, (counts.get(piece) ?? 0) + 1)
  return counts
}
