// The public face of sequence to sequence.
export { AdditiveAttention, Attention, MultiplicativeAttention } from './attention.js'
export type { DecodeOptions, Hypothesis } from './decode.js'
export { EncoderDecoder } from './encoder-decoder.js'
export { Ensemble } from './ensemble.js'
export type { Pair, PairBatch, PairLoaderOptions } from './loader.js'
export type { Encoded, Tensors } from './network.js'
export {
  type Attending,
  type Cell,
  type EncoderDecoderConfig,
  type EncoderDecoderOptions,
  paper2014,
  type StackCell,
  type Tying,
} from './options.js'
export { type Recipe, type Recipe2014Options, recipe2014 } from './recipe.js'
export type { Candidate, Rescored } from './score.js'
export type { EncoderDecoderSizes } from './sizes.js'
export type { Symbols } from './sources.js'
export type { SequenceWriter } from './writer.js'
