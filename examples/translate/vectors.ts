// Study 4: quality against the length of the source, beyond what was trained on too; and what sentence vectors make of the order of words.
import { fileURLToPath } from 'node:url'
import { data, type models, type Tensor, text } from 'quarterturn'
import { draws } from '../study/draws.js'
import { claim, command, type Outcome, type Study } from '../study/study.js'
import {
  ABOUT,
  type Example,
  materialOf,
  references,
  SETTINGS,
  type System,
  type TranslationSettings,
  trained,
  translations,
} from './experiment.js'

const COMPARED: readonly System[] = ['LSTM', 'LSTM with attention', 'minLSTM']

export interface VectorSettings extends TranslationSettings {
  /** Pairs whose test part the curves are of. */
  longer: string
}

/** Words and marks of the sources: bins from one to the next. */
const EDGES = [3, 6, 9, 12, 16, 20]

export function vectors(given: Partial<VectorSettings> = {}, folder?: string): Study<VectorSettings> {
  const settings = { ...SETTINGS, longer: 'segments-20.tsv', ...given }
  const { longer, ...training } = settings
  const material = materialOf(settings, folder)
  const longMaterial = materialOf({ ...settings, file: longer }, folder)
  const run =
    (system: System) =>
    async (seed: number): Promise<Outcome> => {
      const own = await material()
      const { model } = await trained(system, seed, own, training)
      const long = (await longMaterial()).test.map(({ texts }) => ({
        ...{ texts, source: own.source.tokenize(texts.source), target: own.target.tokenize(texts.target) },
      }))
      const written = await translations(model, own, long, settings)
      const lengths = long.map(({ texts }) => text.words(texts.source))
      const scores = { BLEU: text.bleu(written, references(long)), chrF: text.chrF(written, references(long)) }
      const byLength = Object.entries(scores).map(([name, score]) => [
        `${name} by length (${EDGES.join(', ')})`,
        text.lengthCurve(score, lengths, { edges: EDGES, samples: 1 }).map((point) => point.score),
      ])
      const tokenize = (line: string): string[] => own.source.tokenize(line)
      return { ...(await distances(model, own.test, tokenize, seed)), ...Object.fromEntries(byLength) }
    }
  return {
    name: 'seq2seq-vectors',
    title: 'Length, and the order of words',
    about: `${ABOUT} The curves are of the test part of the segments of at most 20 words (976 pairs), of which models have seen none beyond 12. Sentence vectors are what the encoder hands over; distances are squared and Euclidean, divided by the mean one of two sentences of the test: of a sentence and its words in random order (a bag of words: 0), with two neighbours swapped, and of two English versions of one verse with the same French. Published: no degradation below 35 words; vectors are sensitive to the order of words and little to active or passive voice (Sutskever, Vinyals and Le 2014, §3.7 and 3.8).`,
    settings,
    variants: Object.fromEntries(COMPARED.map((system) => [system, run(system)])),
    verdicts: (mean) => {
      const random = (system: System): number => mean(system, 'words shuffled')
      const version = (system: System): number => mean(system, 'another version')
      return [
        claim(random('LSTM') > 0.1, `the order of words counts: ${random('LSTM').toFixed(2)}`),
        claim(
          version('LSTM') < 0.9,
          `two versions of one verse are nearer than two sentences: ${version('LSTM').toFixed(2)}`,
        ),
        claim(version('LSTM') < random('LSTM'), 'another version is nearer than the same words in random order'),
      ]
    },
  }
}

/** Mean squared distances of sentence vectors, over that of two sentences; and the share of their variance in two dimensions. */
async function distances(
  model: models.EncoderDecoder,
  examples: readonly Example[],
  tokenize: (line: string) => string[],
  seed: number,
): Promise<Outcome> {
  const lines = examples.map(({ texts }) => texts.source)
  const vector = (given: readonly string[]): Tensor => model.sentenceVector(given.map(tokenize))
  const all = vector(lines)
  // Mean over pairs of ‖a − b‖² = 2 · the mean squared distance from the centre · n / (n − 1).
  const spread = all
    .sub(all.mean(0))
    .square()
    .sum(1)
    .mean()
    .mul((2 * lines.length) / (lines.length - 1))
  const apart = async (a: readonly string[], b: readonly string[]): Promise<number> =>
    Number(await vector(a).sub(vector(b)).square().sum(1).mean().div(spread).item())
  const random = draws(seed)
  const changed = (order: (words: string[], random: () => number) => string[]): string[] =>
    lines.map((line) => order(line.split(' '), random).join(' '))
  const versions = sameTarget(examples)
  const { explainedVarianceRatio } = data.pca(all)
  const [first = 0, second = 0] = await explainedVarianceRatio.data()
  return {
    'words shuffled': await apart(lines, changed(shuffled)),
    'neighbours swapped': await apart(lines, changed(swapped)),
    'another version': await apart(
      versions.map(([one]) => one),
      versions.map(([, other]) => other),
    ),
    'variance in two dimensions, %': 100 * (Number(first) + Number(second)),
  }
}

/** Sources of one place with one target: versions of each other. */
function sameTarget(examples: readonly Example[]): [string, string][] {
  const known = new Map<string, string>()
  return examples.flatMap(({ texts: { group, source, target } }) => {
    const key = `${group} ${target}`
    const other = known.get(key)
    if (other !== undefined) return [[other, source]]
    known.set(key, source)
    return []
  })
}

function shuffled(words: string[], random: () => number): string[] {
  for (let i = words.length - 1; i > 0; i--) exchange(words, i, Math.floor(random() * (i + 1)))
  return words
}

function swapped(words: string[], random: () => number): string[] {
  const i = Math.floor(random() * (words.length - 1))
  if (words.length > 1) exchange(words, i, i + 1)
  return words
}

function exchange(words: string[], i: number, j: number): void {
  const [a, b] = [words[i] as string, words[j] as string]
  words[i] = b
  words[j] = a
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await command(vectors)
