// Optimizers, the schedules of their rates, and averages of what they train.
export { Adafactor, type AdafactorOptions, adafactor } from './adafactor.js'
export { Adam, type AdamOptions, adam } from './adam.js'
export { AdamW, type AdamWOptions, adamW } from './adamw.js'
export type { LearningRate } from './cohort.js'
export { type DecayGroup, decayGroups } from './decay-groups.js'
export { EMA, type EMAOptions } from './ema.js'
export { Lion, type LionOptions, lion } from './lion.js'
export { NAdam, type NAdamOptions, nAdam } from './nadam.js'
export {
  Optimizer,
  type OptimizerFactory,
  type OptimizerOptions,
  type ParameterGroup,
  type StepOptions,
} from './optimizer.js'
export { type PlateauState, ReduceOnPlateau, type ReduceOnPlateauOptions } from './reduce-on-plateau.js'
export { RMSprop, type RMSpropOptions, rmsprop } from './rmsprop.js'
export * as schedules from './schedules.js'
export { SGD, type SGDOptions, sgd } from './sgd.js'
