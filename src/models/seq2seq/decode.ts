// Writing: sources in batches of near-equal length, searched by the driver that is common to all models.
import { Mode } from '../../train/mode.js'
import { checkList, taken } from '../check.js'
import { type Found, type SearchOptions, search } from '../search.js'
import { bad } from './options.js'
import { batchesOf, padded, type Symbols, sourceIds, type Writer } from './sources.js'

export interface DecodeOptions {
  /** Hypotheses that are kept at each step; 1 is greedy. @default 1 */
  beam?: number
  /** Hypotheses that are given for each source. @default beam */
  alternatives?: number
  /** The most symbols that are written. @default S + max(8, S/2), S being the length of the source */
  maxLength?: number
  /** Scores are divided by ((5 + length) / 6)^this (Wu et al. 2016, §7), so that long hypotheses are not at a disadvantage. @default 0 */
  lengthPenalty?: number
  /** Symbols are drawn instead of searched. */
  sample?: NonNullable<SearchOptions['sample']>
  /** What each target begins with, for each source. */
  prefix?: readonly Symbols[]
  /** Whether each hypothesis tells what it attended to. @default false */
  attention?: boolean
  /** Ends the search with an `AbortedError`; the model is as before. */
  signal?: AbortSignal
}

export interface Hypothesis {
  symbols: string[]
  /** log p(symbols, `<EOS>` | source), in nats. */
  logProbability: number
  /** What hypotheses are ordered by: the same, but for a length penalty. */
  score: number
  /** Whether it ended by itself; false if it was cut at `maxLength`. */
  ended: boolean
  /** For each symbol written, how much it attended to each symbol of the source. */
  attention?: number[][]
}

/** Rows (sources × beam) that are decoded together, and the symbols of sources that they read. */
const ROWS = 1024
const SYMBOLS = 2 ** 16

/** See `EncoderDecoder.decode`. */
export async function decode(
  writer: Writer,
  sources: readonly Symbols[],
  given: DecodeOptions,
  op = 'decode',
): Promise<Hypothesis[][]> {
  const { maxLength, prefix, ...options } = taken(given, op)
  const { beam = 1, attention = false } = options
  const ids = sourceIds(writer, sources, op)
  const widest = writer.target.size - 1
  if (!(Number.isInteger(beam) && beam >= 1 && beam <= widest))
    throw bad('beam', `a whole number within 1 … ${widest}`, beam, op)
  if (maxLength !== undefined && !(Number.isInteger(maxLength) && maxLength >= 1))
    throw bad('maxLength', 'a whole number ≥ 1', maxLength, op)
  const before = prefix && prefixes(writer, prefix, sources.length)
  const results = new Array<Hypothesis[]>(sources.length)
  const mode = new Mode(writer)
  for (const rows of batchesOf(
    ids.map(({ length }) => length),
    (length) => Math.floor(Math.min(ROWS, SYMBOLS / length) / beam),
  )) {
    const limits = rows.map((row) => maxLength ?? limitOf((ids[row] as number[]).length))
    const batch = rows.map((row) => ids[row] as number[])
    const start = before && { prefix: rows.map((row) => before[row] as number[]) }
    const steps = Math.max(...limits)
    // Encoding and search are one unit: both on the weights of one moment.
    const found = await mode.run(false, () =>
      search(() => writer.problem(padded(batch, writer.device), steps, attention), {
        ...options,
        ...start,
        maxLength: limits,
      }),
    )
    for (const [i, list] of found.entries())
      results[rows[i] as number] = list.map((each) => hypothesis(writer, each, (batch[i] as number[]).length))
  }
  return results
}

function limitOf(length: number): number {
  return length + Math.max(8, Math.ceil(length / 2))
}

function prefixes({ target }: Writer, given: readonly Symbols[], sources: number): number[][] {
  const list = checkList(given, 'prefix', 'decode')
  if (list.length !== sources) throw bad('prefix', `as many as sources, ${sources}`, list.length, 'decode')
  return list.map((symbols) => target.encode(checkList(symbols, 'each prefix', 'decode')))
}

function hypothesis({ target, config }: Writer, found: Found, length: number): Hypothesis {
  const { ids, logProbability, score, ended, attention } = found
  const told = { symbols: target.decode(ids), logProbability, score, ended }
  if (attention === undefined) return told
  const rows = attention.map((weights) => {
    const read = Array.from(weights.subarray(0, length))
    return config.reversed ? read.reverse() : read
  })
  return { ...told, attention: rows }
}
