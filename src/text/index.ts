// The public face of text.
export { type BleuOptions, type BleuScore, bleu } from './bleu.js'
export type { BleuTokenizer } from './bleu-tokens.js'
export { type BootstrapOptions, bootstrap, type Interval, type PairedInterval, pairedBootstrap } from './bootstrap.js'
export { BytePairEncoding, type BytePairOptions } from './byte-pair-encoding.js'
export { type ChrFOptions, type ChrFScore, chrF } from './chrf.js'
export { type Codec, SymbolCodec, type SymbolCodecJSON } from './codec.js'
export { codecFrom } from './codec-from.js'
export type { References } from './corpus.js'
export { CorpusScore, type Measure } from './corpus-score.js'
export { type CurveOptions, type CurvePoint, curve, lengthCurve, rarityCurve, wordRanks } from './curves.js'
export {
  type Answer,
  type ErrorRates,
  editDistance,
  errorRates,
  sequenceErrorRate,
  symbolErrorRate,
} from './edit-distance.js'
export { normalize } from './normalize.js'
export { EOS, EOS_ID, PAD, PAD_ID, UNK, Vocabulary } from './vocabulary.js'
export {
  type Language,
  letters,
  spaced,
  type Tokenizer,
  type TokenizerJSON,
  tokenizerFrom,
  WordTokenizer,
  type WordTokenizerOptions,
} from './word-tokenizer.js'
export { characters, joinWords, words } from './words.js'
