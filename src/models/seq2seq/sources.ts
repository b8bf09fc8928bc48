// Sources and targets as numbers, checked; and what decoding and scoring need of whoever writes.
import { ArgumentError, DTypeError, OutOfRangeError, ShapeError } from '../../errors.js'
import type * as nn from '../../nn/index.js'
import { type Device, type Tensor, tensor } from '../../tensor/index.js'
import { show } from '../../tensor/shape.js'
import { PAD_ID, type Vocabulary } from '../../text/index.js'
import { checkTensor } from '../../train/check.js'
import { checkList } from '../check.js'
import type { SearchProblem } from '../search.js'
import type { Tensors } from './network.js'

/** A sequence of symbols. */
export type Symbols = readonly string[]

/** A model, or several that write together. */
export interface Writer extends nn.Module {
  readonly source: Vocabulary
  readonly target: Vocabulary
  readonly config: { readonly maxSource: number; readonly reversed: boolean }
  /** Logits [B, T, target.size] of the symbols [B, T] that end in `<EOS>`. */
  forward(source: Tensor, target: Tensor): Tensor
  /** @internal Writing for sources [B, S], at most `steps` symbols. */
  problem(source: Tensor, steps: number, attention?: boolean): SearchProblem<Tensors>
}

/**
 * @throws ArgumentError (`ERR_ARGUMENT`) for an empty source and an unknown symbol, OutOfRangeError (`ERR_RANGE`) for a source over the limit.
 */
export function sourceIds(
  { source, config: { maxSource } }: Pick<Writer, 'source' | 'config'>,
  sources: readonly Symbols[],
  op: string,
): number[][] {
  return checkList(sources, 'sources', op).map((symbols, row) => {
    const { length } = checkList(symbols, 'each source', op)
    if (length === 0)
      throw new ArgumentError(`${op}: source ${row} is empty`, { op, expected: 'at least one symbol', got: 'none' })
    if (length > maxSource) {
      const [expected, got] = [`at most ${maxSource} symbols`, String(length)]
      throw new OutOfRangeError(`${op}: source ${row} must have ${expected}, got ${got}`, { op, expected, got })
    }
    return source.encode(symbols)
  })
}

/** @throws ArgumentError, DTypeError or ShapeError unless x is int64 [B, `letter`]. */
export function checkIds(x: Tensor, name: string, letter: string, op: string): void {
  checkTensor(x, name, op)
  if (x.dtype !== 'int64') {
    const [expected, got] = ['int64', x.dtype]
    throw new DTypeError(`${op}: ${name} must be ${expected}, got ${got}`, { op, expected, got })
  }
  if (x.rank === 2 && x.size > 0) return
  const [expected, got] = [`[B, ${letter}], neither of them 0`, show(x.shape)]
  throw new ShapeError(`${op}: ${name} must be ${expected}, got ${got}`, { op, expected, got })
}

/** Rows as int64 [B, longest], filled up with `<PAD>`. */
export function padded(rows: readonly (readonly number[])[], device: Device): Tensor {
  const longest = Math.max(1, ...rows.map((row) => row.length))
  const whole = rows.map((row) => [...row, ...Array<number>(longest - row.length).fill(PAD_ID)])
  return tensor(whole, { dtype: 'int64', device })
}

/** Positions of rows in batches of at most `size`, rows of near-equal length together; equal ones stay in order. */
export function batchesOf(lengths: readonly number[], size: (length: number) => number): number[][] {
  const order = lengths.map((_, row) => row).sort((a, b) => (lengths[a] as number) - (lengths[b] as number) || a - b)
  const batches: number[][] = []
  // From the longest on, so that a batch that fits is as wide as its first row asks for.
  for (let end = order.length; end > 0; ) {
    const start = Math.max(0, end - Math.max(1, size(lengths[order[end - 1] as number] as number)))
    batches.push(order.slice(start, end))
    end = start
  }
  return batches
}
