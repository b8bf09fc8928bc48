// Training: fit, start, evaluate, predict, metrics.
export type { Batches } from './batches.js'
export type { Loss, Outputs } from './call.js'
export { evaluate, type Measure, type Measured, type Measures } from './evaluate.js'
export type {
  Callbacks,
  CheckpointEvent,
  EndEvent,
  EpochEvent,
  RunControl,
  RunEvent,
  StartEvent,
  StepEvent,
} from './events.js'
export { fit, start, type TrainingRun } from './fit.js'
export type { EarlyStopping, EpochRecord, History, Monitor } from './history.js'
export * from './metrics/index.js'
export type { FitOptions, SelfTraining } from './options.js'
export { type Predictions, type PredictOptions, type Predictor, predict } from './predict.js'
export { refreshStatistics } from './refresh-statistics.js'
export {
  findLearningRate,
  type LearningRateOptions,
  type LearningRates,
  type Overfit,
  type OverfitOptions,
  overfitOneBatch,
  type TrialOptions,
} from './trial.js'
export { type LoadWeightsOptions, loadWeights } from './weights.js'
