// fit and start: training a model on data, awaited or watched.
import type { Module } from '../nn/index.js'
import type { Batches } from './batches.js'
import { EventStream, type RunEvent } from './events.js'
import type { History } from './history.js'
import { type FitOptions, settings } from './options.js'
import { Progress } from './progress.js'
import { Run } from './run.js'

/**
 * Trains a model and resolves with what came of it.
 *
 * Each step computes the loss of a batch, its gradients and one optimizer step, queued at most two batches ahead; the event loop stays free. The
 * model is in train mode during the loss callback and in its own mode otherwise; random numbers of the callback come from the run's own generator.
 * With `checkpoints` and `resume: 'auto'` a run that was killed goes on bit for bit, at an equal number of threads.
 *
 * ```ts
 * const history = await train.fit(model, loader, {
 *   loss: (model, { x, y }) => nn.functional.crossEntropy(model.forward(x), y),
 *   optimizer: optim.adamW({ lr: 1e-3 }),
 *   epochs: 10,
 * })
 * console.log(history.best)
 * ```
 *
 * @throws BusyError where the model is being fitted or the folder is in use; CallbackError for a callback that threw; NotFiniteError; AbortedError;
 * CheckpointError where no checkpoint can be used or they are of another model; FileError where one cannot be written. The model stays usable.
 */
export async function fit<M extends Module, B>(
  model: M,
  data: Batches<B>,
  options: FitOptions<M, B> = {},
): Promise<History> {
  const checked = settings(model, data, options)
  const progress = (options.progress ?? 'auto') === false ? undefined : new Progress(checked.epochs)
  try {
    return await new Run(model, data, checked, (event) => show(progress, event)).go()
  } finally {
    progress?.end()
  }
}

/**
 * Starts the same training and returns at once. `for await (const event of run)` watches it: leaving the loop stops the run after the step in
 * hand, with a checkpoint if there is a folder. Nobody needs to watch: `run.history` resolves all the same, and step events that nobody takes are dropped.
 *
 * @throws at once what is wrong with the arguments; later errors come from the loop and from `run.history`.
 */
export function start<M extends Module, B>(model: M, data: Batches<B>, options: FitOptions<M, B> = {}): TrainingRun {
  const checked = settings(model, data, options)
  const progress = options.progress === true ? new Progress(checked.epochs) : undefined
  const events = new EventStream()
  const run = new Run(model, data, checked, (event) => {
    show(progress, event)
    events.push(event)
  })
  const history = run.go().finally(() => progress?.end())
  return new TrainingRun(history, events, () => run.stop())
}

/** A training that goes on. */
export class TrainingRun implements AsyncIterable<RunEvent> {
  /** What came of it; rejects as `fit` would. */
  readonly history: Promise<History>
  readonly #events: EventStream
  readonly #stop: () => void

  /** @internal */
  constructor(history: Promise<History>, events: EventStream, stop: () => void) {
    this.#events = events
    this.#stop = stop
    // A promise of its own: an error that neither the loop nor `history` delivers stays an unhandled rejection.
    this.history = history.then((result) => result)
    history.then(
      () => events.close(),
      (error) => events.fail(error),
    )
  }

  /** Ends the run after the step in hand; `history` resolves with the epochs done. */
  stop(): void {
    this.#stop()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<RunEvent, void, undefined> {
    // Whoever watches gets the error here.
    this.history.catch(() => {})
    try {
      for (let event = await this.#events.next(); event !== undefined; event = await this.#events.next()) yield event
    } finally {
      this.#stop()
    }
  }
}

function show(progress: Progress | undefined, event: RunEvent): void {
  if (event.type === 'step') progress?.step(event)
  else if (event.type === 'epoch') progress?.epoch(event)
}
