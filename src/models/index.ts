// The public face of models.
export type { DecodeOptions, Hypothesis } from './decode.js'
export { EncoderDecoder, type EncoderDecoderOptions, type PairBatch } from './encoder-decoder.js'
