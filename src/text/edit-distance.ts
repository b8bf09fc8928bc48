// Edit distance between two sequences, and error rates from it.
import { checkArray, checkIterable } from './check.js'

/** The least number of insertions, deletions and replacements that turn `a` into `b` (Levenshtein 1966). O(|a|·|b|) time, O(|b|) memory. */
export function editDistance<T>(a: readonly T[], b: readonly T[]): number {
  for (const sequence of [a, b]) checkArray(sequence, 'editDistance', 'two arrays')
  const row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (const [i, x] of a.entries()) {
    let diagonal = row[0] as number
    row[0] = i + 1
    for (const [j, y] of b.entries()) {
      const above = row[j + 1] as number
      row[j + 1] = Math.min(above + 1, (row[j] as number) + 1, diagonal + (x === y ? 0 : 1))
      diagonal = above
    }
  }
  return row[b.length] as number
}

/** What was written, and everything that would have been right. */
export interface Answer<T> {
  hypothesis: readonly T[]
  references: readonly (readonly T[])[]
}

export interface ErrorRates {
  /** Edits divided by the length of the references: phoneme, letter or word error rate, by what the symbols are. */
  symbols: number
  /** The share of sequences that equal none of their references. */
  sequences: number
}

/**
 * Error rates over a set. Each answer counts against that of its references which gives the lowest rate of its own, as is usual where a word has
 * several pronunciations.
 */
export function errorRates<T>(answers: Iterable<Answer<T>>): ErrorRates {
  let edits = 0
  let length = 0
  let wrong = 0
  let count = 0
  for (const answer of checkIterable(answers, 'errorRates', 'answers')) {
    const { hypothesis, references } = answer ?? {}
    checkArray(hypothesis, 'errorRates', 'a hypothesis that is an array')
    checkArray(references, 'errorRates', 'references that are arrays')
    let best = { edits: hypothesis.length, length: 0, rate: Number.POSITIVE_INFINITY }
    for (const reference of references) {
      const distance = editDistance(hypothesis, reference)
      const rate = distance / Math.max(1, reference.length)
      if (rate < best.rate) best = { edits: distance, length: reference.length, rate }
    }
    edits += best.edits
    length += best.length
    count++
    if (best.edits > 0) wrong++
  }
  return { symbols: edits / Math.max(1, length), sequences: wrong / Math.max(1, count) }
}
