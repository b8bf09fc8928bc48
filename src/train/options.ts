// The options of a run, checked once before anything happens.
import { ArgumentError } from '../errors.js'
import type { Module } from '../nn/index.js'
import type { OptimizerFactory } from '../optim/index.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Callbacks } from './events.js'
import type { EarlyStopping } from './history.js'

/**
 * What a run takes batches from: a `data.Loader`, or any iterable of batches that can be gone through once per epoch. Exact resume needs `state` and
 * `restore`; without them a resumed epoch is entered by passing over the batches that were done.
 */
export interface Batches<B> {
  [Symbol.asyncIterator]?(): AsyncIterator<B>
  [Symbol.iterator]?(): Iterator<B>
  /** Batches of an epoch, for the progress line. */
  readonly length?: number
  state?(): unknown
  // The state is the loader's own; a run only carries it.
  restore?(state: never): void
}

/** A model that brings its own loss and optimizer: `fit(model, data)` is then enough. */
export interface SelfTraining<B = never> {
  loss(batch: B): Tensor
  optimizer(): OptimizerFactory
}

export interface FitOptions<M extends Module, B> {
  /** A scalar to be made small; synchronous. What it makes is freed after the step. (Default: the model's own `loss`.) */
  loss?: (model: M, batch: B) => Tensor
  /** For example `optim.adamW({ lr: 1e-3 })`. (Default: the model's own `optimizer`.) */
  optimizer?: OptimizerFactory
  /** @default 1 */
  epochs?: number
  /** Data for a validation loss after each epoch, in eval mode and without gradients. */
  validation?: Batches<B>
  /** Scalars that are averaged over the rows of the validation data, by the name they get in the records. */
  metrics?: Readonly<Record<string, (model: M, batch: B) => Tensor>>
  callbacks?: Callbacks | readonly Callbacks[]
  earlyStopping?: Readonly<EarlyStopping>
  /** Gradients are scaled so that their common norm is at most this. */
  clipNorm?: number
  /** What happens to variables that the loss does not depend on. @default 'error' */
  unused?: 'error' | 'zeros'
  /** Ends the run after the step in hand: a checkpoint is written if there is a folder, and the run rejects with `ERR_ABORTED`. */
  signal?: AbortSignal
  /** A folder for checkpoints: one after each epoch, and at a stop. */
  checkpoints?: string
  /** One more after every so many steps. */
  checkpointEvery?: number
  /** How many checkpoints are kept. @default 3 */
  keep?: number
  /** `'auto'`: go on from the newest whole checkpoint of the folder, or start where there is none. A path: from that file or folder. */
  resume?: string
  /** Where the random numbers of the loss start (default: drawn from the ambient generator). */
  seed?: number | bigint
  /**
   * For a loss or gradient that is NaN or infinite: `'error'` rejects with `ERR_NOT_FINITE`; `'skip'` leaves such steps out; `'stop'` ends the run as if all
   * its epochs were done. The step itself changes nothing in each case; up to two that were in flight behind it may still be done. @default 'error'
   */
  notFinite?: 'error' | 'skip' | 'stop'
  /** Tells on stderr how it goes. @default 'auto': for `fit`, not for `start` */
  progress?: boolean | 'auto'
}

export interface Settings<M extends Module, B> extends FitOptions<M, B> {
  loss: (model: M, batch: B) => Tensor
  optimizer: OptimizerFactory
  epochs: number
  keep: number
  notFinite: 'error' | 'skip' | 'stop'
  callbacks: readonly Callbacks[]
}

const op = 'fit'
/** Fields of a record that a metric must not overwrite. */
const taken = ['epoch', 'loss', 'validationLoss', 'skipped']

/** The options with defaults and the model's own loss and optimizer filled in. */
export function settings<M extends Module, B>(model: M, data: Batches<B>, options: FitOptions<M, B>): Settings<M, B> {
  const {
    epochs = 1,
    keep = 3,
    notFinite = 'error',
    callbacks = [],
    clipNorm,
    checkpointEvery,
    checkpoints,
    resume,
    validation,
  } = options
  whole(epochs, 'epochs', op, 1)
  whole(keep, 'keep', op, 1)
  if (checkpointEvery !== undefined) whole(checkpointEvery, 'checkpointEvery', op, 1)
  if (clipNorm !== undefined && !(clipNorm > 0)) throw wrong('clipNorm', 'a number > 0', clipNorm)
  if (!['error', 'skip', 'stop'].includes(notFinite)) throw wrong('notFinite', "'error', 'skip' or 'stop'", notFinite)
  if (checkpoints !== undefined && (typeof checkpoints !== 'string' || checkpoints === ''))
    throw wrong('checkpoints', 'a path', checkpoints)
  if (resume !== undefined && (typeof resume !== 'string' || resume === ''))
    throw wrong('resume', "'auto' or a path", resume)
  if (checkpoints === undefined && checkpointEvery !== undefined)
    throw wrong('checkpointEvery', 'given together with checkpoints: a folder', checkpointEvery)
  if (checkpoints === undefined && resume === 'auto')
    throw wrong('resume', "a path, or 'auto' together with checkpoints: a folder", resume)
  checkBatches(data, 'data')
  if (validation !== undefined) checkBatches(validation, 'validation')
  if (options.metrics !== undefined && validation === undefined)
    throw wrong('metrics', 'given together with validation data', 'no validation')
  for (const name of Object.keys(options.metrics ?? {}))
    if (taken.includes(name)) throw wrong('metrics', `under other names than ${taken.join(', ')}`, name)
  return {
    ...options,
    epochs,
    keep,
    notFinite,
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

export function checkBatches(data: Batches<unknown>, name: string): void {
  if (typeof data === 'object' && data !== null && (Symbol.asyncIterator in data || Symbol.iterator in data)) return
  throw wrong(name, 'a data.Loader or another iterable of batches', data === null ? 'null' : typeof data)
}

function wrong(name: string, expected: string, got: unknown): ArgumentError {
  return new ArgumentError(`fit: ${name} must be ${expected}, got ${String(got)}`, { op, expected, got: String(got) })
}
