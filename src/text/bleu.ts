// BLEU of a corpus, as sacreBLEU has it.
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import { type BleuTokenizer, bleuTokens } from './bleu-tokens.js'
import { corpusOf, counted, flag, oneOf, positive, type References } from './corpus.js'
import { CorpusScore } from './corpus-score.js'
import { signature } from './signature.js'

export interface BleuOptions {
  /** How lines are cut into tokens. @default '13a' */
  tokenize?: BleuTokenizer
  /** Both sides in lower case. @default false */
  lowercase?: boolean
  /**
   * What an order without any match counts as (Chen and Cherry 2014): the k-th such order 100 / (2ᵏ·total) (`'exp'`), `smoothValue` matches (`'floor'`), nothing
   * (`'none'`); or `smoothValue` added to matches and totals of all orders but the first (`'add-k'`).
   * @default 'exp'
   */
  smooth?: 'exp' | 'floor' | 'add-k' | 'none'
  /** For `'floor'` and `'add-k'`. @default 0.1 and 1 */
  smoothValue?: number
  /** Leaves out orders longer than every hypothesis: for single sentences. @default false */
  effectiveOrder?: boolean
  /** The longest n-grams. @default 4 */
  maxOrder?: number
}

type Settings = Required<BleuOptions>

const SMOOTH_VALUES = { exp: 1, floor: 0.1, 'add-k': 1, none: 1 }

/** BLEU, from 0 to 100, and what it comes from. */
export class BleuScore extends CorpusScore {
  /** Of each order, in per cent, smoothed. */
  readonly precisions: readonly number[]
  /** The brevity penalty. */
  readonly bp: number
  /** Tokens of all hypotheses. */
  readonly hypothesisLength: number
  /** Tokens of the references, of each sentence those of the reference that is nearest in length (the shorter of two). */
  readonly referenceLength: number
  /** N-grams of each order that a reference has too. */
  readonly counts: readonly number[]
  /** N-grams of each order. */
  readonly totals: readonly number[]
  /** The settings and the program in sacreBLEU's notation: to be published beside the score. */
  readonly signature: string

  /** @internal */
  constructor(rows: readonly number[][], settings: Settings, references: number | undefined) {
    super(rows, (sums) => compute(sums, settings).score)
    const { lowercase, effectiveOrder, tokenize, smooth, smoothValue, maxOrder } = settings
    const sums = this.sums()
    const { precisions, bp } = compute(sums, settings)
    this.precisions = precisions
    this.bp = bp
    this.hypothesisLength = sums[0] as number
    this.referenceLength = sums[1] as number
    this.counts = sums.slice(2, 2 + maxOrder)
    this.totals = sums.slice(2 + maxOrder)
    this.signature = signature(references, {
      case: lowercase ? 'lc' : 'mixed',
      eff: effectiveOrder ? 'yes' : 'no',
      tok: tokenize,
      smooth: smooth === 'floor' || smooth === 'add-k' ? `${smooth}[${smoothValue.toFixed(2)}]` : smooth,
      ...(maxOrder !== 4 && { order: maxOrder }),
    })
  }

  /** One line, as it is published: `BLEU|nrefs:1|… = 48.5 82.4/50.0/45.5/37.5 (BP = 0.943 …)`. */
  toString(): string {
    const precisions = this.precisions.map((precision) => precision.toFixed(1)).join('/')
    const ratio = this.referenceLength === 0 ? 0 : this.hypothesisLength / this.referenceLength
    return `BLEU|${this.signature} = ${this.score.toFixed(1)} ${precisions} (BP = ${this.bp.toFixed(3)} ratio = ${ratio.toFixed(3)} hyp_len = ${this.hypothesisLength} ref_len = ${this.referenceLength})`
  }
}

/**
 * BLEU of a corpus: BP · exp(1/N · Σₙ ln pₙ) with pₙ the share of the hypotheses' n-grams that a reference has too, each counted at most as often as in the
 * reference that has it most often; BP = exp(1 − r/c) where the hypotheses' c tokens are fewer than the references' r, else 1. All counts are summed over the
 * corpus first. 0 where nothing matches.
 *
 * `references[i]` are of `hypotheses[i]`: one text or several. Both are **detokenised** text, as people read it. Equal to sacreBLEU 2.6.0 of the same settings
 * to 1e-9 (whose references are lists of whole corpora: ours are by sentence); the result is a `CorpusScore`: see `bootstrap`, `lengthCurve`.
 *
 * ```ts
 * const score = text.bleu(['The dog bit the man.'], [['The dog bit the man.', 'The dog had bit the man.']])
 * console.log(score.score, score.signature)
 * ```
 *
 * @throws ArgumentError for no sentences, lists of different lengths, what is not text, a sentence without references, unknown options.
 * Source: Papineni et al. 2002; Post 2018 for what is fixed by the signature.
 */
export function bleu(
  hypotheses: readonly string[],
  references: readonly References[],
  options: BleuOptions = {},
): BleuScore {
  const settings = settingsOf(needOptions(options, 'bleu'))
  const corpus = corpusOf(hypotheses, references, 'bleu')
  const { maxOrder, lowercase, tokenize } = settings
  const tokens = (line: string) => bleuTokens(lowercase ? line.toLowerCase() : line, tokenize)
  const rows = corpus.hypotheses.map((line, i) =>
    statistics(tokens(line), (corpus.references[i] as readonly string[]).map(tokens), maxOrder),
  )
  return new BleuScore(rows, settings, corpus.perSentence)
}

function settingsOf(options: BleuOptions): Settings {
  const { tokenize = '13a', lowercase = false, smooth = 'exp', effectiveOrder = false, maxOrder = 4 } = options
  oneOf(smooth, ['exp', 'floor', 'add-k', 'none'], 'smooth', 'bleu')
  return {
    tokenize: oneOf(tokenize, ['13a', 'intl', 'char', 'none'], 'tokenize', 'bleu'),
    lowercase: flag(lowercase, 'lowercase', 'bleu'),
    smooth,
    smoothValue: positive(options.smoothValue ?? SMOOTH_VALUES[smooth], 'smoothValue', 'bleu'),
    effectiveOrder: flag(effectiveOrder, 'effectiveOrder', 'bleu'),
    maxOrder: whole(maxOrder, 'maxOrder', 'bleu', 1, 100),
  }
}

/** Of one sentence: its length, that of the nearest reference, matches of each order, n-grams of each order. */
function statistics(
  hypothesis: readonly string[],
  references: readonly (readonly string[])[],
  maxOrder: number,
): number[] {
  const off = (length: number) => Math.abs(hypothesis.length - length)
  const nearest = references
    .map(({ length }) => length)
    .reduce((best, length) => (off(length) < off(best) || (off(length) === off(best) && length < best) ? length : best))
  const matches: number[] = []
  const totals: number[] = []
  for (let n = 1; n <= maxOrder; n++) {
    const known = references.map((reference) => counted(ngrams(reference, n)))
    let matched = 0
    for (const [ngram, count] of counted(ngrams(hypothesis, n)))
      matched += Math.min(count, Math.max(...known.map((counts) => counts.get(ngram) ?? 0)))
    matches.push(matched)
    totals.push(Math.max(0, hypothesis.length - n + 1))
  }
  return [hypothesis.length, nearest, ...matches, ...totals]
}

/** Joined by a space, which no token has. */
export function ngrams(tokens: readonly string[], n: number): string[] {
  if (n === 1) return [...tokens]
  return Array.from({ length: Math.max(0, tokens.length - n + 1) }, (_, i) => tokens.slice(i, i + n).join(' '))
}

function compute(sums: readonly number[], { smooth, smoothValue, effectiveOrder, maxOrder }: Settings) {
  const [length, reference] = sums as [number, number]
  const bp = length >= reference ? 1 : length > 0 ? Math.exp(1 - reference / length) : 0
  const precisions = new Array<number>(maxOrder).fill(0)
  if (sums.slice(2, 2 + maxOrder).every((count) => count === 0)) return { score: 0, precisions, bp }
  let orders = maxOrder
  let empty = 0
  for (let n = 0; n < maxOrder; n++) {
    const added = smooth === 'add-k' && n > 0 ? smoothValue : 0
    const count = (sums[2 + n] as number) + added
    const total = (sums[2 + maxOrder + n] as number) + added
    if (total === 0) break
    if (effectiveOrder) orders = n + 1
    if (count > 0) precisions[n] = (100 * count) / total
    else if (smooth === 'exp') precisions[n] = 100 / (2 ** ++empty * total)
    else if (smooth === 'floor') precisions[n] = (100 * smoothValue) / total
  }
  const used = precisions.slice(0, orders)
  const score = used.includes(0)
    ? 0
    : bp * Math.exp(used.reduce((sum, precision) => sum + Math.log(precision), 0) / orders)
  return { score, precisions, bp }
}
