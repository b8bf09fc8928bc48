// The public face of the two-axis engine: `axis`.
export { attention } from './attention.js'
export { gridLSTM, recurrentHighway } from './both.js'
export {
  type Axis,
  type Carrier,
  type Context,
  type CustomCarrier,
  carrier,
  type Form,
  type ParallelForm,
  type Row,
  type Sizes,
  type StateSizes,
} from './carrier.js'
export { carriers } from './carriers.js'
export { check, type Examined, examine } from './check.js'
export { type LongConvolutionOptions, longConvolution } from './convolution.js'
export { deltaNet } from './delta-net.js'
export * from './depth.js'
export { type AxisDescription, type Description, describe } from './describe.js'
export * from './diagnostics/index.js'
export * from './diagonal.js'
export * from './gated.js'
export * from './linear.js'
export * from './matrix.js'
export * from './mixing.js'
export * from './own-gates.js'
export { type DenseOptions, dense, elman, none, residualRNN, type ZoneoutOptions, zoneout } from './plain.js'
export { type Rotated, rotate } from './rotate.js'
export { Stack, type StackState, type Write } from './stack.js'
export type { Inject, StackOptions } from './stack-options.js'
