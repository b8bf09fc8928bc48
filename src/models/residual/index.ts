// The public face of residual networks.
export { Block, type BlockPath } from './block.js'
export type { ResNetConfig, ResNetOptions, Shortcut } from './options.js'
export { type ImageBatch, type Images, ResNet } from './resnet.js'
export type { ResNetSizes } from './sizes.js'
export type { WalkOptions } from './walk.js'
