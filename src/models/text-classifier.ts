// TextClassifier: which of some labels a text has.
import { Loader } from '../data/index.js'
import { ArgumentError } from '../errors.js'
import * as nn from '../nn/index.js'
import { type DeviceLike, full, type Tensor, tensor, uniform, where } from '../tensor/index.js'
import { whole } from '../tensor/shape.js'
import { PAD_ID, UNK, Vocabulary, words } from '../text/index.js'
import { checkList, checkRecords, checkVocabulary, taken } from './check.js'
import {
  type Classified,
  Classifier,
  type ClassifierLoaderOptions,
  type ClassifierOptions,
  type ClassifierSizes,
} from './classifier.js'
import { loadFolder, saveFolder } from './folder.js'

export interface LabelledText {
  text: string
  label: string
}

export interface TextClassifierOptions extends ClassifierOptions {
  /** The words that the model knows, `<UNK>` among them: others are read as that. */
  vocabulary: Vocabulary
  labels: readonly string[]
  /** Width of the embedding. @default 64 */
  embedding?: number
  /** Words beyond these are not read. @default 256 */
  maxWords?: number
}

export interface VocabularyOptions {
  /** How many of the most frequent words are known. @default 20000 */
  vocabularySize?: number
  /** Words that occur less often are not known. @default 2 */
  minCount?: number
}

const KIND = 'TextClassifier'
/** The share of words that are hidden in training. */
const HIDDEN = 0.05
type Config = ClassifierSizes & { labels: string[]; embedding: number; maxWords: number }

/**
 * The label of a text: its words (`text.words`) as embeddings, read by an LSTM in both directions.
 *
 *     p(label | words) = softmax(head([h_T, h'_1, mean over time]))
 *
 * In training every 20th word is read as `<UNK>`, so that the model knows what to make of words that it has never seen.
 *
 * @example
 * const examples = [
 *   { text: 'a fine and moving film', label: 'good' }, { text: 'what a waste of time', label: 'bad' },
 *   { text: 'moving, fine, simply good', label: 'good' }, { text: 'a dull waste', label: 'bad' },
 * ]
 * const model = models.TextClassifier.of(examples, { minCount: 1 })
 * await train.fit(model, model.loader(examples), { epochs: 30 })
 * const [answer] = await model.predict(['a fine film'])
 * console.log(answer.label, answer.probability)
 * await model.save('reviews')
 */
export class TextClassifier extends Classifier {
  readonly vocabulary: Vocabulary
  readonly maxWords: number
  embed: nn.Embedding

  constructor(options: TextClassifierOptions) {
    const { vocabulary, labels, embedding = 64, maxWords = 256, ...sizes } = taken(options, KIND)
    super(labels, embedding, sizes)
    if (!checkVocabulary(vocabulary, 'vocabulary', KIND).has(UNK))
      throw new ArgumentError(`${KIND}: vocabulary must be a text.Vocabulary with ${UNK} in it`, {
        op: KIND,
        expected: UNK,
        got: 'none',
      })
    this.vocabulary = vocabulary
    this.maxWords = whole(maxWords, 'maxWords', KIND, 1)
    this.embed = new nn.Embedding(vocabulary.size, embedding)
  }

  /** A model for the labels and the words of the examples; it is not trained yet. */
  static of(
    examples: readonly LabelledText[],
    options: Omit<TextClassifierOptions, 'vocabulary' | 'labels'> & VocabularyOptions = {},
  ): TextClassifier {
    const { vocabularySize = 20_000, minCount = 2, ...sizes } = taken(options, `${KIND}.of`)
    checkRecords(examples, 'examples', `${KIND}.of`)
    const vocabulary = Vocabulary.frequent(
      examples.map(({ text }) => words(text)),
      { size: vocabularySize, minCount },
    )
    const labels = [...new Set(examples.map(({ label }) => label))].sort()
    return new TextClassifier({ ...sizes, vocabulary, labels })
  }

  /** Logits [B, labels] of words [B, T] of int64, of which the first `length` count. */
  forward(sequence: Tensor, length: Tensor): Tensor {
    const { embed, vocabulary, training } = this
    const read = training ? hidden(sequence, vocabulary.encode([UNK])[0] as number) : sequence
    return this.read(embed.forward(read), length)
  }

  /**
   * Batches of examples for training or validation, texts of near-equal lengths together.
   *
   * @throws ArgumentError for labels that the model does not have, and texts without a word.
   */
  loader(examples: readonly LabelledText[], options: ClassifierLoaderOptions = {}) {
    const { batch = 32, shuffle = true, seed } = taken(options, `${KIND}.loader`)
    checkRecords(examples, 'examples', `${KIND}.loader`)
    const sequence = examples.map(({ text }) => this.#ids(text))
    const fields = {
      sequence,
      length: sequence.map((ids) => ids.length),
      label: examples.map(({ label }) => this.labelId(label)),
    }
    const drawn = seed === undefined ? {} : { seed }
    return new Loader(fields, { batch, shuffle, bucketBy: 'sequence', padding: { sequence: PAD_ID }, ...drawn })
  }

  /**
   * The labels of some texts with their probabilities. It goes ahead of training that is under way.
   *
   * @throws ArgumentError for a text without a word.
   */
  predict(texts: readonly string[]): Promise<Classified[]> {
    const all = checkList(texts, 'texts', `${KIND}.predict`).map((text) => this.#ids(text))
    const place = { dtype: 'int64', device: this.device } as const
    return this.classify(all, (rows) => {
      const longest = Math.max(...rows.map((row) => row.length))
      const filled = rows.map((row) => [...row, ...Array<number>(longest - row.length).fill(PAD_ID)])
      return {
        sequence: tensor(filled, place),
        length: tensor(
          rows.map((row) => row.length),
          place,
        ),
      }
    })
  }

  #ids(text: string): number[] {
    const found = words(text).slice(0, this.maxWords)
    if (found.length > 0) return this.vocabulary.encode(found)
    throw new ArgumentError(`${KIND}: there is no word in ${JSON.stringify(text)}`, {
      op: KIND,
      expected: 'a word',
      got: text,
    })
  }

  /**
   * Writes the model to a folder, which is made if need be: `config.json`, `vocabulary.json` and `model.safetensors`.
   *
   * @throws FileError (`ERR_IO`) where the file system refuses.
   */
  save(folder: string): Promise<void> {
    const { sizes, labels, maxWords, vocabulary } = this
    const config = { ...sizes, labels, maxWords, embedding: this.embed.weight.shape[1] as number }
    return saveFolder(folder, { kind: KIND, config, vocabularies: { vocabulary }, state: this.stateDict() })
  }

  /**
   * A model that was saved in a folder.
   *
   * @throws FileError (`ERR_IO`) where a file cannot be read; CheckpointError (`ERR_CHECKPOINT`) where one is damaged or they do not belong together.
   */
  static async load(folder: string, options: { device?: DeviceLike } = {}): Promise<TextClassifier> {
    const { device = 'cpu' } = taken(options, `${KIND}.load`)
    const { config, vocabularies, state } = await loadFolder<Config>(folder, KIND, ['vocabulary'])
    const { vocabulary } = vocabularies as { vocabulary: Vocabulary }
    return new TextClassifier({ ...config, vocabulary }).loadStateDict(state).to(device).eval()
  }
}

/** Some words, drawn anew each time, replaced by `<UNK>`. */
function hidden(words: Tensor, unknown: number): Tensor {
  return where(
    uniform(words.shape, 0, 1, { device: words.device }).lt(HIDDEN),
    full(words.shape, unknown, { dtype: 'int64', device: words.device }),
    words,
  )
}
