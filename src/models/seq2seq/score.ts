// Scores of given translations by the forward pass alone: log-probabilities, perplexity, and n-best lists put in a new order.
import { ArgumentError } from '../../errors.js'
import * as nn from '../../nn/index.js'
import { ahead } from '../../tensor/index.js'
import { EOS_ID, PAD_ID } from '../../text/index.js'
import { Mode } from '../../train/mode.js'
import { checkList, checkRecords, taken } from '../check.js'
import type { Pair } from './loader.js'
import { bad } from './options.js'
import { batchesOf, padded, type Symbols, sourceIds, type Writer } from './sources.js'

/** Elements of the logits of one batch, about. */
const ELEMENTS = 2 ** 24

/** See `EncoderDecoder.score`. */
export async function score(
  writer: Writer,
  sources: readonly Symbols[],
  targets: readonly Symbols[],
): Promise<number[]> {
  const op = 'score'
  const from = sourceIds(writer, sources, op)
  const to = checkList(targets, 'targets', op).map((target) => [
    ...writer.target.encode(checkList(target, 'each target', op)),
    EOS_ID,
  ])
  if (to.length !== from.length) throw bad('targets', `as many as sources, ${from.length}`, to.length, op)
  const scores = new Array<number>(from.length)
  const longest = to.map(({ length }) => length)
  const size = (length: number): number => Math.floor(ELEMENTS / (length * writer.target.size))
  const mode = new Mode(writer)
  for (const rows of batchesOf(longest, size)) {
    const sums = mode.run(false, () =>
      ahead(() => {
        const [x, y] = [from, to].map((ids) =>
          padded(
            rows.map((row) => ids[row] as number[]),
            writer.device,
          ),
        )
        if (x === undefined || y === undefined) throw new ArgumentError(`${op}: no rows`, { op })
        const costs = nn.functional.crossEntropy(writer.forward(x, y), y, { ignoreIndex: PAD_ID, reduction: 'none' })
        return costs.to('float64').sum(1).neg()
      }),
    )
    for (const [i, value] of (await sums.data()).entries()) scores[rows[i] as number] = Number(value)
    sums.dispose()
  }
  return scores
}

/** See `EncoderDecoder.perplexity`. */
export async function perplexity(writer: Writer, pairs: readonly Pair[]): Promise<number> {
  const op = 'perplexity'
  const given = checkRecords(pairs, 'pairs', op)
  if (given.length === 0) throw bad('pairs', 'at least one', 'none', op)
  const targets = given.map(({ target }) => target)
  const logProbabilities = await score(
    writer,
    given.map(({ source }) => source),
    targets,
  )
  const symbols = targets.reduce((sum, { length }) => sum + length + 1, 0)
  return Math.exp(-logProbabilities.reduce((sum, value) => sum + value, 0) / symbols)
}

/** A translation that another system gives, and how it scores it: a log-probability, or whatever can be averaged with one. */
export interface Candidate {
  symbols: Symbols
  score: number
}

export interface Rescored extends Candidate {
  /** weight · logProbability + (1 − weight) · the score that was given. */
  score: number
  /** log p(symbols, `<EOS>` | source), in nats. */
  logProbability: number
}

/** See `EncoderDecoder.rescore`. */
export async function rescore<C extends Candidate>(
  writer: Writer,
  sources: readonly Symbols[],
  nBest: readonly (readonly C[])[],
  options: { weight?: number },
): Promise<(C & Rescored)[][]> {
  const op = 'rescore'
  const { weight = 0.5 } = taken(options, op)
  if (!(typeof weight === 'number' && weight >= 0 && weight <= 1)) throw bad('weight', 'within 0 … 1', weight, op)
  const lists = checkList(nBest, 'nBest', op)
  if (checkList(sources, 'sources', op).length !== lists.length)
    throw bad('nBest', `as many lists as sources, ${sources.length}`, lists.length, op)
  for (const list of lists)
    for (const { symbols, score } of checkRecords(list, 'nBest', op)) {
      checkList(symbols, 'symbols of each candidate', op)
      if (!Number.isFinite(score)) throw bad('the score of each candidate', 'a finite number', score, op)
    }
  const own = await score(
    writer,
    lists.flatMap((list, row) => list.map(() => sources[row] as Symbols)),
    lists.flatMap((list) => list.map(({ symbols }) => symbols)),
  )
  let next = 0
  return lists.map((list) =>
    list
      .map((candidate) => {
        const logProbability = own[next++] as number
        return { ...candidate, logProbability, score: weight * logProbability + (1 - weight) * candidate.score }
      })
      .sort((a, b) => b.score - a.score),
  )
}
