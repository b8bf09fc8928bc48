// How sure a measure of a corpus is: bootstrap intervals, and paired bootstrap tests of two systems.
import { philox } from '../data/order.js'
import { ArgumentError } from '../errors.js'
import { needOptions } from '../tensor/options.js'
import { Generator } from '../tensor/random.js'
import { whole } from '../tensor/shape.js'
import { told } from '../told.js'
import { CorpusScore } from './corpus-score.js'

export interface BootstrapOptions {
  /** How often the corpus is drawn anew. @default 1000 */
  samples?: number
  /** The share of the samples within the interval. @default 0.95 */
  confidence?: number
  /** Of the draws: the same seed, the same result. @default 0 */
  seed?: number | bigint
}

/** A measure and where it would lie for another corpus of the same kind. */
export interface Interval {
  /** Of the corpus as it is. */
  score: number
  /** Of the samples. */
  mean: number
  /** The standard deviation of the samples, which estimates the standard error of the score. */
  deviation: number
  /** The ends of the interval: the samples beyond each are (1 − confidence)/2 of all. */
  low: number
  high: number
}

/** The difference of two systems on one corpus: `score` is that of their scores. */
export interface PairedInterval extends Interval {
  /** The share of the samples in which the first score is the higher one (Koehn 2004). */
  wins: number
  /** Two-sided: the share of samples, centred at their mean, whose difference is at least as far from 0 as the one found. */
  pValue: number
  /** As Moses and sacreBLEU's `--paired-bs` count it, for comparison with published values. */
  pValueMoses: number
}

/**
 * A bootstrap interval: B times as many sentences as the corpus has are drawn from it with replacement, and measured; the interval is between the percentiles of
 * the B scores. Takes any `CorpusScore`: `text.bleu(…)`, `text.chrF(…)`, `text.symbolErrorRate(…)`, or one of your own. Only the sums of the sentences' numbers
 * are computed again, on the calling thread: some tenths of a second for 1000 samples of 3000 sentences.
 *
 * ```ts
 * const { score, low, high } = text.bootstrap(text.bleu(['a b c d', 'e f g'], ['a b c d', 'e f h']))
 * console.log(`BLEU ${score.toFixed(1)} [${low.toFixed(1)}, ${high.toFixed(1)}]`)
 * ```
 *
 * @throws ArgumentError for options out of range.
 * Source: Efron and Tibshirani 1993, chapter 13; Koehn 2004, section 3.
 */
export function bootstrap(score: CorpusScore, options: BootstrapOptions = {}): Interval {
  const settings = settingsOf(options, 'bootstrap')
  checkScore(score, 'bootstrap')
  const scores = new Float64Array(settings.samples)
  resample(score, settings, (sums, b) => {
    scores[b] = score.of(sums)
  })
  return intervalOf(score.score, scores, settings.confidence)
}

/**
 * Two systems on the same sentences, drawn together: is the difference of their scores more than chance? `a` and `b` are the same measure of the same corpus.
 *
 * With d the difference of the corpus and d* those of the B samples: pValue = (1 + #{|d* − mean d*| ≥ |d|}) / (B + 1). `pValueMoses` instead counts
 * |d*| − mean |d*| > |d|: where the systems differ clearly that is one side only, about half as much, and for a system against itself 1/(B + 1).
 *
 * ```ts
 * const right = ['the cat sat', 'a dog ran', 'it rained']
 * const [a, b] = [text.chrF(['the cat sat', 'a dog ran', 'it rains'], right), text.chrF(['the cat', 'dog runs', 'rain'], right)]
 * console.log(text.pairedBootstrap(a, b).wins)
 * ```
 *
 * @throws ArgumentError for scores of different numbers of sentences, options out of range.
 * Source: Koehn 2004, section 4; Efron and Tibshirani 1993, chapter 16, for the centring.
 */
export function pairedBootstrap(a: CorpusScore, b: CorpusScore, options: BootstrapOptions = {}): PairedInterval {
  const op = 'pairedBootstrap'
  const settings = settingsOf(options, op)
  for (const score of [a, b]) checkScore(score, op)
  if (a.size !== b.size) {
    const [expected, got] = ['two scores of the same sentences', `${a.size} and ${b.size} sentences`]
    throw new ArgumentError(`${op}: expected ${expected}, got ${got}`, { op, expected, got })
  }
  const differences = new Float64Array(settings.samples)
  // The same seed draws the same sentences for both.
  resample(a, settings, (sums, i) => {
    differences[i] = a.of(sums)
  })
  resample(b, settings, (sums, i) => {
    differences[i]! -= b.of(sums)
  })
  const found = a.score - b.score
  const interval = intervalOf(found, differences, settings.confidence)
  const absolute = differences.reduce((sum, difference) => sum + Math.abs(difference), 0) / settings.samples
  let [wins, beyond, moses] = [0, 0, 0]
  for (const difference of differences) {
    if (difference > 0) wins++
    if (Math.abs(difference - interval.mean) >= Math.abs(found)) beyond++
    if (Math.abs(difference) - absolute > Math.abs(found)) moses++
  }
  const share = (count: number) => (count + 1) / (settings.samples + 1)
  return { ...interval, wins: wins / settings.samples, pValue: share(beyond), pValueMoses: share(moses) }
}

function checkScore(score: CorpusScore, op: string): void {
  if (score instanceof CorpusScore) return
  const expected = 'a CorpusScore, such as text.bleu(…) gives'
  throw new ArgumentError(`${op}: expected ${expected}, got ${told(score)}`, { op, expected, got: told(score) })
}

interface Settings {
  samples: number
  confidence: number
  generator: () => Generator
}

function settingsOf(options: BootstrapOptions, op: string): Settings {
  const { samples = 1000, confidence = 0.95, seed = 0 } = needOptions(options, op)
  whole(samples, 'samples', op, 1, 10_000_000)
  if (typeof confidence !== 'number' || !(confidence > 0 && confidence < 1)) {
    const [expected, got] = ['a number between 0 and 1', told(confidence)]
    throw new ArgumentError(`${op}: confidence must be ${expected}, got ${got}`, { op, expected, got })
  }
  const start = new Generator(seed).state()
  const generator = () => {
    const made = new Generator(0)
    made.restore(start)
    return made
  }
  return { samples, confidence, generator }
}

/** Draws the sentences of each sample and hands over the sums of their numbers. */
function resample(
  score: CorpusScore,
  { samples, generator }: Settings,
  visit: (sums: number[], b: number) => void,
): void {
  const { size, width, values } = score
  const { keyLow, keyHigh, offset } = generator().draw(Math.ceil((samples * size) / 4))
  const block = new Uint32Array(4)
  const sums = new Float64Array(width)
  let drawn = 0
  for (let b = 0; b < samples; b++) {
    sums.fill(0)
    for (let i = 0; i < size; i++, drawn++) {
      const word = drawn & 3
      if (word === 0) philox(block, keyLow, keyHigh, offset + drawn / 4)
      // Every sentence is equally likely (up to 2⁻³²).
      const row = Math.floor(((block[word] as number) * size) / 2 ** 32) * width
      for (let j = 0; j < width; j++) sums[j]! += values[row + j] as number
    }
    visit(Array.from(sums), b)
  }
}

function intervalOf(score: number, samples: Float64Array, confidence: number): Interval {
  const n = samples.length
  const mean = samples.reduce((sum, value) => sum + value, 0) / n
  const squares = samples.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  const sorted = samples.toSorted()
  // A share such as 0.025 of 1000 is 25, also where the product is a little less in float64.
  const beyond = Math.min(Math.floor((n * (1 - confidence)) / 2 + 1e-9), Math.floor((n - 1) / 2))
  return {
    score,
    mean,
    deviation: Math.sqrt(squares / Math.max(1, n - 1)),
    low: sorted[beyond] as number,
    high: sorted[n - 1 - beyond] as number,
  }
}
