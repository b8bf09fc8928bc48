// Optimizers.
export { AdamW, type AdamWOptions, adamW } from './adamw.js'
export type { LearningRate } from './cohort.js'
export {
  Optimizer,
  type OptimizerFactory,
  type OptimizerOptions,
  type ParameterGroup,
  type StepOptions,
} from './optimizer.js'
export { SGD, type SGDOptions, sgd } from './sgd.js'
