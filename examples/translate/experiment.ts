// What the studies of translation share: the pairs in pieces of words, models that are trained once and kept, and what is measured of them.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { data, manualSeed, models, optim, text, train } from 'quarterturn'
import { type Outcome, processorSeconds, type Study } from '../study/study.js'
import { corpusFolder } from './corpus.js'

export interface TranslationSettings {
  file: string
  /** Pieces of each language: byte pairs. */
  pieces: number
  width: number
  layers: number
  dropout: number
  labelSmoothing: number
  batch: number
  lr: number
  /** Of processor time, for a model of all pairs. */
  seconds: number
  beam: number
  lengthPenalty: number
}

export const SETTINGS: TranslationSettings = {
  file: 'segments-12.tsv',
  pieces: 1500,
  width: 128,
  layers: 2,
  dropout: 0.2,
  labelSmoothing: 0.1,
  batch: 64,
  lr: 3e-3,
  seconds: 150,
  beam: 4,
  lengthPenalty: 1,
}

/** A pair of texts and their pieces. */
export interface Example extends models.Pair {
  texts: data.TextPair
}

export interface Material {
  /** Where the pairs are, and the models that were trained on them. */
  folder: string
  source: text.BytePairEncoding
  target: text.BytePairEncoding
  training: Example[]
  validation: Example[]
  test: Example[]
}

/** Mark, Ruth and Jonah are the test; Esther and the letters from James to Jude are watched: whole books. */
const TEST = ['41', '8', '32']
const VALIDATION = ['17', '59', '60', '61', '62', '63', '64', '65']

/** Reads the pairs when they are asked for the first time. */
export function materialOf(settings: TranslationSettings, folder = corpusFolder()): () => Promise<Material> {
  let material: Promise<Material> | undefined
  return () => {
    material ??= readMaterial(settings, folder)
    return material
  }
}

async function readMaterial({ file, pieces }: TranslationSettings, folder: string): Promise<Material> {
  const path = join(folder, file)
  if (!existsSync(path)) throw new Error(`${path} is missing: run npm run corpus:en-fr`)
  const { pairs } = await data.readPairs(path)
  const parts = data.splitPairs(pairs, ({ group = '' }) => {
    const book = group.slice(0, group.indexOf('.'))
    return TEST.includes(book) ? 'test' : VALIDATION.includes(book) ? 'validation' : 'training'
  })
  const learnt = (side: 'source' | 'target') =>
    text.BytePairEncoding.train(
      parts.training.map((pair) => pair[side]),
      { size: pieces },
    )
  const [source, target] = [await learnt('source'), await learnt('target')]
  const cut = (part: readonly data.TextPair[]): Example[] =>
    part.map((texts) => ({
      ...{ source: source.tokenize(texts.source), target: target.tokenize(texts.target) },
      texts,
    }))
  const [training, validation, test] = [cut(parts.training), cut(parts.validation), cut(parts.test)]
  return { folder, source, target, training, validation, test }
}

/** Systems by name: what they are made of beside the settings. */
export const SYSTEMS = {
  LSTM: {},
  'LSTM, source as it is': { reversed: false },
  'LSTM with attention': { attention: 'multiplicative' },
  'LSTM with attention, source as it is': { attention: 'multiplicative', reversed: false },
  minLSTM: { cell: 'minLSTM' },
  Transformer: { cell: 'transformer' },
} as const satisfies Record<string, Partial<models.EncoderDecoderConfig>>
export type System = keyof typeof SYSTEMS

/** A trained model, and what its training told: the validation's perplexity after so many seconds. */
export interface Trained {
  model: models.EncoderDecoder
  seconds: number
  epochs: number
  curve: { seconds: number; perplexity: number }[]
}

/**
 * Trains a system on a share of the pairs, for that share of the time (a quarter of it at least); or reads what an earlier study has trained with the same
 * settings and seed.
 */
export async function trained(
  system: System,
  seed: number,
  material: Material,
  settings: TranslationSettings,
  share = 1,
): Promise<Trained> {
  const { beam: _, lengthPenalty: __, ...given } = settings
  const key = createHash('sha256').update(JSON.stringify({ system, seed, share, given })).digest('hex').slice(0, 16)
  const folder = join(material.folder, 'models', key)
  const record = join(folder, 'training.json')
  if (existsSync(record)) {
    const told = JSON.parse(readFileSync(record, 'utf8')) as Omit<Trained, 'model'>
    return { model: await models.EncoderDecoder.load(folder), ...told }
  }
  const { model, ...told } = await trainAnew(system, seed, material, settings, share)
  mkdirSync(folder, { recursive: true })
  await model.save(folder)
  writeFileSync(record, JSON.stringify(told)) // last: what it stands beside is whole
  return { model, ...told }
}

async function trainAnew(
  system: System,
  seed: number,
  { source, target, training, validation }: Material,
  settings: TranslationSettings,
  share: number,
): Promise<Trained> {
  const { width, layers: numLayers, dropout, labelSmoothing, batch, lr } = settings
  const seconds = settings.seconds * Math.max(0.25, share)
  manualSeed(seed)
  const model = new models.EncoderDecoder({
    ...{ source: source.vocabulary, target: target.vocabulary, width, numLayers, dropout, labelSmoothing },
    ...SYSTEMS[system],
  })
  const pairs = training.filter((_, i) => (i * 0.618_033_988_749) % 1 < share) // spread evenly over the books
  const begin = processorSeconds()
  const progress = (): number => (processorSeconds() - begin) / seconds
  const curve: Trained['curve'] = []
  const history = await train.fit(model, model.loader(pairs, { batch, seed }), {
    epochs: 10_000,
    validation: model.loader(validation, { shuffle: false }),
    optimizer: optim.adamW({ lr: () => lr * schedule(progress()), weightDecay: 0.01 }),
    ...{ clipNorm: 5, seed, progress: false, restoreBest: true },
    callbacks: {
      onStep: (_, run) => {
        if (progress() >= 1) run.stop()
      },
      onEpochEnd: ({ metrics }, run) => {
        if (progress() >= 1) run.stop() // an epoch may be too short for a sample of its steps
        const perplexity = Math.exp(metrics.validationLoss as number)
        curve.push({ seconds: processorSeconds() - begin, perplexity })
      },
    },
  })
  return { model: model.eval(), seconds: processorSeconds() - begin, epochs: history.epochs.length, curve }
}

/** Up in a straight line for a twentieth of the time, down to 0 in one. */
function schedule(progress: number): number {
  return progress < 0.05 ? (progress + 1e-3) / 0.05 : Math.max(0, 1 - progress) / 0.95
}

/** The texts that a model, or an ensemble, writes for examples. */
export async function translations(
  writer: Pick<models.EncoderDecoder, 'decode'>,
  material: Material,
  examples: readonly Example[],
  options: { beam: number; lengthPenalty: number },
): Promise<string[]> {
  const found = await writer.decode(
    examples.map((example) => example.source),
    { ...options, alternatives: 1 },
  )
  return found.map(([best]) => material.target.detokenize(best?.symbols ?? []))
}

export const references = (examples: readonly Example[]): string[] => examples.map(({ texts }) => texts.target)

/** BLEU and chrF of what a model writes for the test, and the perplexity of the references, by piece. */
export async function measures(
  writer: Pick<models.EncoderDecoder, 'decode' | 'perplexity'>,
  material: Material,
  { beam, lengthPenalty }: Pick<TranslationSettings, 'beam' | 'lengthPenalty'>,
): Promise<Record<string, number>> {
  const written = await translations(writer, material, material.test, { beam, lengthPenalty })
  const known = references(material.test)
  const bleu = text.bootstrap(text.bleu(written, known))
  return {
    perplexity: await writer.perplexity(material.test),
    BLEU: bleu.score,
    'BLEU, 95 % from': bleu.low,
    'BLEU, 95 % to': bleu.high,
    chrF: text.chrF(written, known).score,
  }
}

/** A variant for each system: trained on all pairs, and what is measured of it. */
export function variantsOf(
  systems: readonly System[],
  material: () => Promise<Material>,
  settings: TranslationSettings,
): Study['variants'] {
  const run =
    (system: System) =>
    async (seed: number): Promise<Outcome> => {
      const { model, epochs } = await trained(system, seed, await material(), settings)
      return { ...(await measures(model, await material(), settings)), epochs }
    }
  return Object.fromEntries(systems.map((system) => [system, run(system)]))
}

export const ABOUT =
  "English to French: unique segments of Bible verses of 3 to 12 words and marks (`npm run corpus:en-fr`), 10,855 to learn from, 172 to watch (Esther, James to Jude), 235 for the test (Mark, Ruth, Jonah), none in two parts. Byte pairs learnt from the training part. AdamW, norm 5, one thread, a budget of processor time; the best epoch by the part that is watched. BLEU and chrF are sacreBLEU's defaults on detokenised text; the ends of the 95 % interval are by bootstrap over the test sentences. So few pairs leave BLEU low: perplexity tells systems apart better."
