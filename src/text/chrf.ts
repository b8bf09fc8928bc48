// chrF and chrF++ of a corpus, as sacreBLEU has them.
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import { ngrams } from './bleu.js'
import { split } from './bleu-tokens.js'
import { corpusOf, counted, flag, positive, type References } from './corpus.js'
import { CorpusScore } from './corpus-score.js'
import { signature } from './signature.js'

export interface ChrFOptions {
  /** The longest n-grams of characters. @default 6 */
  charOrder?: number
  /** The longest n-grams of words; 2 makes it chrF++. @default 0 */
  wordOrder?: number
  /** How many times recall counts as much as precision. @default 2 */
  beta?: number
  /** Both sides in lower case. @default false */
  lowercase?: boolean
  /** Keeps white space among the characters. @default false */
  whitespace?: boolean
  /** The mean of the F of all orders, orders without n-grams counting 1e-16, as Moses and NLTK have it; else F of the mean precision and recall of orders that have some. @default false */
  epsSmoothing?: boolean
}

type Settings = Required<ChrFOptions>

/** chrF, from 0 to 100. */
export class ChrFScore extends CorpusScore {
  /** `chrF2`, `chrF2++`, …: with β, and a + for each order of words. */
  readonly name: string
  /** The settings and the program in sacreBLEU's notation: to be published beside the score. */
  readonly signature: string

  /** @internal */
  constructor(rows: readonly number[][], settings: Settings, references: number | undefined) {
    super(rows, (sums) => compute(sums, settings))
    const { charOrder, wordOrder, beta, lowercase, whitespace, epsSmoothing } = settings
    this.name = `chrF${beta}${'+'.repeat(wordOrder)}`
    this.signature = signature(references, {
      case: lowercase ? 'lc' : 'mixed',
      eff: epsSmoothing ? 'no' : 'yes',
      nc: charOrder,
      nw: wordOrder,
      space: whitespace ? 'yes' : 'no',
    })
  }

  /** One line, as it is published: `chrF2|nrefs:1|… = 52.3`. */
  toString(): string {
    return `${this.name}|${this.signature} = ${this.score.toFixed(1)}`
  }
}

/**
 * chrF of a corpus: F = (1 + β²)·P·R / (β²·P + R), in per cent, where P and R are the means over the orders n = 1 … `charOrder` (and those of words) of the
 * shares of n-grams of the hypotheses that the references have too, and the other way round. Counts are summed over the corpus first; of several references of a
 * sentence that with the highest F of its own counts. `{ wordOrder: 2 }` gives chrF++.
 *
 * `references[i]` are of `hypotheses[i]`: one text or several. Equal to sacreBLEU 2.6.0 of the same settings to 1e-9. The result is a `CorpusScore`.
 *
 * ```ts
 * console.log(text.chrF(['The dog bit the man.'], ['The dog bit the men.'], { wordOrder: 2 }).toString())
 * ```
 *
 * @throws ArgumentError for no sentences, lists of different lengths, what is not text, a sentence without references, unknown options.
 * Source: Popović 2015, 2016 (β = 2), 2017 (chrF++).
 */
export function chrF(
  hypotheses: readonly string[],
  references: readonly References[],
  options: ChrFOptions = {},
): ChrFScore {
  const settings = settingsOf(needOptions(options, 'chrF'))
  const corpus = corpusOf(hypotheses, references, 'chrF')
  const rows = corpus.hypotheses.map((line, i) => {
    const hypothesis = pieces(line, settings)
    const each = (corpus.references[i] as readonly string[]).map((reference) =>
      matches(hypothesis, pieces(reference, settings)),
    )
    return each.reduce((best, row) => (compute(row, settings) > compute(best, settings) ? row : best))
  })
  return new ChrFScore(rows, settings, corpus.perSentence)
}

function settingsOf(options: ChrFOptions): Settings {
  const { charOrder = 6, wordOrder = 0, beta = 2 } = options
  const { lowercase = false, whitespace = false, epsSmoothing = false } = options
  return {
    charOrder: whole(charOrder, 'charOrder', 'chrF', 1, 100),
    wordOrder: whole(wordOrder, 'wordOrder', 'chrF', 0, 100),
    beta: positive(beta, 'beta', 'chrF'),
    lowercase: flag(lowercase, 'lowercase', 'chrF'),
    whitespace: flag(whitespace, 'whitespace', 'chrF'),
    epsSmoothing: flag(epsSmoothing, 'epsSmoothing', 'chrF'),
  }
}

/** The n-grams of every order: of characters, then of words. */
function pieces(given: string, { charOrder, wordOrder, lowercase, whitespace }: Settings): Map<string, number>[] {
  const line = lowercase ? given.toLowerCase() : given
  const characters = whitespace ? line : split(line).join('')
  const starts = startsOf(characters)
  const all = Array.from({ length: charOrder }, (_, k) => counted(slices(characters, starts, k + 1)))
  if (wordOrder === 0) return all
  const words = split(line).flatMap(apart)
  return [...all, ...Array.from({ length: wordOrder }, (_, k) => counted(ngrams(words, k + 1)))]
}

/** Where each character (code point) begins, and the end. */
function startsOf(line: string): number[] {
  const starts: number[] = [0]
  for (const character of line) starts.push((starts.at(-1) as number) + character.length)
  return starts
}

function* slices(line: string, starts: readonly number[], n: number): Generator<string> {
  for (let i = 0; i + n < starts.length; i++) yield line.slice(starts[i], starts[i + n])
}

const MARKS = new Set('!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~')

/** One mark of ASCII at the end of a word, else one at its beginning, made a word of its own. */
function apart(word: string): string[] {
  const characters = [...word]
  if (characters.length === 1) return [word]
  const [first, last] = [characters[0] as string, characters.at(-1) as string]
  if (MARKS.has(last)) return [word.slice(0, -1), last]
  return MARKS.has(first) ? [first, word.slice(1)] : [word]
}

/** For every order: n-grams of the hypothesis (none where the reference has none), of the reference, and of both. */
function matches(hypothesis: readonly Map<string, number>[], reference: readonly Map<string, number>[]): number[] {
  return hypothesis.flatMap((counts, k) => {
    const known = reference[k] as Map<string, number>
    let matched = 0
    for (const [ngram, count] of counts) matched += Math.min(count, known.get(ngram) ?? 0)
    return [known.size === 0 ? 0 : sum(counts.values()), sum(known.values()), matched]
  })
}

function sum(numbers: Iterable<number>): number {
  let total = 0
  for (const number of numbers) total += number
  return total
}

const EPS = 1e-16

function compute(sums: readonly number[], { beta, epsSmoothing }: Settings): number {
  const factor = beta ** 2
  const f = (precision: number, recall: number) => ((1 + factor) * precision * recall) / (factor * precision + recall)
  const orders = sums.length / 3
  let [smoothed, precisions, recalls, present] = [0, 0, 0, 0]
  for (let k = 0; k < sums.length; k += 3) {
    const [hypothesis, reference, matched] = sums.slice(k, k + 3) as [number, number, number]
    const precision = hypothesis > 0 ? matched / hypothesis : EPS
    const recall = reference > 0 ? matched / reference : EPS
    smoothed += factor * precision + recall > 0 ? f(precision, recall) : EPS
    if (hypothesis > 0 && reference > 0) {
      precisions += precision
      recalls += recall
      present++
    }
  }
  if (epsSmoothing) return (100 * smoothed) / orders
  return precisions + recalls > 0 ? 100 * f(precisions / present, recalls / present) : 0
}
