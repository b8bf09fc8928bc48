// Splits: which rows train, validate and test; and the weights of classes.
import { ArgumentError } from '../errors.js'
import { Generator, generator } from '../tensor/random.js'
import { whole } from '../tensor/shape.js'
import { told } from '../told.js'
import { list, object } from './check.js'
import { shuffle } from './order.js'

/** The shares of the rows that validate and test; the rest trains. */
export interface Shares {
  validation: number
  /** @default 0 */
  test?: number
}

export interface RandomShares extends Shares {
  /** Where the choice starts (default: drawn from the ambient generator). */
  seed?: number | bigint
}

/** The rows of each part, in ascending order: `new Loader(fields, { rows: split.training })`, `table.take(split.test)`. */
export interface Split {
  training: Int32Array
  validation: Int32Array
  test: Int32Array
}

type Key = string | number | bigint | boolean
type Part = keyof Split

/** Rows at random. */
export function splitRows(rows: number, shares: RandomShares): Split {
  whole(rows, 'rows', 'splitRows', 1)
  return splitStratified({ length: rows }, shares, 'splitRows')
}

/** Rows at random, so that each label has the same shares in all parts, to within one row. */
export function splitStratified(
  labels: ArrayLike<Key | undefined>,
  shares: RandomShares,
  op = 'splitStratified',
): Split {
  const { validation, test } = check(shares, op)
  list(labels, 'labels', op)
  const random = generatorOf(shares)
  return collect(labels.length, (assign) => {
    for (const rows of rowsByKey(labels).values()) {
      const order = Int32Array.from(rows)
      shuffle(order, random)
      const first = Math.round(order.length * validation)
      const second = Math.round(order.length * (validation + test))
      for (const [i, row] of order.entries()) {
        assign(row, i < first ? 'validation' : i < second ? 'test' : 'training')
      }
    }
  })
}

/**
 * Whole groups at random: all rows of a group (a patient, a speaker, a document) are in one part. A part is filled with groups until the next one would take it
 * further from its share, so parts are as large as asked to within a group.
 */
export function splitByGroup(groups: ArrayLike<Key>, shares: RandomShares): Split {
  const { validation, test } = check(shares, 'splitByGroup')
  list(groups, 'groups', 'splitByGroup')
  const all = [...rowsByKey(groups).values()]
  const order = Int32Array.from(all, (_, i) => i)
  shuffle(order, generatorOf(shares))
  const wanted = { validation: validation * groups.length, test: test * groups.length }
  const filled = { validation: 0, test: 0 }
  return collect(groups.length, (assign) => {
    for (const i of order) {
      const rows = all[i] as number[]
      const fits = (part: 'validation' | 'test') => rows.length <= 2 * (wanted[part] - filled[part])
      const part: Part = fits('validation') ? 'validation' : fits('test') ? 'test' : 'training'
      if (part !== 'training') filled[part] += rows.length
      for (const row of rows) assign(row, part)
    }
  })
}

/**
 * By a hash of each row's key alone: a row stays in its part when others come and go, on every machine and in every version. Parts are as large as asked only on
 * average. Rows of one key are in one part. Another `salt` gives another split.
 *
 * The hash is FNV-1a (32 bits, over UTF-16 code units) followed by MurmurHash3's finaliser.
 */
export function splitByHash(keys: ArrayLike<Key>, shares: Shares & { salt?: string }): Split {
  const { validation, test } = check(shares, 'splitByHash')
  list(keys, 'keys', 'splitByHash')
  const salt = shares.salt ?? ''
  return collect(keys.length, (assign) => {
    for (let row = 0; row < keys.length; row++) {
      const place = hash(salt + String(keys[row])) / 2 ** 32
      assign(row, place < validation ? 'validation' : place < validation + test ? 'test' : 'training')
    }
  })
}

/**
 * A weight for each class, so that all of them count the same: N / (C · n) for a class of n rows among N of C classes (scikit-learn's `balanced`); 0 for a class
 * without rows. Labels are 0 … C − 1.
 */
export function classWeights(labels: ArrayLike<number | bigint>, classes?: number): Float32Array {
  const op = 'classWeights'
  let most = classes === undefined ? 0 : whole(classes, 'classes', op, 1)
  const numbers = Array.from(list(labels, 'labels', op), (label) =>
    whole(Number(label), 'a label', op, 0, (classes ?? Infinity) - 1),
  )
  if (numbers.length === 0) throw new ArgumentError(`${op}: there are no labels`, { op, got: 'none' })
  if (classes === undefined) for (const label of numbers) most = Math.max(most, label + 1)
  const counts = new Float64Array(most)
  for (const label of numbers) counts[label]!++
  const present = counts.filter((count) => count > 0).length
  return Float32Array.from(counts, (count) => (count === 0 ? 0 : numbers.length / (present * count)))
}

function check(shares: Shares, op: string): Required<Shares> {
  const { validation, test = 0 } = object(shares, 'shares', op)
  const numbers = typeof validation === 'number' && typeof test === 'number'
  if (numbers && validation > 0 && test >= 0 && validation + test < 1) return { validation, test }
  const got = `${told(validation)} and ${told(test)}`
  throw new ArgumentError(`${told(op)}: validation must be > 0, test ≥ 0, and both together below 1, got ${got}`, {
    op,
    expected: 'shares with a sum below 1',
    got,
  })
}

function generatorOf({ seed }: RandomShares): Generator {
  return seed === undefined ? generator().fork() : new Generator(seed)
}

/** The rows of each key, keys in the order in which they first appear. */
function rowsByKey(keys: ArrayLike<Key | undefined>): Map<Key | undefined, number[]> {
  const found = new Map<Key | undefined, number[]>()
  for (let row = 0; row < keys.length; row++) {
    const rows = found.get(keys[row])
    if (rows === undefined) found.set(keys[row], [row])
    else rows.push(row)
  }
  return found
}

/** The parts in ascending order, from an assignment of each row. */
function collect(rows: number, fill: (assign: (row: number, part: Part) => void) => void): Split {
  const parts = new Array<Part>(rows)
  fill((row, part) => {
    parts[row] = part
  })
  const of = (part: Part) => Int32Array.from(parts.flatMap((own, row) => (own === part ? [row] : [])))
  return { training: of('training'), validation: of('validation'), test: of('test') }
}

function hash(text: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    h = Math.imul(h ^ (unit & 0xff), 0x01000193)
    h = Math.imul(h ^ (unit >>> 8), 0x01000193)
  }
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
