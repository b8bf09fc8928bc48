// Letters to phonemes with the encoder-decoder of 2014 in miniature: trains it, and measures it on words that it has never seen.
import { manualSeed, models, optim, text, train } from 'quarterturn'
import { type Entry, readDictionary } from './dictionary.js'

export interface G2pOptions {
  /**
   * Letters, phonemes and `<EOS>`s to train on: every symbol that one of the two LSTMs reads counts, as in the words per second of the 2014 paper.
   * @default four times through the training words, 7.3 million
   */
  tokens?: number
  /** Training ends after so many minutes even if tokens are left. @default 5 */
  minutes?: number
  /** @default 1 */
  seed?: number
  /** Width of the embeddings and of the two LSTMs. @default 256 */
  width?: number
  /** What else the model is made of (default: two LSTMs of 2 layers without attention, as in 2014). */
  model?: Partial<models.EncoderDecoderConfig>
  /** Words of the test part that are tried. @default all */
  testWords?: number
  /** Hypotheses kept by the beam search. @default 4 */
  beam?: number
  /** Told what is about to happen. */
  say?: (line: string) => void
  /** Whether `fit` tells how it goes. @default true */
  progress?: boolean
}

export interface G2pResult {
  model: models.EncoderDecoder
  /** What training took, and how much of it was done. */
  seconds: number
  tokens: number
  /** Mean cross entropy per test phoneme, in nats. */
  loss: number
  /** Error rates on the test words: `symbols` is the phoneme, `sequences` the word error rate. */
  greedy: text.ErrorRates
  beam: text.ErrorRates
  /** The test words and what beam search made of them. */
  answers: { entry: Entry; phonemes: string[] }[]
  /** The same for words that the dictionary does not have at all. */
  unknown: { word: string; phonemes: string[] }[]
}

/** Letters and phonemes of the training words, about. */
export const EPOCH = 1.83e6

/** What comes nearest to published figures within an hour on two cores: both directions, attention, three times as long. */
export const LONGER = {
  tokens: 12 * EPOCH,
  model: { attention: 'multiplicative', bidirectional: true, dropout: 0.2, labelSmoothing: 0.1 },
} as const satisfies G2pOptions

const UNKNOWN = ['quarterturn', 'resnet', 'typescript']
const EPOCHS = 4
const BATCH = 128
const LAYERS = 2
const CLIP = 5
/** AdamW with this rate at its highest, after a twentieth of the steps; then down to 0 in a straight line. */
export const OPTIMIZER = { lr: 2e-3, betas: [0.9, 0.99], weightDecay: 0.01 } as const
const WARMUP = 0.05

export async function g2p(options: G2pOptions = {}): Promise<G2pResult> {
  const { minutes = 5, seed = 1, width = 256, testWords, beam = 4, say = () => {}, progress = true } = options
  manualSeed(seed)
  const words = readDictionary()
  const epochs =
    options.tokens === undefined ? EPOCHS : Math.max(1, Math.round(options.tokens / countTokens(words.training)))
  const training = options.tokens === undefined ? words.training : shareOf(words.training, options.tokens / epochs)
  const test = testWords === undefined ? words.test : everyNth(words.test, testWords)

  const model = new models.EncoderDecoder({
    ...{ ...vocabularies(words.training), width, numLayers: LAYERS },
    ...options.model,
  })
  const loader = model.loader(pairs(training), { batch: BATCH, seed })
  const parameters = model.parameters().reduce((sum, { size }) => sum + size, 0)
  say(
    `Words     ${count(training.length)} to learn from, ${count(words.validation.length)} to watch, ${count(test.length)} for the test (CMU pronouncing dictionary)`,
  )
  say(`Model     ${described(model.config, `${(parameters / 1e6).toPrecision(2)} M parameters`)}`)
  say(
    `Training  ${epochs} × ${count(countTokens(training))} letters and phonemes, ${minutes} min at most; batches of ${BATCH}, AdamW, clipped at ${CLIP}\n`,
  )

  const clock = new Clock(epochs * loader.length, minutes * 60)
  const history = await train.fit(model, loader, {
    epochs,
    validation: model.loader(pairs(words.validation), { shuffle: false }),
    optimizer: optim.adamW({ ...OPTIMIZER, lr: (step) => OPTIMIZER.lr * schedule(clock.progress(step)) }),
    clipNorm: CLIP,
    seed,
    progress,
    callbacks: {
      onStep: ({ totalSteps }, run) => {
        if (clock.isOver()) run.stop()
        clock.done = totalSteps
      },
    },
  })
  const seconds = clock.seconds()
  const done = history.ended === 'epochs' ? 1 : clock.done / clock.steps
  const tokens = Math.round(done * epochs * countTokens(training))
  const short = done < 1 ? `, ${Math.round(100 * done)} % of what was planned: the time was up` : ''
  say(
    `\nTrained on ${count(tokens)} letters and phonemes in ${duration(seconds)} (${count(Math.round(tokens / seconds))} per second)${short}.`,
  )
  say(`Now the test ...`)
  model.eval()

  const { loss } = await train.evaluate(model, model.loader(pairs(test), { shuffle: false }), {
    loss: (model, batch) => model.loss(batch),
  })
  const greedy = await answer(model, test, 1)
  const best = await answer(model, test, beam)
  const known = new Set([...words.training, ...words.validation, ...words.test].map(({ word }) => word))
  const unknown = UNKNOWN.filter((word) => !known.has(word)).map((word) => ({ word, pronunciations: [] }))
  return {
    model,
    seconds,
    tokens,
    loss,
    greedy: rates(greedy),
    beam: rates(best),
    answers: best,
    unknown: (await answer(model, unknown, beam)).map(({ entry, phonemes }) => ({ word: entry.word, phonemes })),
  }
}

function described(config: models.EncoderDecoderConfig, size: string): string {
  const { width, numLayers, bidirectional, attention, reversed } = config
  const read = bidirectional ? 'read both ways' : `read from its ${reversed ? 'end' : 'beginning'}`
  const attends = attention === 'none' ? '' : ` with ${attention} attention`
  return `two LSTMs of ${numLayers} × ${width}${attends}, ${size}; the source is ${read}`
}

/** What beam search (or, with `beam` 1, the greedy search) makes of words. */
async function answer(
  model: models.EncoderDecoder,
  entries: readonly Entry[],
  beam: number,
): Promise<G2pResult['answers']> {
  const written = await model.decode(
    entries.map(({ word }) => [...word]),
    { beam },
  )
  return entries.map((entry, i) => ({ entry, phonemes: written[i]?.[0]?.symbols ?? [] }))
}

function rates(answers: G2pResult['answers']): text.ErrorRates {
  return text.errorRates(
    answers.map(({ entry, phonemes }) => ({ hypothesis: phonemes, references: entry.pronunciations })),
  )
}

export function vocabularies(entries: readonly Entry[]): { source: text.Vocabulary; target: text.Vocabulary } {
  return {
    source: text.Vocabulary.of(entries.map(({ word }) => word)),
    target: text.Vocabulary.of(entries.flatMap(({ pronunciations }) => pronunciations)),
  }
}

/** One pair per pronunciation. */
export function pairs(entries: readonly Entry[]): models.Pair[] {
  return entries.flatMap(({ word, pronunciations }) => pronunciations.map((target) => ({ source: [...word], target })))
}

/** Letters, phonemes and one `<EOS>` per pair. */
export function countTokens(entries: readonly Entry[]): number {
  let tokens = 0
  for (const { word, pronunciations } of entries)
    for (const phonemes of pronunciations) tokens += word.length + phonemes.length + 1
  return tokens
}

/** As many entries, spread evenly, as have about so many tokens. */
function shareOf(entries: readonly Entry[], tokens: number): Entry[] {
  return everyNth(entries, Math.max(1, Math.round((entries.length * tokens) / countTokens(entries))))
}

function everyNth<T>(items: readonly T[], wanted: number): T[] {
  const n = Math.min(wanted, items.length)
  return Array.from({ length: n }, (_, i) => items[Math.floor((i * items.length) / n)] as T)
}

/** The factor of the learning rate when a share of the training is done. */
function schedule(progress: number): number {
  return progress < WARMUP ? progress / WARMUP : Math.max(0, 1 - progress) / (1 - WARMUP)
}

/** How far training is: by steps or, on a machine too slow for all of them, by time, so that the learning rate comes down in any case. */
class Clock {
  done = 0
  #begin: number | undefined

  constructor(
    readonly steps: number,
    readonly limitSeconds: number,
  ) {}

  seconds(): number {
    this.#begin ??= performance.now()
    return (performance.now() - this.#begin) / 1000
  }

  isOver(): boolean {
    return this.seconds() >= this.limitSeconds
  }

  progress(step: number): number {
    return Math.max(step / this.steps, this.seconds() / this.limitSeconds)
  }
}

function duration(seconds: number): string {
  const whole = Math.round(seconds)
  return whole < 60 ? `${seconds.toFixed(1)} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`
}

function count(n: number): string {
  return n.toLocaleString('en-US')
}
