// Vocabulary: the symbols that a model knows, and their numbers.
import { ArgumentError } from '../errors.js'
import { checkIterable } from './check.js'

/** Fills up sequences that are shorter than others of their batch. Always number 0. */
export const PAD = '<PAD>'
/** Ends a sequence, and starts the one that is written for it. Always number 1. */
export const EOS = '<EOS>'
/** Stands for every symbol that a vocabulary does not have, where it has this one. */
export const UNK = '<UNK>'

export const PAD_ID = 0
export const EOS_ID = 1
const SPECIAL: ReadonlySet<string> = new Set([PAD, EOS, UNK])

/**
 * Symbols numbered from 0: `<PAD>`, `<EOS>`, then the given ones in their order.
 *
 * With `<UNK>` among them unknown symbols are read as that; without it they throw.
 *
 * @example
 * const letters = new text.Vocabulary([...'abc'])
 * letters.encode([...'cab'])   // [4, 2, 3]
 * letters.decode([4, 2, 3, 1])   // ['c', 'a', 'b']
 */
export class Vocabulary {
  readonly symbols: readonly string[]
  readonly #ids: ReadonlyMap<string, number>

  /** @throws ArgumentError for symbols that are empty, not text, or given twice. */
  constructor(symbols: Iterable<string>) {
    this.symbols = [PAD, EOS, ...checkIterable(symbols, 'Vocabulary', 'symbols')]
    const ids = new Map<string, number>()
    for (const [id, symbol] of this.symbols.entries()) {
      if (typeof symbol !== 'string' || symbol === '') {
        throw new ArgumentError(`Vocabulary: symbols must be text that is not empty, got ${shown(symbol)}`, {
          op: 'Vocabulary',
          got: shown(symbol),
        })
      }
      if (ids.has(symbol)) {
        throw new ArgumentError(`Vocabulary: ${JSON.stringify(symbol)} is given twice`, {
          op: 'Vocabulary',
          got: symbol,
        })
      }
      ids.set(symbol, id)
    }
    this.#ids = ids
  }

  /** The vocabulary of all symbols that occur in the sequences, sorted. */
  static of(sequences: Iterable<Iterable<string>>): Vocabulary {
    const found = new Set<string>()
    for (const symbol of symbolsIn(sequences, 'Vocabulary.of')) found.add(symbol)
    return new Vocabulary([...found].sort())
  }

  /**
   * `<UNK>` and the `size` most frequent symbols of those that occur at least `minCount` times, the most frequent first.
   *
   * @throws ArgumentError for a size or count that is not a whole number ≥ 1.
   */
  static frequent(
    sequences: Iterable<Iterable<string>>,
    options: { size?: number; minCount?: number } = {},
  ): Vocabulary {
    const { size = 20_000, minCount = 1 } = options ?? {}
    for (const [name, value] of Object.entries({ size, minCount })) {
      if (!Number.isSafeInteger(value) || value < 1)
        throw new ArgumentError(`Vocabulary.frequent: ${name} must be a whole number ≥ 1, got ${String(value)}`, {
          op: 'Vocabulary.frequent',
          got: String(value),
        })
    }
    const counts = new Map<string, number>()
    for (const symbol of symbolsIn(sequences, 'Vocabulary.frequent')) counts.set(symbol, (counts.get(symbol) ?? 0) + 1)
    const found = [...counts].filter(([symbol, count]) => count >= minCount && !SPECIAL.has(symbol))
    found.sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
    return new Vocabulary([UNK, ...found.slice(0, size).map(([symbol]) => symbol)])
  }

  /** Number of symbols, `<PAD>` and `<EOS>` included. */
  get size(): number {
    return this.symbols.length
  }

  has(symbol: string): boolean {
    return this.#ids.has(symbol)
  }

  /** @throws ArgumentError, naming the symbol, for one that the vocabulary does not have, unless it has `<UNK>`. */
  encode(sequence: Iterable<string>): number[] {
    return Array.from(checkIterable(sequence, 'Vocabulary.encode', 'symbols'), (symbol) => {
      const id = this.#ids.get(symbol) ?? this.#ids.get(UNK)
      if (id !== undefined) return id
      throw new ArgumentError(
        `Vocabulary.encode: ${shown(symbol)} is not among the ${this.size - 2} symbols that the model knows`,
        {
          op: 'Vocabulary.encode',
          got: shown(symbol),
        },
      )
    })
  }

  /** The symbols of the numbers up to the first `<EOS>`; `<PAD>` is left out. */
  decode(ids: Iterable<number>): string[] {
    const symbols: string[] = []
    for (const id of checkIterable(ids, 'Vocabulary.decode', 'numbers of symbols')) {
      if (id === EOS_ID) break
      if (id === PAD_ID) continue
      const symbol = Number.isInteger(id) ? this.symbols[id] : undefined
      if (symbol === undefined) {
        throw new ArgumentError(`Vocabulary.decode: ${String(id)} is not within 0 … ${this.size - 1}`, {
          op: 'Vocabulary.decode',
          got: String(id),
        })
      }
      symbols.push(symbol)
    }
    return symbols
  }

  /** The symbols after `<PAD>` and `<EOS>`: what the constructor takes. */
  toJSON(): string[] {
    return this.symbols.slice(2)
  }
}

/** The symbols of all sequences. */
function* symbolsIn(sequences: Iterable<Iterable<string>>, op: string): Generator<string> {
  for (const sequence of checkIterable(sequences, op, 'sequences of symbols')) {
    for (const symbol of checkIterable(sequence, op, 'sequences of symbols')) {
      if (typeof symbol !== 'string')
        throw new ArgumentError(`${op}: symbols must be text, got ${shown(symbol)}`, { op })
      yield symbol
    }
  }
}

function shown(symbol: unknown): string {
  return typeof symbol === 'string' ? JSON.stringify(symbol) : symbol === null ? 'null' : typeof symbol
}
