// A measure against a property of the sentences: how long they are, how rare their words.
import { ArgumentError } from '../errors.js'
import { checkBuffer } from '../tensor/check-buffer.js'
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import { told } from '../told.js'
import { type BootstrapOptions, bootstrap, type Interval } from './bootstrap.js'
import { checkArray, checkIterable } from './check.js'
import { CorpusScore } from './corpus-score.js'

export interface CurveOptions extends BootstrapOptions {
  /** Into how many bins of nearly as many sentences each; equal keys are in one bin, so that there may be fewer. @default 8 */
  bins?: number
  /** Bins by bounds instead, ascending: edges[k] ≤ key < edges[k + 1], the last bin with its upper bound. Sentences outside are left out, empty bins too. */
  edges?: readonly number[]
}

/** The measure of the sentences of a bin, with its bootstrap interval. */
export interface CurvePoint extends Interval {
  /** The least, mean and largest key of its sentences. */
  from: number
  key: number
  to: number
  /** How many sentences. */
  count: number
}

/**
 * The measure of sentences in bins by a number that each of them has, in ascending order.
 *
 * ```ts
 * const exact = new text.CorpusScore([[1], [1], [0], [0]], ([right]) => right)
 * console.log(text.curve(exact, [3, 4, 9, 12], { bins: 2 }).map(({ key, score }) => [key, score]))   // [ [ 3.5, 2 ], [ 10.5, 0 ] ]
 * ```
 *
 * @throws ArgumentError for keys that are not as many finite numbers as there are sentences, or bins and edges out of range.
 */
export function curve(score: CorpusScore, keys: ArrayLike<number>, options: CurveOptions = {}): CurvePoint[] {
  if (ArrayBuffer.isView(keys)) checkBuffer(keys, 'curve')
  const given = Array.isArray(keys) || ArrayBuffer.isView(keys) ? Array.from(keys as number[]) : undefined
  return curveOf(score, given, options, 'curve')
}

/**
 * The measure against the length of the source: figure 3 (left) of Sutskever, Vinyals and Le 2014, with intervals.
 *
 * @param sources the symbols (words, tokens) of each sentence
 * @throws ArgumentError as `curve`.
 */
export function lengthCurve(
  score: CorpusScore,
  sources: readonly (readonly unknown[])[],
  options: CurveOptions = {},
): CurvePoint[] {
  checkSources(sources, 'lengthCurve')
  return curveOf(
    score,
    Array.from(sources, ({ length }) => length),
    options,
    'lengthCurve',
  )
}

/**
 * The measure against the mean frequency rank of the source's words: figure 3 (right) of Sutskever, Vinyals and Le 2014, with intervals. A word without a rank
 * counts as the one after the last; a source without words as 0.
 *
 * @param ranks from `wordRanks` of the texts to learn from
 * @throws ArgumentError as `curve`, and for ranks that are no Map.
 */
export function rarityCurve<T>(
  score: CorpusScore,
  sources: readonly (readonly T[])[],
  ranks: ReadonlyMap<T, number>,
  options: CurveOptions = {},
): CurvePoint[] {
  const op = 'rarityCurve'
  checkSources(sources, op)
  if (!(ranks instanceof Map)) throw refused(op, 'ranks: a Map, such as wordRanks gives', told(ranks))
  const rank = (word: T) => (ranks as ReadonlyMap<T, number>).get(word) ?? ranks.size + 1
  const keys = Array.from(
    sources,
    (source) => source.reduce((sum, word) => sum + rank(word), 0) / Math.max(1, source.length),
  )
  return curveOf(score, keys, options, op)
}

/** The place of each symbol when they are put in order of frequency: 1 for the most frequent one. Of equally frequent ones, that which is seen first. */
export function wordRanks<T>(sequences: Iterable<Iterable<T>>): Map<T, number> {
  const counts = new Map<T, number>()
  for (const sequence of checkIterable(sequences, 'wordRanks', 'sequences of symbols')) {
    for (const symbol of checkIterable(sequence, 'wordRanks', 'sequences of symbols'))
      counts.set(symbol, (counts.get(symbol) ?? 0) + 1)
  }
  const sorted = [...counts].sort(([, a], [, b]) => b - a)
  return new Map(sorted.map(([symbol], i) => [symbol, i + 1]))
}

function curveOf(
  score: CorpusScore,
  keys: readonly number[] | undefined,
  options: CurveOptions,
  op: string,
): CurvePoint[] {
  const { bins = 8, edges } = needOptions(options, op)
  if (!(score instanceof CorpusScore)) throw refused(op, 'a CorpusScore, such as text.bleu(…) gives', told(score))
  if (keys?.length !== score.size || !keys.every(Number.isFinite))
    throw refused(
      op,
      `a finite number for each of the ${score.size} sentences`,
      keys === undefined ? 'no array' : `${keys.length} keys`,
    )
  whole(bins, 'bins', op, 1)
  const key = (i: number) => keys[i] as number
  const order = keys.map((_, i) => i).sort((a, b) => key(a) - key(b) || a - b)
  const cut = edges === undefined ? equalCuts(order, key, bins) : edgeCuts(order, key, checkEdges(edges, op))
  return cut.slice(1).flatMap((end, k) => {
    const sentences = order.slice(cut[k], end)
    if (sentences.length === 0) return []
    const mean = sentences.reduce((sum, i) => sum + key(i), 0) / sentences.length
    const [from, to] = [key(sentences[0] as number), key(sentences.at(-1) as number)]
    return [{ from, key: mean, to, count: sentences.length, ...bootstrap(score.select(sentences), options) }]
  })
}

/** Where bins begin and end in the order: nearly equal ones, moved up to where the key changes. */
function equalCuts(order: readonly number[], key: (i: number) => number, bins: number): number[] {
  const cuts = [0]
  const most = Math.min(bins, order.length)
  for (let k = 1; k <= most; k++) {
    let at = Math.max(Math.round((k * order.length) / most), cuts.at(-1) as number)
    while (at > 0 && at < order.length && key(order[at] as number) === key(order[at - 1] as number)) at++
    if (at > (cuts.at(-1) as number)) cuts.push(at)
  }
  return cuts
}

function edgeCuts(order: readonly number[], key: (i: number) => number, edges: readonly number[]): number[] {
  return edges.map((edge, k) => {
    const last = k === edges.length - 1
    const at = order.findIndex((i) => (last ? key(i) > edge : key(i) >= edge))
    return at < 0 ? order.length : at
  })
}

function checkEdges(edges: readonly number[], op: string): readonly number[] {
  checkArray(edges, op, 'edges: an array of numbers')
  const ascending =
    edges.length >= 2 && edges.every((edge, k) => Number.isFinite(edge) && (k === 0 || edge > (edges[k - 1] as number)))
  if (!ascending) throw refused(op, 'edges: two ascending numbers or more', told(edges))
  return edges
}

function checkSources(sources: readonly (readonly unknown[])[], op: string): void {
  for (const source of checkArray(sources, op, 'sources: an array of arrays'))
    checkArray(source, op, 'sources: an array of arrays')
}

function refused(op: string, expected: string, got: string): ArgumentError {
  return new ArgumentError(`${op}: expected ${expected}, got ${got}`, { op, expected, got })
}
