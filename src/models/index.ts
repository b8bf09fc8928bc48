// The public face of models.
export type { DecodeOptions, Hypothesis } from './decode.js'
export {
  EncoderDecoder,
  type EncoderDecoderOptions,
  type Pair,
  type PairBatch,
  type PairLoaderOptions,
} from './encoder-decoder.js'
