// Codec: texts as numbers, whether by words, letters or byte pairs.
import { ArgumentError } from '../errors.js'
import { told } from '../told.js'
import { checkIterable, checkText } from './check.js'
import { UNK, Vocabulary } from './vocabulary.js'
import { type Tokenizer, type TokenizerJSON, tokenizerFrom } from './word-tokenizer.js'

/** Texts to numbers and back. `PAD_ID` is 0 and `EOS_ID` 1; neither comes out of `encodeText`. */
export interface Codec {
  /** The symbols in the order of their numbers, `<PAD>` and `<EOS>` first. */
  readonly vocabulary: Vocabulary
  /** Numbers that there are: 0 … size − 1. */
  readonly size: number
  has(symbol: string): boolean
  /** The symbols of a text. */
  tokenize(text: string): string[]
  /** The text of symbols. */
  detokenize(symbols: readonly string[]): string
  /** `vocabulary.encode(tokenize(text))`; none for the empty text. */
  encodeText(text: string): number[]
  /** The text of the numbers up to the first `<EOS>`; `<PAD>` is left out. */
  decodeText(ids: Iterable<number>): string
  /**
   * The share of a text's symbols that the vocabulary has: 0 where nothing of it would reach the model, as with a script that was never seen; 1 for the empty
   * text. Without `<UNK>` in the vocabulary `encodeText` refuses what this says of too.
   */
  coverage(text: string): number
  toJSON(): unknown
}

export interface SymbolCodecJSON {
  tokenizer: TokenizerJSON
  symbols: string[]
}

/**
 * A tokenizer and a vocabulary: words with `<UNK>` as in 2014, letters, phonemes.
 *
 * ```ts
 * const words = text.SymbolCodec.frequent(['the king', 'the sea'], new text.WordTokenizer({ language: 'en' }), { size: 2 })
 * console.log(words.encodeText('the sky'), words.coverage('the sky'))   // [ 3, 2 ] 0.5
 * console.log(words.decodeText([3, 4, 1]))   // the king
 * ```
 *
 * @throws ArgumentError (`ERR_ARGUMENT`) for symbols that the vocabulary does not have, unless it has `<UNK>`.
 */
export class SymbolCodec implements Codec {
  readonly tokenizer: Tokenizer
  readonly vocabulary: Vocabulary

  constructor(tokenizer: Tokenizer, vocabulary: Vocabulary) {
    this.tokenizer = checkTokenizer(tokenizer)
    if (!(vocabulary instanceof Vocabulary)) throw wrong('vocabulary', 'a text.Vocabulary', vocabulary)
    this.vocabulary = vocabulary
  }

  /** With `<UNK>` and the `size` most frequent symbols of the texts (default: 20,000 that occur at least once). */
  static frequent(
    texts: Iterable<string>,
    tokenizer: Tokenizer,
    options: { size?: number; minCount?: number } = {},
  ): SymbolCodec {
    return new SymbolCodec(tokenizer, Vocabulary.frequent(symbolsOf(texts, checkTokenizer(tokenizer)), options))
  }

  /** With all symbols of the texts, and none besides: letters, phonemes. */
  static of(texts: Iterable<string>, tokenizer: Tokenizer): SymbolCodec {
    return new SymbolCodec(tokenizer, Vocabulary.of(symbolsOf(texts, checkTokenizer(tokenizer))))
  }

  /** What `toJSON` gave. */
  static fromJSON(json: SymbolCodecJSON): SymbolCodec {
    const { tokenizer, symbols } = (json ?? {}) as SymbolCodecJSON
    return new SymbolCodec(tokenizerFrom(tokenizer), new Vocabulary(symbols))
  }

  get size(): number {
    return this.vocabulary.size
  }

  has(symbol: string): boolean {
    return this.vocabulary.has(symbol)
  }

  tokenize(text: string): string[] {
    return this.tokenizer.tokenize(text)
  }

  detokenize(symbols: readonly string[]): string {
    return this.tokenizer.detokenize(symbols)
  }

  encodeText(text: string): number[] {
    return this.vocabulary.encode(this.tokenize(checkText(text, 'SymbolCodec.encodeText')))
  }

  decodeText(ids: Iterable<number>): string {
    return this.detokenize(this.vocabulary.decode(ids))
  }

  coverage(text: string): number {
    const symbols = this.tokenize(checkText(text, 'SymbolCodec.coverage'))
    const known = symbols.filter((symbol) => symbol !== UNK && this.has(symbol)).length
    return symbols.length === 0 ? 1 : known / symbols.length
  }

  toJSON(): SymbolCodecJSON {
    return { tokenizer: this.tokenizer.toJSON(), symbols: this.vocabulary.toJSON() }
  }
}

function* symbolsOf(texts: Iterable<string>, tokenizer: Tokenizer): Generator<string[]> {
  for (const text of checkIterable(texts, 'SymbolCodec', 'texts')) yield tokenizer.tokenize(text)
}

function checkTokenizer(value: Tokenizer): Tokenizer {
  const { tokenize, detokenize } = (value ?? {}) as Tokenizer
  if (typeof tokenize === 'function' && typeof detokenize === 'function') return value
  throw wrong('tokenizer', 'a tokenizer', value)
}

function wrong(name: string, expected: string, got: unknown): ArgumentError {
  const details = { op: 'SymbolCodec', expected, got: told(got) }
  return new ArgumentError(`SymbolCodec: ${name} must be ${expected}, got ${details.got}`, details)
}
