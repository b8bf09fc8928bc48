// packSequences: several short sequences in one row, so that little of a batch is padding.
import { ArgumentError } from '../errors.js'
import { whole } from '../tensor/shape.js'
import { list, object } from './check.js'

export interface PackOptions {
  /** Steps of a row. */
  length: number
  /** What fills the rest of a row. @default 0 */
  padding?: number
}

interface Packed {
  readonly data: Int32Array
  readonly shape: readonly [rows: number, length: number]
}

/** Rows [N, T] as fields of a `Loader`. */
export interface PackedSequences {
  /** The elements of the sequences. */
  tokens: Packed
  /** Which sequence of its row a step belongs to, from 1; 0 for padding. Steps may attend to those of the same segment only. */
  segments: Packed
  /** The place of a step in its own sequence, from 0. */
  positions: Packed
}

/**
 * Packs sequences of whole numbers into rows of equal length, each sequence whole: the longest first, each into the fullest row that has room for it (best fit
 * decreasing). The same sequences give the same rows.
 *
 * ```ts
 * const { tokens, segments } = data.packSequences([[1, 2, 3], [4, 5], [6]], { length: 4 })
 * console.log(tokens.data.join(' '))     // 1 2 3 6 4 5 0 0
 * console.log(segments.data.join(' '))   // 1 1 1 2 1 1 0 0
 * ```
 *
 * @throws ArgumentError for a sequence that is empty or longer than a row.
 */
export function packSequences(sequences: readonly ArrayLike<number>[], options: PackOptions): PackedSequences {
  const op = 'packSequences'
  const { length, padding = 0 } = object(options, 'options', op)
  whole(length, 'length', op, 1)
  const order = Array.from(list(sequences, 'sequences', op), (_, i) => i)
  order.sort((a, b) => (sequences[b]?.length ?? 0) - (sequences[a]?.length ?? 0) || a - b)
  const rows: number[][] = []
  // Rows by the room that is left in them.
  const byRoom: number[][] = Array.from({ length: length + 1 }, () => [])
  for (const i of order) {
    const size = sequences[i]?.length ?? 0
    if (size < 1 || size > length) {
      throw new ArgumentError(`${op}: sequences must have 1 to ${length} elements, sequence ${i} has ${size}`, {
        op,
        expected: `1 … ${length}`,
        got: String(size),
      })
    }
    let room = size
    while (room <= length && byRoom[room]?.length === 0) room++
    const row = room <= length ? (byRoom[room]?.pop() as number) : rows.push([]) - 1
    rows[row]?.push(i)
    byRoom[Math.min(room, length) - size]?.push(row)
  }
  const shape = [rows.length, length] as const
  const of = (): Packed => ({ data: new Int32Array(rows.length * length), shape })
  const [tokens, segments, positions] = [of(), of(), of()]
  tokens.data.fill(padding)
  rows.forEach((members, row) => {
    let at = row * length
    members.forEach((i, k) => {
      const sequence = sequences[i] as ArrayLike<number>
      for (let t = 0; t < sequence.length; t++, at++) {
        tokens.data[at] = sequence[t] as number
        segments.data[at] = k + 1
        positions.data[at] = t
      }
    })
  })
  return { tokens, segments, positions }
}
