// Letters to phonemes beside published figures: the system of 2014 in miniature, and what attention, both directions and longer training add.
import { fileURLToPath } from 'node:url'
import type { models } from 'quarterturn'
import { claim, command, type Outcome, type Study } from '../study/study.js'
import { EPOCH, g2p, LONGER } from './g2p.js'

export interface PronunciationSettings {
  width: number
  /** Letters and phonemes that are trained on: an epoch has 1.83 million. */
  tokens: number
  /** Of the longer runs. */
  longTokens: number
  beam: number
  /** Words of the test that are tried: 0 for all of them, 7,524. */
  testWords: number
}

/** Yao and Zweig 2015: LSTMs without attention, from the plain one to the best. */
const PUBLISHED = { phonemes: '5–8 %', words: '23–30 %' }

export function pronunciation(given: Partial<PronunciationSettings> = {}): Study<PronunciationSettings> {
  const settings = { width: 256, tokens: 4 * EPOCH, longTokens: LONGER.tokens, beam: 4, testWords: 0, ...given }
  const run =
    (tokens: number, model: Partial<models.EncoderDecoderConfig>) =>
    async (seed: number, { width, beam, testWords }: PronunciationSettings): Promise<Outcome> => {
      const words = testWords === 0 ? {} : { testWords }
      const result = await g2p({ ...words, tokens, width, beam, seed, model, minutes: 600, progress: false })
      return {
        'phoneme error, greedy, %': 100 * result.greedy.symbols,
        'word error, greedy, %': 100 * result.greedy.sequences,
        'phoneme error, beam, %': 100 * result.beam.symbols,
        'word error, beam, %': 100 * result.beam.sequences,
        'nats per phoneme': result.loss,
      }
    }
  return {
    name: 'seq2seq-pronunciation',
    title: 'Letters to phonemes',
    about: `The CMU Pronouncing Dictionary (npm \`cmu-pronouncing-dictionary\` 3.0.0), without stress marks. The split is by a hash of the word, 92 % to learn from, 2 % to watch, 6 % (7,524 words) for the test: it is no paper's, none is in a package. Errors are against the variant that fits best. Published for LSTMs without attention on this dictionary: phoneme error ${PUBLISHED.phonemes}, word error ${PUBLISHED.words} (Yao and Zweig 2015, arXiv 1506.00196). The control is the shorter run, which must be below 40 % of the words.`,
    settings,
    variants: {
      'as in 2014': run(settings.tokens, {}),
      'both directions, attention, three times as long': run(settings.longTokens, LONGER.model),
    },
    verdicts: (mean) => {
      const words = (variant: string): number => mean(variant, 'word error, beam, %')
      const long = words('both directions, attention, three times as long')
      return [
        claim(words('as in 2014') < 40, 'the control is below 40 % of the words'),
        claim(long <= 27, `word error at most 27 %: ${long.toFixed(1)} %`),
        claim(long <= 30, `within what is published for LSTMs without attention, ${PUBLISHED.words}`),
      ]
    },
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await command(pronunciation)
