// Edit distance between two sequences, and error rates from it.
import { checkArray, checkIterable } from './check.js'
import { CorpusScore } from './corpus-score.js'

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
  let [edits, length, wrong, count] = [0, 0, 0, 0]
  for (const best of bestOf(answers, 'errorRates')) {
    edits += best.edits
    length += best.length
    count++
    if (best.edits > 0) wrong++
  }
  return { symbols: edits / Math.max(1, length), sequences: wrong / Math.max(1, count) }
}

/**
 * Edits divided by the length of the references (word, phoneme or letter error rate, by what the symbols are) as a `CorpusScore`: `errorRates(…).symbols`, for
 * intervals, tests and curves.
 *
 * ```ts
 * const per = text.symbolErrorRate([{ hypothesis: ['K', 'AE', 'T'], references: [['K', 'AE', 'T']] }])
 * console.log(text.bootstrap(per).high)
 * ```
 *
 * @throws ArgumentError where there are no answers, or they are none.
 */
export function symbolErrorRate<T>(answers: Iterable<Answer<T>>): CorpusScore {
  const rows = Array.from(bestOf(answers, 'symbolErrorRate'), ({ edits, length }) => [edits, length])
  return new CorpusScore(rows, ([edits, length]) => (edits as number) / Math.max(1, length as number))
}

/** The share of sequences that equal none of their references, as a `CorpusScore`: `errorRates(…).sequences`. @throws ArgumentError as `symbolErrorRate`. */
export function sequenceErrorRate<T>(answers: Iterable<Answer<T>>): CorpusScore {
  const rows = Array.from(bestOf(answers, 'sequenceErrorRate'), ({ edits }) => [edits > 0 ? 1 : 0, 1])
  return new CorpusScore(rows, ([wrong, count]) => (wrong as number) / (count as number))
}

/** Of each answer, edits and length against the reference with the lowest rate. */
function* bestOf<T>(answers: Iterable<Answer<T>>, op: string): Generator<{ edits: number; length: number }> {
  for (const answer of checkIterable(answers, op, 'answers')) {
    const { hypothesis, references } = answer ?? {}
    checkArray(hypothesis, op, 'a hypothesis that is an array')
    checkArray(references, op, 'references that are arrays')
    let best = { edits: hypothesis.length, length: 0, rate: Number.POSITIVE_INFINITY }
    for (const reference of references) {
      const distance = editDistance(hypothesis, reference)
      const rate = distance / Math.max(1, reference.length)
      if (rate < best.rate) best = { edits: distance, length: reference.length, rate }
    }
    yield best
  }
}
