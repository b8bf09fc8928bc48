// The public face of layers: `nn`.

export type { StateDict } from '../tensor/state-dict.js'
export * from './activations.js'
export {
  type AfterNorm,
  BatchNorm1d,
  BatchNorm2d,
  type BatchNormLayerOptions,
  type SeriesNormOptions,
} from './batch-norm.js'
export { Buffer } from './buffer.js'
export type { ConvLayerOptions } from './conv.js'
export { ConvTranspose1d, ConvTranspose2d, type ConvTransposeLayerOptions } from './conv-transpose.js'
export { Conv1d, type Conv1dOptions } from './conv1d.js'
export { type AfterConv, Conv2d, type Conv2dOptions } from './conv2d.js'
export { DeltaNet, type DeltaNetOptions } from './delta-net.js'
export type { DiagonalLayerOptions, DiagonalWeights } from './diagonal.js'
export { Dropout } from './dropout.js'
export { Embedding, type EmbeddingOptions } from './embedding.js'
export { Flatten } from './flatten.js'
export type { HiddenState, Lengths, LSTMState, Pair, PairLike } from './functional.js'
export * as functional from './functional.js'
export { GroupNorm, type GroupNormOptions } from './group-norm.js'
export { GRU } from './gru.js'
export { Highway, type HighwayOptions } from './highway.js'
export * as init from './init.js'
export { LayerNorm, type LayerNormOptions } from './layer-norm.js'
export { Linear, type LinearOptions, type ParameterOptions } from './linear.js'
export { LSTM, type LSTMOptions } from './lstm.js'
export { MinGRU } from './min-gru.js'
export { MinLSTM } from './min-lstm.js'
export type { InputWeights, MinimalLayerOptions } from './minimal.js'
export { Module } from './module.js'
export {
  type AttentionInputs,
  type AttentionMasks,
  MultiheadAttention,
  type MultiheadAttentionOptions,
} from './multihead-attention.js'
export { ParaGRU } from './para-gru.js'
export { ParaLSTM } from './para-lstm.js'
export * from './pool.js'
export { LearnedPositions, SinusoidalPositions } from './positions.js'
export type { LayerWeights, RecurrentOptions } from './recurrent.js'
export { ResidualMLP, type ResidualMLPOptions } from './residual-mlp.js'
export { ResidualNorm, type ResidualNormLayerOptions } from './residual-norm.js'
export { Reversible, type ReversiblePair } from './reversible.js'
export { RMSNorm, type RMSNormOptions } from './rms-norm.js'
export { RNN, type RNNOptions } from './rnn.js'
export { type Layer, Sequential } from './sequential.js'
export { SLSTM, type SLSTMOptions, type SLSTMWeights } from './slstm-layer.js'
export { type SpectralNormOptions, spectralNorm } from './spectral-norm.js'
export type { ForwardOptions, StackedOptions } from './stacked.js'
export type { SummaryInput } from './summary.js'
export { type DecoderMasks, TransformerDecoder, TransformerDecoderLayer } from './transformer-decoder.js'
export { TransformerEncoder, TransformerEncoderLayer } from './transformer-encoder.js'
export type { TransformerLayerOptions, TransformerStackOptions } from './transformer-layer.js'
export { type WeightNormOptions, weightNorm } from './weight-norm.js'
