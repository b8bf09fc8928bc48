// The public face of residual networks.
export { Block, type BlockPath } from './block.js'
export { FCN } from './fcn.js'
export type { ResNetConfig, ResNetOptions, Shortcut } from './options.js'
export { type ImageBatch, type Images, ResNet } from './resnet.js'
export { ResNet1d } from './resnet1d.js'
export type { SeriesBatch, SeriesNetworkOptions } from './series-network.js'
export type { ResNetSizes } from './sizes.js'
export type { WalkOptions } from './walk.js'
