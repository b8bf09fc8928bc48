// A measure of a corpus by numbers that add over its sentences: what bootstrap resampling and curves need of BLEU, chrF and error rates.
import { ArgumentError, NotFiniteError } from '../errors.js'
import { checkBuffer } from '../tensor/check-buffer.js'
import { needFunction } from '../tensor/options.js'
import { told } from '../told.js'
import { checkArray } from './check.js'

/** The measure as a function of the sums of all sentences' numbers. */
export type Measure = (sums: readonly number[]) => number

/**
 * A corpus measured by numbers that add over its sentences: score = measure(Σ rows). BLEU is such a measure (counts of n-grams and lengths), and so are chrF, error
 * rates, perplexity and plain means; none is the mean of the measure of single sentences, except the last.
 *
 * ```ts
 * const accuracy = new text.CorpusScore([[1, 1], [0, 1], [1, 1], [1, 1]], ([right = 0, all = 0]) => right / all)
 * console.log(accuracy.score, accuracy.select([0, 1]).score)   // 0.75 0.5
 * ```
 */
export class CorpusScore {
  readonly score: number
  readonly #values: Float64Array
  readonly #width: number
  readonly #measure: Measure

  /**
   * @param rows the numbers of each sentence, equally many of each
   * @throws ArgumentError for no rows, rows of different lengths, or elements that are not finite numbers; NotFiniteError where the measure gives no finite number.
   */
  constructor(rows: readonly ArrayLike<number>[], measure: Measure) {
    checkArray(rows, OP, 'rows: an array of arrays of numbers')
    this.#measure = needFunction(measure, OP, 'measure')
    this.#width = lengthOf(rows[0], 0)
    this.#values = new Float64Array(rows.length * this.#width)
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i] as ArrayLike<number>
      const length = lengthOf(row, i)
      if (length !== this.#width) throw refused(`${this.#width} numbers in every row`, `${length} in row ${i}`)
      for (let j = 0; j < length; j++) {
        const value = row[j]
        if (typeof value !== 'number' || !Number.isFinite(value)) throw refused('finite numbers', told(value))
        this.#values[i * length + j] = value
      }
    }
    this.score = this.of(this.sums())
  }

  /** Number of sentences. */
  get size(): number {
    return this.#values.length / this.#width
  }

  /** How many numbers a sentence has. */
  get width(): number {
    return this.#width
  }

  /** The numbers of all sentences, row by row: [size, width]. @internal */
  get values(): Float64Array {
    return this.#values
  }

  /** The sums over all sentences. */
  sums(): number[] {
    const sums = new Array<number>(this.#width).fill(0)
    for (let k = 0; k < this.#values.length; k++) sums[k % this.#width]! += this.#values[k] as number
    return sums
  }

  /** The measure of such sums. @throws NotFiniteError where it is no finite number. */
  of(sums: readonly number[]): number {
    const score = this.#measure(sums)
    if (typeof score === 'number' && Number.isFinite(score)) return score
    const [expected, got] = ['a finite number', told(score)]
    throw new NotFiniteError(`${OP}: the measure must give ${expected}, got ${got}`, { op: OP, expected, got })
  }

  /** The same measure of some of the sentences, each as often as it is named. @throws ArgumentError for numbers that are not of sentences, or none. */
  select(sentences: Iterable<number>): CorpusScore {
    const given = sentences as Iterable<number> | null | undefined
    if (typeof given !== 'object' || typeof given?.[Symbol.iterator] !== 'function')
      throw refused('numbers of sentences', told(sentences), 'CorpusScore.select')
    if (ArrayBuffer.isView(given)) checkBuffer(given, 'CorpusScore.select')
    const rows = Array.from(given, (i) => {
      if (Number.isInteger(i) && i >= 0 && i < this.size)
        return this.#values.subarray(i * this.#width, (i + 1) * this.#width)
      throw refused(`numbers of sentences from 0 to ${this.size - 1}`, told(i), 'CorpusScore.select')
    })
    return new CorpusScore(rows, this.#measure)
  }
}

const OP = 'CorpusScore'

function lengthOf(row: ArrayLike<number> | null | undefined, i: number): number {
  if (ArrayBuffer.isView(row)) checkBuffer(row, OP)
  if (!Array.isArray(row) && !ArrayBuffer.isView(row))
    throw refused('rows: one array of numbers or more', i === 0 ? told(row) : `${told(row)} as row ${i}`)
  if (row.length === 0) throw refused('one number or more in every row', `none in row ${i}`)
  return row.length
}

function refused(expected: string, got: string, op = OP): ArgumentError {
  return new ArgumentError(`${op}: expected ${expected}, got ${got}`, { op, expected, got })
}
