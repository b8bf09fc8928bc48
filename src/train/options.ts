// The options of a run, checked once before anything happens.
import { ArgumentError } from '../errors.js'
import type { Module } from '../nn/index.js'
import type { EMAOptions, OptimizerFactory, ReduceOnPlateauOptions } from '../optim/index.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { type Batches, checkBatches } from './batches.js'
import type { Loss, Outputs } from './call.js'
import { checkModel, refused, taken } from './check.js'
import { checkMeasures, type Measures } from './evaluate.js'
import type { Callbacks } from './events.js'
import type { EarlyStopping, Monitor } from './history.js'

/** A model that brings its own loss and optimizer: `fit(model, data)` is then enough. */
export interface SelfTraining<B = never> {
  loss(batch: B): Tensor | Outputs
  optimizer(): OptimizerFactory
}

export interface FitOptions<M extends Module, B> {
  /**
   * A scalar to be made small; synchronous. What it makes is freed after the step. It may return `{ loss, prediction, target }`, which metrics
   * then compare. (Default: the model's own `loss`.)
   */
  loss?: Loss<M, B>
  /** For example `optim.adamW({ lr: 1e-3 })`. (Default: the model's own `optimizer`.) */
  optimizer?: OptimizerFactory
  /** @default 1 */
  epochs?: number
  /** Data for a validation loss after each epoch, in eval mode and without gradients. */
  validation?: Batches<B>
  /** Figures of the validation data, by the name they get in the records: `{ accuracy: train.accuracy() }`, or scalars averaged over rows. See `evaluate`. */
  metrics?: Measures<M, B>
  callbacks?: Callbacks | readonly Callbacks[]
  /** What tells the best epoch, for all that depends on it (default: the lowest validation loss, or training loss without validation). */
  monitor?: Readonly<Monitor>
  earlyStopping?: Readonly<EarlyStopping>
  /** Lowers the learning rates, which must be numbers, when the epochs no longer improve: `optim.ReduceOnPlateau`, one measurement per epoch. */
  reduceOnPlateau?: Readonly<Omit<ReduceOnPlateauOptions, 'mode'>>
  /** Seconds after which this process ends the run, as if all its epochs were done; with a checkpoint if there is a folder. */
  timeLimit?: number
  /** Gradients are scaled so that their common norm is at most this: `Gradients.clipByNorm`. */
  clipNorm?: number
  /** Every element of the gradients is limited to −clipValue … clipValue: `Gradients.clipByValue`. Not together with `clipNorm`. */
  clipValue?: number
  /**
   * One step of the optimizer for every so many batches, with the mean of their gradients by rows: what one batch of all their rows would give, for a
   * loss that is a mean over rows. A group ends with the epoch. Steps of the run (`checkpointEvery`, events) are batches still; schedules of the optimizer
   * go by its own. @default 1
   */
  accumulate?: number
  /**
   * Averages the weights after each step (`optim.EMA`). The averages are in place while validating, are the weights that checkpoints and `restoreBest`
   * keep, and are those of the model at the end of the run; one that fails or is aborted leaves the weights of its last step.
   */
  ema?: Readonly<EMAOptions>
  /** What happens to variables that the loss does not depend on. @default 'error' */
  unused?: 'error' | 'zeros'
  /** Ends the run after the step in hand: a checkpoint is written if there is a folder, and the run rejects with `ERR_ABORTED`. */
  signal?: AbortSignal
  /** A folder for the run: a checkpoint after each epoch and at a stop, and the logs. */
  checkpoints?: string
  /** One more after every so many steps. */
  checkpointEvery?: number
  /** How many checkpoints are kept, the newest. @default 3 */
  keep?: number
  /** How many more are kept: those of the ends of the best epochs. @default 0 */
  keepBest?: number
  /** `'auto'`: go on from the newest whole checkpoint of the folder, or start where there is none. A path: from that file or folder. */
  resume?: string
  /** Where the random numbers of the loss start (default: drawn from the ambient generator). */
  seed?: number | bigint
  /**
   * For a loss or gradient that is NaN or infinite: `'error'` rejects with `ERR_NOT_FINITE`; `'skip'` leaves such steps out; `'stop'` ends the run as if all
   * its epochs were done. The step itself changes nothing in each case; up to two that were in flight behind it may still be done. @default 'error'
   */
  notFinite?: 'error' | 'skip' | 'stop'
  /**
   * With `checkpoints`, SIGINT and SIGTERM save and end the process with 130 and 143, a second one at once. Where the program listens to the signal too,
   * the run saves and rejects with `ERR_ABORTED` instead. `false` leaves signals alone. @default true
   */
  signals?: boolean
  /**
   * A folder for `run.json` (what was run: versions, seed, git commit, options), `epochs.csv` and `events.jsonl`; `false` for none.
   * (Default: the folder of `checkpoints`, if any.)
   */
  logs?: string | false
  /** What is worth noting of the run, for `run.json`: anything that JSON can hold. */
  config?: unknown
  /** Tells on stderr how it goes. @default 'auto': for `fit`, not for `start` */
  progress?: boolean | 'auto'
}

export interface Settings<M extends Module, B> extends FitOptions<M, B> {
  loss: Loss<M, B>
  optimizer: OptimizerFactory
  epochs: number
  keep: number
  keepBest: number
  notFinite: 'error' | 'skip' | 'stop'
  accumulate: number
  callbacks: readonly Callbacks[]
}

const op = 'fit'
/** Fields of a record that a metric must not overwrite. */
const reserved = ['epoch', 'loss', 'validationLoss', 'skipped']

/** The options with defaults and the model's own loss and optimizer filled in. */
export function settings<M extends Module, B>(model: M, data: Batches<B>, given: FitOptions<M, B>): Settings<M, B> {
  checkModel(model, op)
  const options = taken(given, op)
  const {
    epochs = 1,
    keep = 3,
    keepBest = 0,
    notFinite = 'error',
    accumulate = 1,
    callbacks = [],
    clipNorm,
    clipValue,
    checkpointEvery,
    checkpoints,
    logs,
    monitor,
    resume,
    timeLimit,
    validation,
  } = options
  whole(epochs, 'epochs', op, 1)
  whole(accumulate, 'accumulate', op, 1)
  whole(keep, 'keep', op, 1)
  whole(keepBest, 'keepBest', op, 0)
  if (checkpointEvery !== undefined) whole(checkpointEvery, 'checkpointEvery', op, 1)
  if (clipNorm !== undefined && !(clipNorm > 0)) throw wrong('clipNorm', 'a number > 0', clipNorm)
  if (clipValue !== undefined && !(clipValue > 0)) throw wrong('clipValue', 'a number > 0', clipValue)
  if (clipNorm !== undefined && clipValue !== undefined)
    throw wrong('clipValue', 'given without clipNorm: gradients are clipped in one way', clipValue)
  if (timeLimit !== undefined && !(timeLimit > 0)) throw wrong('timeLimit', 'seconds > 0', timeLimit)
  if (monitor !== undefined && typeof monitor.metric !== 'string')
    throw wrong('monitor.metric', 'the name of a metric', monitor.metric)
  if (!['min', 'max'].includes(monitor?.mode ?? 'min')) throw wrong('monitor.mode', "'min' or 'max'", monitor?.mode)
  if (logs !== undefined && logs !== false && (typeof logs !== 'string' || logs === ''))
    throw wrong('logs', 'a path or false', logs)
  if (!['error', 'skip', 'stop'].includes(notFinite)) throw wrong('notFinite', "'error', 'skip' or 'stop'", notFinite)
  if (checkpoints !== undefined && (typeof checkpoints !== 'string' || checkpoints === ''))
    throw wrong('checkpoints', 'a path', checkpoints)
  if (resume !== undefined && (typeof resume !== 'string' || resume === ''))
    throw wrong('resume', "'auto' or a path", resume)
  if (checkpoints === undefined && checkpointEvery !== undefined)
    throw wrong('checkpointEvery', 'given together with checkpoints: a folder', checkpointEvery)
  if (checkpoints === undefined && resume === 'auto')
    throw wrong('resume', "a path, or 'auto' together with checkpoints: a folder", resume)
  if (!isJson(options.config)) throw wrong('config', 'something that JSON can hold', options.config)
  checkBatches(data, 'data', op)
  if (validation !== undefined) checkBatches(validation, 'validation', op)
  checkMeasures(options.metrics ?? {}, 'metrics', op)
  if (options.metrics !== undefined && validation === undefined)
    throw wrong('metrics', 'given together with validation data', 'no validation')
  for (const name of Object.keys(options.metrics ?? {}))
    if (reserved.includes(name)) throw wrong('metrics', `under other names than ${reserved.join(', ')}`, name)
  return {
    ...options,
    epochs,
    keep,
    keepBest,
    notFinite,
    accumulate,
    loss: options.loss ?? own(model, 'loss', (self) => (_, batch) => self.loss(batch)),
    optimizer: options.optimizer ?? own(model, 'optimizer', (self) => self.optimizer()),
    callbacks: Array.isArray(callbacks) ? callbacks : [callbacks as Callbacks],
  }
}

function own<M extends Module, B, T>(model: M, name: 'loss' | 'optimizer', take: (self: SelfTraining<B>) => T): T {
  const self = model as unknown as SelfTraining<B>
  if (typeof self[name] === 'function') return take(self)
  throw new ArgumentError(`fit: ${model.constructor.name} brings no ${name} of its own; pass one in the options`, {
    op,
    expected: `options.${name}`,
    got: 'none',
  })
}

function isJson(value: unknown): boolean {
  try {
    JSON.stringify(value)
    return true
  } catch {
    return false
  }
}

function wrong(name: string, expected: string, got: unknown): ArgumentError {
  return refused(op, name, expected, got)
}
