// The public face of tensors.
export * from './create.js'
export { type Device, type DeviceLike, device, devices } from './device.js'
export type { ArrayOf, DType, ElementOf, FloatDType } from './dtype.js'
export {
  type LoadOptions,
  loadCheckpointFile,
  loadSafetensors,
  type NamedTensors,
  saveSafetensors,
  type TensorFile,
} from './file.js'
export * from './functions.js'
export { Gradients, type GradOptions, grad } from './grad.js'
export { type LoadNpzOptions, loadNpz, saveNpz } from './interchange/npz.js'
export { type LoadTorchOptions, loadTorch } from './interchange/torch-file.js'
export { ahead } from './lane.js'
export { type Memory, memory } from './memory.js'
export { type BackwardContext, checkpoint, customGrad, type ScanOptions, scan } from './program.js'
export {
  dropout,
  Generator,
  type GeneratorState,
  generator,
  manualSeed,
  normal,
  permutation,
  randint,
  uniform,
  withGenerator,
} from './random.js'
export { isGradEnabled } from './record.js'
export { noGrad, scope } from './scope.js'
export { maskedSelect, nonzero, type Unique, unique } from './select.js'
export type { Shape } from './shape.js'
export { type Nested, type ReduceOptions, Tensor } from './tensor.js'
export { setThreads, threads } from './threads.js'
export type { Tree } from './tree.js'
export { Variable, type VariableOptions } from './variable.js'
