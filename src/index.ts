// Everything that a user imports.

export * as axis from './axis/index.js'
export * as data from './data/index.js'
export * from './errors.js'
export * as models from './models/index.js'
export { configureNative, type NativeOptions } from './native.js'
export * as nn from './nn/index.js'
export * as optim from './optim/index.js'
export * from './tensor/index.js'
export * as text from './text/index.js'
export * as train from './train/index.js'
