// The codecs of a Translator: learnt from pairs, held against the model, and texts cut by them.
import type { TextPair } from '../../data/index.js'
import { ArgumentError, OutOfRangeError } from '../../errors.js'
import {
  BytePairEncoding,
  type Codec,
  codecFrom,
  EOS,
  type Language,
  letters,
  PAD,
  SymbolCodec,
  UNK,
  Vocabulary,
  WordTokenizer,
} from '../../text/index.js'
import { checkRecords, refused, taken } from '../check.js'
import { bad, oneOf } from '../seq2seq/options.js'

/** How codecs are learnt from pairs. */
export interface LearntCodecOptions {
  /**
   * What texts are cut into: pieces of words, for which nothing is unknown (`text.BytePairEncoding`), words (`text.WordTokenizer`) or characters; of these the
   * rarest are read as `<UNK>`. @default 'bytePair'
   */
  unit?: 'bytePair' | 'word' | 'character'
  /** The most symbols of each side. @default 8000 pieces, 20000 words or characters */
  vocabularySize?: number
  /** Words and characters that occur less often are not known, pairs of pieces not joined. @default 1; of pieces 2 */
  minCount?: number
  /** Whether texts are read and written in lower case; not for characters. @default false */
  lowercase?: boolean
  /** The languages, for the short forms of words; one codec of both (`tied: 'all'`) has them only where the two are the same. */
  language?: { source?: Language; target?: Language }
}

/** The codecs of both sides; one, of both languages, if it is to be `shared`. @throws ArgumentError for no pairs, and for what is not text. */
export async function learntCodecs(
  pairs: readonly TextPair[],
  options: LearntCodecOptions,
  shared: boolean,
): Promise<{ source: Codec; target: Codec }> {
  const op = 'Translator.of'
  if (checkRecords(pairs, 'pairs', op).length === 0) throw bad('pairs', 'at least one', 'none', op)
  for (const [i, { source, target }] of pairs.entries())
    for (const [side, text] of Object.entries({ source, target }))
      if (typeof text !== 'string') throw refused(op, `the ${side} of pair ${i}`, 'a string', text)
  const { language, ...common } = options
  const { source, target } = taken(language ?? {}, op, 'language')
  const sides = (['source', 'target'] as const).map((side) => pairs.map((pair) => pair[side]))
  if (shared) {
    const both = await learntCodec(sides.flat(), { ...common, ...(source === target && { language: source }) }, op)
    return { source: both, target: both }
  }
  const [of, into] = sides as [string[], string[]]
  return {
    source: await learntCodec(of, { ...common, language: source }, op),
    target: await learntCodec(into, { ...common, language: target }, op),
  }
}

async function learntCodec(
  texts: readonly string[],
  options: Omit<LearntCodecOptions, 'language'> & { language?: Language | undefined },
  op: string,
): Promise<Codec> {
  const { unit = 'bytePair', vocabularySize: size, minCount, lowercase = false, language } = options
  oneOf('unit', unit, ['bytePair', 'word', 'character'], op)
  const limits = { ...(size !== undefined && { size }), ...(minCount !== undefined && { minCount }) }
  if (unit === 'bytePair') {
    if (language !== undefined) throw bad('language', 'left out unless texts are cut into words', language, op)
    return BytePairEncoding.train(texts, { ...limits, lowercase })
  }
  if (unit === 'word')
    return SymbolCodec.frequent(texts, new WordTokenizer({ lowercase, ...(language && { language }) }), limits)
  if (lowercase) throw bad('lowercase', 'false for characters', lowercase, op)
  return SymbolCodec.frequent(texts, letters, limits)
}

/** @throws ArgumentError unless the value is a codec. */
export function checkCodec(value: Codec, side: string, op: string): Codec {
  const { vocabulary, tokenize, detokenize } = (value ?? {}) as Codec
  if (vocabulary instanceof Vocabulary && typeof tokenize === 'function' && typeof detokenize === 'function')
    return value
  throw refused(op, side, 'a codec, such as text.BytePairEncoding or text.SymbolCodec', value)
}

/** @throws ArgumentError that says where the symbols of a codec and those of a model differ. */
export function checkSymbols(codec: Vocabulary, model: Vocabulary, side: string, op: string): void {
  const differing = model.symbols.findIndex((symbol, id) => symbol !== codec.symbols[id])
  if (differing < 0 && codec.size === model.size) return
  const [known, found] = [model, codec].map(({ symbols, size }) =>
    differing < 0 ? `${size} symbols` : `${JSON.stringify(symbols[differing]) ?? 'nothing'} as symbol ${differing}`,
  ) as [string, string]
  throw bad(`the ${side} codec`, `that of the model, which has ${known}`, `one that has ${found}`, op)
}

/** @throws ArgumentError for a codec that would not come back from a file. */
export function checkSavable(codec: Codec, side: string, op: string): void {
  try {
    const again = codecFrom(JSON.parse(JSON.stringify(codec)))
    if (again.size === codec.size) return
  } catch (cause) {
    const [expected, got] = ['one that text.codecFrom makes again of its JSON', (cause as Error).message]
    throw new ArgumentError(`${op}: the ${side} codec must be ${expected}: ${got}`, { op, expected, got, cause })
  }
  throw bad(`the ${side} codec`, 'one that text.codecFrom makes again of its JSON', codec, op)
}

/**
 * The symbols of a text, which `name` names in errors.
 *
 * @throws OutOfRangeError for more than `most` of them; ArgumentError for `<EOS>` and `<PAD>`, and for one that is unknown where the codec has no `<UNK>`.
 */
export function cut(codec: Codec, text: string, name: string, op: string, most = Number.POSITIVE_INFINITY): string[] {
  if (typeof text !== 'string') throw refused(op, name, 'a string', text)
  const symbols = codec.tokenize(text)
  if (symbols.length > most) {
    const [expected, got] = [`at most ${most} symbols`, String(symbols.length)]
    throw new OutOfRangeError(`${op}: ${name} must have ${expected}, got ${got}`, { op, expected, got })
  }
  const reserved = symbols.find((symbol) => symbol === EOS || symbol === PAD)
  if (reserved !== undefined) throw bad(name, `without ${reserved}, which has a meaning of its own`, text, op)
  const unknown = codec.has(UNK) ? undefined : symbols.find((symbol) => !codec.has(symbol))
  if (unknown === undefined) return symbols
  const [got, expected] = [JSON.stringify(unknown), `one of the ${codec.size - 2} symbols that the model knows`]
  throw new ArgumentError(`${op}: ${got} in ${name} is not ${expected}`, { op, expected, got })
}
