// Writing letter by letter: a LanguageModel on the fiction of the Brown corpus.
import { fileURLToPath } from 'node:url'
import { manualSeed, models, text, train } from 'quarterturn'
import { readBrown, splitTexts, type Text } from './corpus.js'

export interface LettersOptions {
  /** @default 2 */
  epochs?: number
  /** Texts to learn from. @default all, 102 */
  texts?: number
  /** @default 256 */
  width?: number
  seed?: number
  progress?: boolean
  say?: (line: string) => void
}

/** Bits per character of the test texts: 2 to this power is the number of characters that one might as well guess among. */
export interface LettersResult {
  model: models.LanguageModel
  bits: number
  /** By how often each character follows the one before it in the training texts. */
  pairs: number
  /** By how often each occurs. */
  frequencies: number
}

export async function letters({
  epochs = 2,
  texts,
  width = 256,
  seed = 1,
  progress = true,
  say = () => {},
}: LettersOptions = {}): Promise<LettersResult> {
  manualSeed(seed)
  const fiction = splitTexts(readBrown().filter(({ genre }) => genre === 'fiction'))
  const training = fiction.training.slice(0, texts).map(plain)
  const test = fiction.test.slice(0, texts).map(plain)
  const model = models.LanguageModel.of(training, { width, numLayers: 1 })
  say(`${training.join('').length} characters to learn from, ${test.join('').length} of other texts for the test`)
  await train.fit(model, model.loader(training, { length: 100, seed }), { epochs, clipNorm: 1, seed, progress })
  const { loss } = await train.evaluate(model, model.loader(test, { batch: 128, length: 100, shuffle: false }), {
    loss: (model, batch) => model.loss(batch).loss,
  })
  const result = {
    model,
    bits: loss / Math.LN2,
    pairs: pairBits(training, test, true),
    frequencies: pairBits(training, test, false),
  }
  say(
    `bits per character: this model ${result.bits.toFixed(2)} · pairs ${result.pairs.toFixed(2)} · frequencies ${result.frequencies.toFixed(2)}`,
  )
  say(`The morning was${await model.generate('The morning was', { length: 200, temperature: 0.7, seed })}`)
  return result
}

function plain({ sentences }: Text): string {
  return text.joinWords(sentences.flat())
}

/** Bits per character by counts, one added to each: of pairs, or of single characters. */
function pairBits(training: readonly string[], test: readonly string[], pairs: boolean): number {
  const counts = new Map<string, number>()
  const add = (key: string): void => void counts.set(key, (counts.get(key) ?? 0) + 1)
  const symbols = new Set(training.join(''))
  for (const [before, character] of followers(training)) {
    add(pairs ? before : '')
    add((pairs ? before : '') + character)
  }
  let bits = 0
  let length = 0
  for (const [before, character] of followers(test)) {
    const context = pairs ? before : ''
    const share = ((counts.get(context + character) ?? 0) + 1) / ((counts.get(context) ?? 0) + symbols.size + 1)
    bits -= Math.log2(share)
    length++
  }
  return bits / length
}

function* followers(texts: readonly string[]): Generator<[before: string, character: string]> {
  for (const each of texts) for (let i = 1; i < each.length; i++) yield [each[i - 1] as string, each[i] as string]
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await letters({ say: console.log })
