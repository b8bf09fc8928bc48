// Which genre three sentences are from: a TextClassifier on the Brown corpus.
import { fileURLToPath } from 'node:url'
import { manualSeed, models, text, train } from 'quarterturn'
import { readBrown, splitTexts, type Text } from './corpus.js'

export interface GenresOptions {
  /** @default 2 */
  epochs?: number
  /** Passages to learn from. @default all, 11,000 */
  passages?: number
  seed?: number
  progress?: boolean
  say?: (line: string) => void
}

/** Shares of the test passages whose genre was found. */
export interface GenresResult {
  model: models.TextClassifier
  accuracy: number
  /** By always naming the most frequent genre. */
  naive: number
}

export async function genres({
  epochs = 2,
  passages,
  seed = 1,
  progress = true,
  say = () => {},
}: GenresOptions = {}): Promise<GenresResult> {
  manualSeed(seed)
  const { training, test } = splitTexts(readBrown())
  const all = training.flatMap(passagesOf)
  const examples = passages === undefined ? all : all.filter((_, i) => (i * passages) % all.length < passages)
  const tests = test.flatMap(passagesOf)
  const model = models.TextClassifier.of(examples)
  say(
    `${examples.length} passages of ${training.length} texts to learn from, ${tests.length} of ${test.length} others for the test`,
  )
  await train.fit(model, model.loader(examples, { seed }), {
    epochs,
    validation: model.loader(tests, { batch: 256, shuffle: false }),
    metrics: { accuracy: train.accuracy() },
    clipNorm: 1,
    seed,
    progress,
  })
  const answers = await model.predict(tests.map((example) => example.text))
  const right = (label: (i: number) => string | undefined): number =>
    tests.filter((example, i) => label(i) === example.label).length / tests.length
  const frequent = model.labels.toSorted((a, b) => count(examples, b) - count(examples, a))[0]
  const result = { model, accuracy: right((i) => answers[i]?.label), naive: right(() => frequent) }
  say(`found: this model ${percent(result.accuracy)} · always ${frequent} ${percent(result.naive)}`)
  for (const line of [
    'The senate voted on the budget on Friday.',
    'She closed the door and did not look back.',
    'The function is continuous on the interval.',
  ]) {
    const [answer] = await model.predict([line])
    say(`  ${answer?.label} (${percent(answer?.probability ?? 0)}): ${line}`)
  }
  return result
}

/** Three sentences at a time. */
function passagesOf({ genre, sentences }: Text): models.LabelledText[] {
  return Array.from({ length: Math.floor(sentences.length / 3) }, (_, i) => ({
    text: text.joinWords(sentences.slice(3 * i, 3 * i + 3).flat()),
    label: genre,
  }))
}

const count = (examples: readonly models.LabelledText[], label: string): number =>
  examples.filter((example) => example.label === label).length

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`

if (process.argv[1] === fileURLToPath(import.meta.url)) await genres({ say: console.log })
