// Training: fit, start, evaluate.
export { evaluate, type Measure } from './evaluate.js'
export type { Callbacks, CheckpointEvent, EndEvent, EpochEvent, RunControl, RunEvent, StepEvent } from './events.js'
export { fit, start, TrainingRun } from './fit.js'
export type { EarlyStopping, EpochRecord, History } from './history.js'
export type { Batches, FitOptions, SelfTraining } from './options.js'
