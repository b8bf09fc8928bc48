// LanguageModel: what symbol comes next, character by character or word by word, and texts written with it.
import { Loader } from '../data/index.js'
import { ArgumentError } from '../errors.js'
import * as nn from '../nn/index.js'
import { adamW, type OptimizerFactory } from '../optim/index.js'
import {
  ahead,
  type DeviceLike,
  Generator,
  generator,
  stack,
  type Tensor,
  tensor,
  uniform,
  withGenerator,
} from '../tensor/index.js'
import { whole } from '../tensor/shape.js'
import { characters, EOS_ID, joinWords, PAD_ID, UNK, Vocabulary, words } from '../text/index.js'
import type { Outputs } from '../train/index.js'
import { Mode } from '../train/mode.js'
import { checkList, checkString, checkVocabulary, taken } from './check.js'
import { loadFolder, saveFolder } from './folder.js'

/** What a text is cut into. */
export type Unit = 'character' | 'word'

export interface LanguageModelOptions {
  /** The symbols that the model knows, `<UNK>` among them: others are read as that. */
  vocabulary: Vocabulary
  /** @default 'character' */
  unit?: Unit
  /** Width of the embedding and of the LSTM. @default 256 */
  width?: number
  /** @default 2 */
  numLayers?: number
  /** Dropout of the embeddings, between the layers and before the head, in training. @default 0.1 */
  dropout?: number
}

export interface LanguageLoaderOptions {
  /** @default 32 */
  batch?: number
  /** Symbols of one row: the model sees no further back. @default 64 */
  length?: number
  /** @default true */
  shuffle?: boolean
  /** Where the shuffles start (default: drawn from the ambient generator). */
  seed?: number | bigint
}

export interface GenerateOptions {
  /** The most symbols that are written. @default 200 */
  length?: number
  /** Below 1 the probable becomes more probable, above 1 less; 0 takes the most probable symbol each time. @default 1 */
  temperature?: number
  /** Where the random numbers start (default: drawn from the ambient generator). */
  seed?: number | bigint
}

/** A symbol that may come next. */
export interface NextSymbol {
  symbol: string
  probability: number
}

const KIND = 'LanguageModel'
/** Stands for −∞. */
const NEVER = -1e9
type Config = Required<Omit<LanguageModelOptions, 'vocabulary'>>

/**
 * The probability of the next symbol, given those before it, by an LSTM:
 *
 *     p(s_t | s_<t) = softmax(head(lstm(embed(s_<t))))
 *
 * @example
 * const poem = 'the rain in spain stays mainly in the plain. '.repeat(20)
 * const model = models.LanguageModel.of(poem, { width: 64, numLayers: 1 })
 * await train.fit(model, model.loader(poem, { length: 30, batch: 8 }), { epochs: 30, clipNorm: 1 })
 * const [next] = await model.predict('the rain in sp')
 * console.log(next.symbol, next.probability, await model.generate('the rain', { temperature: 0.5 }))
 * await model.save('poet')
 */
export class LanguageModel extends nn.Module {
  readonly vocabulary: Vocabulary
  readonly config: Config
  embed: nn.Embedding
  rnn: nn.LSTM
  head: nn.Linear

  constructor(options: LanguageModelOptions) {
    super()
    const { vocabulary, unit = 'character', width = 256, numLayers = 2, dropout = 0.1 } = taken(options, KIND)
    if (unit !== 'character' && unit !== 'word')
      throw new ArgumentError(`${KIND}: unit must be 'character' or 'word', got ${String(unit)}`, {
        op: KIND,
        got: String(unit),
      })
    if (!checkVocabulary(vocabulary, 'vocabulary', KIND).has(UNK))
      throw new ArgumentError(`${KIND}: vocabulary must be a text.Vocabulary with ${UNK} in it`, {
        op: KIND,
        expected: UNK,
        got: 'none',
      })
    this.vocabulary = vocabulary
    this.config = { unit, width, numLayers, dropout }
    this.embed = new nn.Embedding(vocabulary.size, width)
    this.rnn = new nn.LSTM(width, width, { numLayers, dropout: numLayers > 1 ? dropout : 0 })
    this.head = new nn.Linear(width, vocabulary.size)
  }

  /** A model for the symbols of a text, or of several; it is not trained yet. */
  static of(
    texts: string | readonly string[],
    options: Omit<LanguageModelOptions, 'vocabulary'> & { vocabularySize?: number; minCount?: number } = {},
  ): LanguageModel {
    const { vocabularySize = 20_000, minCount = 1, ...sizes } = taken(options, `${KIND}.of`)
    const cut = sizes.unit === 'word' ? words : characters
    const vocabulary = Vocabulary.frequent(listed(texts).map(cut), { size: vocabularySize, minCount })
    return new LanguageModel({ ...sizes, vocabulary })
  }

  /** Logits [B, T, vocabulary.size] of what follows each of the symbols [B, T], and the state after them. */
  forward(symbols: Tensor, state?: nn.LSTMState): { logits: Tensor; state: nn.LSTMState } {
    const { config, training } = this
    const drop = (x: Tensor): Tensor => nn.functional.dropout(x, config.dropout, { training })
    const out = this.rnn.forward(drop(this.embed.forward(symbols)), state)
    return { logits: this.head.forward(drop(out.output)), state: out.state }
  }

  /** The mean cross entropy per symbol, in nats, and the logits for metrics: `metrics: { perplexity: train.perplexity({ ignoreIndex: text.PAD_ID }) }`. */
  loss({ symbols }: { symbols: Tensor }): Outputs {
    const { logits } = this.forward(symbols.slice(1, 0, -1))
    const target = symbols.slice(1, 1)
    return { loss: nn.functional.crossEntropy(logits, target, { ignoreIndex: PAD_ID }), prediction: logits, target }
  }

  optimizer(): OptimizerFactory {
    return adamW({ lr: 2e-3, weightDecay: 0.01 })
  }

  /**
   * Rows of `length` symbols and the one after each, for training or validation. Texts follow one another, each ended by `<EOS>`.
   *
   * @throws ArgumentError where the texts together have no more than one symbol.
   */
  loader(texts: string | readonly string[], options: LanguageLoaderOptions = {}) {
    const { batch = 32, length = 64, shuffle = true, seed } = taken(options, `${KIND}.loader`)
    whole(length, 'length', `${KIND}.loader`, 1)
    const stream = listed(texts).flatMap((text) => [...this.vocabulary.encode(this.#cut(text)), EOS_ID])
    if (stream.length < 2 || listed(texts).every((text) => text === ''))
      throw new ArgumentError(`${KIND}.loader: there is no text`, { op: KIND, expected: 'a text', got: 'none' })
    const rows: number[][] = []
    for (let start = 0; start < stream.length - 1; start += length) {
      const row = stream.slice(start, start + length + 1)
      rows.push([...row, ...Array<number>(rows.length > 0 ? length + 1 - row.length : 0).fill(PAD_ID)])
    }
    return new Loader({ symbols: rows }, { batch, shuffle, ...(seed === undefined ? {} : { seed }) })
  }

  /**
   * What may come after a text, the most probable first. It goes ahead of training that is under way.
   *
   * @throws ArgumentError for `top` that is not a whole number ≥ 1.
   */
  async predict(prompt: string, options: { top?: number } = {}): Promise<NextSymbol[]> {
    const { top = 5 } = taken(options, `${KIND}.predict`)
    whole(top, 'top', `${KIND}.predict`, 1)
    const best = new Mode(this).run(false, () =>
      ahead(() =>
        this.#next(this.#read(prompt).logits)
          .softmax(-1)
          .topk(Math.min(top, this.vocabulary.size - 2)),
      ),
    )
    const [ids, probabilities] = await Promise.all([best.indices.data(), best.values.to('float32').data()])
    for (const read of [best.indices, best.values]) read.dispose()
    return Array.from(ids, (id, i) => ({
      symbol: this.vocabulary.symbols[Number(id)] as string,
      probability: probabilities[i] as number,
    }))
  }

  /**
   * A text that goes on from the prompt: what was written, without the prompt. All steps are recorded at once; it goes ahead of training that is under way.
   *
   * @throws ArgumentError for a temperature below 0, or a length that is not a whole number ≥ 1.
   */
  async generate(prompt: string, options: GenerateOptions = {}): Promise<string> {
    const { length = 200, temperature = 1, seed } = taken(options, `${KIND}.generate`)
    whole(length, 'length', `${KIND}.generate`, 1)
    if (!(temperature >= 0 && temperature < Number.POSITIVE_INFINITY))
      throw new ArgumentError(`${KIND}.generate: temperature must be ≥ 0, got ${String(temperature)}`, {
        op: KIND,
        got: String(temperature),
      })
    const random = seed === undefined ? generator().fork() : new Generator(seed)
    const symbols = new Mode(this).run(false, () =>
      ahead(() => withGenerator(random, () => this.#write(prompt, length, temperature))),
    )
    const ids = Array.from(await symbols.data(), Number)
    symbols.dispose()
    const written = this.vocabulary.decode(ids)
    return this.config.unit === 'word' ? joinWords(written) : written.join('')
  }

  /** The symbols that were drawn: [steps]. */
  #write(prompt: string, length: number, temperature: number): Tensor {
    const { device } = this
    const drawn: Tensor[] = []
    let { logits, state } = this.#read(prompt)
    for (let step = 0; step < length; step++) {
      const scores = this.#next(logits)
      // The largest of scores with Gumbel noise is a sample of their softmax (Gumbel 1954).
      const noise = (): Tensor => uniform(scores.shape, 1e-9, 1, { device }).log().neg().log().neg()
      const symbol = (temperature === 0 ? scores : scores.div(temperature).add(noise())).argmax(-1)
      drawn.push(symbol)
      if (step + 1 < length) ({ logits, state } = this.forward(symbol.unsqueeze(0), state))
    }
    return stack(drawn).flatten()
  }

  #read(prompt: string): { logits: Tensor; state: nn.LSTMState } {
    const ids = [EOS_ID, ...this.vocabulary.encode(this.#cut(prompt))]
    return this.forward(tensor([ids], { dtype: 'int64', device: this.device }))
  }

  /** Log-likelihoods [1, V] after the last symbol, of what can be written: neither `<PAD>` nor `<UNK>`. */
  #next(logits: Tensor): Tensor {
    const never = Array.from({ length: this.vocabulary.size }, () => 0)
    for (const id of [PAD_ID, this.vocabulary.encode([UNK])[0] as number]) never[id] = NEVER
    return logits.select(1, -1).to('float32').add(tensor(never).to(this.device))
  }

  #cut(text: string): string[] {
    return this.config.unit === 'word' ? words(text) : characters(text)
  }

  /**
   * Writes the model to a folder, which is made if need be: `config.json`, `vocabulary.json` and `model.safetensors`.
   *
   * @throws FileError (`ERR_IO`) where the file system refuses.
   */
  save(folder: string): Promise<void> {
    const { config, vocabulary } = this
    return saveFolder(folder, { kind: KIND, config, vocabularies: { vocabulary }, state: this.stateDict() })
  }

  /**
   * A model that was saved in a folder.
   *
   * @throws FileError (`ERR_IO`) where a file cannot be read; CheckpointError (`ERR_CHECKPOINT`) where one is damaged or they do not belong together.
   */
  static async load(folder: string, options: { device?: DeviceLike } = {}): Promise<LanguageModel> {
    const { device = 'cpu' } = taken(options, `${KIND}.load`)
    const { config, vocabularies, state } = await loadFolder<Config>(folder, KIND, ['vocabulary'])
    const { vocabulary } = vocabularies as { vocabulary: Vocabulary }
    return new LanguageModel({ ...config, vocabulary }).loadStateDict(state).to(device).eval()
  }
}

function listed(texts: string | readonly string[]): readonly string[] {
  if (typeof texts === 'string') return [texts]
  for (const text of checkList(texts, 'texts', KIND)) checkString(text, 'each text', KIND)
  return texts
}
