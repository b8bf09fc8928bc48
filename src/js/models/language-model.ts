// LanguageModel: what may come next in a text.
import { ArgumentError } from '../../errors.js'
import { EOS_ID, PAD_ID, UNK, type Vocabulary } from '../../text/vocabulary.js'
import { characters, joinWords, words } from '../../text/words.js'
import { Embedding } from '../embedding.js'
import { Linear } from '../linear.js'
import { LSTM } from '../lstm.js'
import { Module } from '../module.js'
import { whole } from '../parameter.js'
import { random } from '../random.js'
import type { State } from '../stacked.js'
import { softmax } from './softmax.js'

interface Config {
  unit: 'character' | 'word'
  width: number
  numLayers: number
}

/** `models.LanguageModel` as it predicts: p(s_t | s_<t) = softmax(head(lstm(embed(s_<t)))). */
export class LanguageModel extends Module {
  readonly embed: Embedding
  readonly rnn: LSTM
  readonly head: Linear
  readonly #vocabulary: Vocabulary
  readonly #unit: Config['unit']
  readonly #never: readonly number[]

  constructor({ unit, width, numLayers }: Config, vocabulary: Vocabulary) {
    super()
    this.#vocabulary = vocabulary
    this.#unit = unit
    this.#never = [PAD_ID, ...vocabulary.encode([UNK])]
    this.embed = new Embedding(vocabulary.size, width)
    this.rnn = new LSTM(width, width, { numLayers })
    this.head = new Linear(width, vocabulary.size)
  }

  /** What may come after a text, the most probable first. @throws ArgumentError for `top` that is not a whole number ≥ 1. */
  predict(prompt: string, { top = 5 }: { top?: number } = {}): { symbol: string; probability: number }[] {
    whole(top, 'top', 'LanguageModel.predict')
    return softmax(this.#read(this.#ids(prompt)))
      .map((probability, id) => ({ symbol: this.#vocabulary.symbols[id] as string, probability }))
      .filter((_, id) => !this.#never.includes(id))
      .sort((a, b) => b.probability - a.probability)
      .slice(0, top)
  }

  /**
   * A text that goes on from the prompt: what was written, without the prompt. At temperature 0 it takes the most probable symbol each time; otherwise
   * it draws from the generator of `manualSeed`.
   *
   * @throws ArgumentError for a temperature below 0, or a length that is not a whole number ≥ 1.
   */
  generate(prompt: string, { length = 200, temperature = 1 }: { length?: number; temperature?: number } = {}): string {
    whole(length, 'length', 'LanguageModel.generate')
    if (!(temperature >= 0 && temperature < Number.POSITIVE_INFINITY))
      throw new ArgumentError(`LanguageModel.generate: temperature must be ≥ 0, got ${String(temperature)}`, {
        op: 'LanguageModel',
        got: String(temperature),
      })
    const written: number[] = []
    let logits = this.#read(this.#ids(prompt))
    while (written.length < length) {
      const id = drawn(logits, temperature)
      written.push(id)
      if (written.length < length) logits = this.#read([id], this.rnn.state)
    }
    const symbols = this.#vocabulary.decode(written)
    return this.#unit === 'word' ? joinWords(symbols) : symbols.join('')
  }

  /** Logits of what follows the last symbol; those that cannot be written are −∞. */
  #read(ids: readonly number[], state?: State): number[] {
    const { embed, rnn, head } = this
    const x = embed.forward(Int32Array.from(ids), [1, ids.length])
    const output = rnn.forward(x, embed.outputShape, state === undefined ? {} : { state })
    const logits = Array.from(head.forward(output.slice(-rnn.hiddenSize), [1, rnn.hiddenSize]))
    for (const id of this.#never) logits[id] = Number.NEGATIVE_INFINITY
    return logits
  }

  #ids(prompt: string): number[] {
    return [EOS_ID, ...this.#vocabulary.encode(this.#unit === 'word' ? words(prompt) : characters(prompt))]
  }
}

function drawn(logits: readonly number[], temperature: number): number {
  if (temperature === 0) return logits.indexOf(Math.max(...logits))
  let rest = random()
  const probabilities = softmax(logits.map((logit) => logit / temperature))
  for (const [id, probability] of probabilities.entries()) {
    rest -= probability
    if (rest < 0) return id
  }
  return probabilities.indexOf(Math.max(...probabilities)) // what rounding left over
}
