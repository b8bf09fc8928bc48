// Run: one training from start or checkpoint to its end. `fit` and `start` are its two faces.
import { AbortedError, BusyError, CallbackError, NotFiniteError, type QuarterturnError } from '../errors.js'
import type { Module } from '../nn/index.js'
import { EMA, type Optimizer, ReduceOnPlateau } from '../optim/index.js'
import { grad } from '../tensor/grad.js'
import { request, takePending } from '../tensor/queue.js'
import { Generator, generator, withGenerator } from '../tensor/random.js'
import { scope, synchronous } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { type Batches, discard, paced, rowsOf } from './batches.js'
import { callbackError, called, isOutputs, scalar } from './call.js'
import { type Checkpoint, Checkpoints, disposeCheckpoint } from './checkpoints.js'
import { describeRun } from './describe.js'
import { measureAll } from './evaluate.js'
import { callbackNames, type RunControl, type RunEvent } from './events.js'
import { type EpochRecord, type History, monitored, Watch, watched } from './history.js'
import { RunLog } from './log.js'
import { Mean } from './mean.js'
import type { MetricValue } from './metrics/index.js'
import { Mode } from './mode.js'
import type { Settings } from './options.js'
import { findCheckpoint, takeOver } from './resume.js'
import { attend, type Interruptible, leave, type StopSignal } from './signals.js'
import { Update } from './update.js'

/** Models that are being fitted. */
const busy = new WeakSet<Module>()

/** @throws BusyError while a run has the model. */
export function checkFree(model: Module, op: string): void {
  if (!busy.has(model)) return
  const { name } = model.constructor
  throw new BusyError(`${op}: this ${name} is being fitted already; await that first`, { op, got: name })
}

/** Where the events of a run go. */
export type Listener = (event: RunEvent) => void

export class Run<M extends Module, B> implements RunControl, Interruptible {
  readonly optimizer: Optimizer
  readonly #model: M
  readonly #data: Batches<B>
  readonly #options: Settings<M, B>
  readonly #tell: Listener
  readonly #generator: Generator
  readonly #losses = new Mean()
  readonly #watch: Watch
  readonly #plateau: ReduceOnPlateau | undefined
  readonly #average: EMA | undefined
  readonly #update: Update
  readonly #epochs: EpochRecord[] = []
  /** The step at the end of each epoch; NaN where a checkpoint did not tell. */
  readonly #ends: number[] = []
  #mode: Mode
  #trained: Variable[] = []
  #checkpoints: Checkpoints | undefined
  #log: RunLog | undefined
  #best = new Map<string, Tensor>()
  /** Steps of the run, and batches of the current epoch, that are done. */
  #step = 0
  #position = 0
  /** All batches of the current epoch are done: what is left of it is the validation. */
  #validating = false
  /** Batches to pass over, for data that cannot be put at a position. */
  #behind = 0
  #saved = '0 0 0'
  /** Of the validation data, between two validations. */
  #validationState: unknown
  #ended: History['ended'] | undefined
  #signalled: StopSignal | undefined
  /** The error of a callback, if that is why it ends. */
  #told: CallbackError | undefined
  #deadline = Infinity
  #began = 0
  #beganAt = 0

  constructor(model: M, data: Batches<B>, options: Settings<M, B>, tell: Listener) {
    checkFree(model, 'fit')
    this.#model = model
    this.#data = data
    this.#options = options
    this.#tell = tell
    this.#watch = new Watch(options.earlyStopping, options.monitor)
    this.#validationState = options.validation?.state?.() ?? null
    this.#mode = new Mode(model)
    this.optimizer = options.optimizer(model.parameters())
    const { monitor, reduceOnPlateau, ema, accumulate, clipNorm, clipValue, notFinite } = options
    this.#average = ema === undefined ? undefined : new EMA(model.parameters(), ema)
    this.#update = new Update(this.optimizer, this.#average, {
      accumulate,
      clipNorm,
      clipValue,
      notFinite: notFinite === 'skip' ? 'skip' : 'error',
    })
    if (reduceOnPlateau !== undefined)
      this.#plateau = new ReduceOnPlateau(this.optimizer, { ...reduceOnPlateau, mode: monitor?.mode ?? 'min' })
    this.#generator = options.seed === undefined ? generator().fork() : new Generator(options.seed)
    busy.add(model)
  }

  stop(): void {
    this.#ended ??= 'stopped'
  }

  interrupt(signal: StopSignal): void {
    this.#signalled ??= signal
  }

  async go(): Promise<History> {
    let saved = true
    try {
      const { signal, checkpoints, signals = true, timeLimit = Infinity } = this.#options
      signal?.throwIfAborted()
      if (checkpoints !== undefined && signals) attend(this)
      this.#deadline = performance.now() + 1000 * timeLimit
      await this.#open()
      if (this.#ended === undefined && this.#interrupted()) await this.#leave()
      while (this.#ended === undefined) await this.#epoch()
      this.#endWeights()
      const history = this.#history()
      await this.#emit({ type: 'end', history })
      return history
    } catch (error) {
      // Between two steps everything is whole: what was done until the callback is not lost.
      if (error instanceof CallbackError && this.#told === error) await this.#save().catch(() => {})
      const explained = this.#explain(error, await this.#settle())
      saved = explained instanceof AbortedError
      throw explained
    } finally {
      for (const tensor of this.#best.values()) tensor.dispose()
      this.#update.dispose()
      await this.#log?.close()
      await this.#checkpoints?.close()
      busy.delete(this.#model)
      await leave(this, saved)
    }
  }

  // ---- Epochs and steps --------------------------------------------------------------------------------------------

  async #epoch(): Promise<void> {
    this.#mode = new Mode(this.#model)
    this.#trained = this.#model.parameters().filter((parameter) => parameter.requiresGrad)
    this.#began = performance.now()
    this.#beganAt = this.#position
    let measured: Measured | undefined
    try {
      if (!this.#validating) this.#validating = await this.#batches()
      // The validation is queued behind the last steps while their losses are on the way.
      this.#losses.send()
      if (!this.#interrupted()) measured = await this.#measure()
      await this.#losses.drain()
      this.#checkFinite()
    } catch (error) {
      if (!(error instanceof NotFiniteError) || this.#options.notFinite !== 'stop') throw error
      await this.#quiet()
      this.#ended ??= 'notFinite'
      measured = undefined
    }
    // Asked to stop while validating: the epoch is not done, and a resumed run validates again.
    if (measured === undefined) await this.#leave()
    else await this.#finishEpoch(measured)
  }

  /** Trains on the rest of the epoch; returns whether it came to its end. */
  async #batches(): Promise<boolean> {
    let behind = this.#behind
    this.#behind = 0
    for await (const batch of paced(this.#data)) {
      if (behind-- > 0) continue
      try {
        this.#train(batch)
      } finally {
        discard(this.#data, batch)
      }
      this.#step++
      this.#position++
      // No turn of the microtasks where there is nothing to tell: what was recorded goes to the engine with the next batch.
      const told = this.#between()
      if (told !== undefined) await told
      if (this.#interrupted()) return false
    }
    this.#update.finish()
    return true
  }

  /** One batch: forward, backward and update are recorded, and their temporaries freed. */
  #train(batch: B): void {
    const { loss: lossOf, unused = 'error' } = this.#options
    const rows = rowsOf(batch)
    const loss = this.#around(() =>
      this.#mode.run(true, () =>
        scope(() => {
          const returned = synchronous(() => called('loss', 'fit', () => lossOf(this.#model, batch)), 'fit: loss')
          const value = isOutputs(returned) ? returned.loss : returned
          const plain = scalar(value, 'loss', 'fit')
          this.#update.take(grad(value, this.#trained, { unused }), rows)
          return plain
        }),
      ),
    )
    this.#losses.add(loss, rows, this.#step)
  }

  /** After a step: what has come back from earlier ones, and a checkpoint where one is due; undefined where there is nothing. */
  #between(): Promise<void> | undefined {
    const recent = this.#losses.takeRecent()
    this.#checkFinite()
    const { checkpointEvery } = this.#options
    const due = checkpointEvery !== undefined && this.#step % checkpointEvery === 0
    return recent === undefined && !due ? undefined : this.#pause(recent, due)
  }

  async #pause(recent: number | undefined, due: boolean): Promise<void> {
    if (recent !== undefined) {
      const seconds = (performance.now() - this.#began) / 1000
      await this.#emit({
        type: 'step',
        epoch: this.#epochs.length + 1,
        step: this.#position,
        steps: this.#data.length,
        totalSteps: this.#step,
        loss: recent,
        epochLoss: this.#losses.value,
        rate: (this.#position - this.#beganAt) / seconds,
      })
    }
    if (due) await this.#save()
  }

  /** The figures of the validation data, with the averages of the weights if there are such; undefined if it was interrupted. */
  async #measure(): Promise<Measured | undefined> {
    const { validation, metrics = {}, loss } = this.#options
    if (validation === undefined) return {}
    const aside = { op: 'fit', around: <T>(fn: () => T) => this.#around(fn), interrupted: () => this.#interrupted() }
    return this.#averaged(() =>
      measureAll(this.#mode, this.#model, validation, { validationLoss: loss, ...metrics }, aside),
    )
  }

  async #finishEpoch(measured: Measured): Promise<void> {
    const { epochs, validation } = this.#options
    this.#validationState = validation?.state?.() ?? null
    const { skipped } = this.#losses
    const record: EpochRecord = {
      epoch: this.#epochs.length + 1,
      loss: this.#losses.value,
      ...measured,
      ...(skipped > 0 ? { skipped } : {}),
    }
    const best = this.#watch.add(record)
    this.#epochs.push(record)
    this.#ends.push(this.#step)
    this.#plateau?.step(monitored(record, this.#options.monitor))
    if (best && this.#options.earlyStopping?.restoreBest === true)
      this.#keepBest(this.#averaged(() => this.#model.stateDict()))
    this.#losses.restore({ sum: 0, rows: 0, skipped: 0 })
    this.#position = 0
    this.#validating = false
    if (this.#watch.exhausted) this.#ended ??= 'earlyStopping'
    if (record.epoch >= epochs) this.#ended ??= 'epochs'
    await this.#save()
    await this.#emit({
      type: 'epoch',
      epoch: record.epoch,
      metrics: record,
      best,
      totalSteps: this.#step,
      seconds: (performance.now() - this.#began) / 1000,
    })
    if (this.#interrupted()) await this.#leave()
  }

  #interrupted(): boolean {
    if (performance.now() >= this.#deadline) this.#ended ??= 'timeLimit'
    return this.#ended !== undefined || this.#signalled !== undefined || this.#options.signal?.aborted === true
  }

  /** Saves where it stands; an abort becomes an error. */
  async #leave(): Promise<void> {
    await this.#save()
    if (this.#ended !== undefined) return
    if (this.#signalled !== undefined)
      throw new AbortedError(`fit: ${this.#signalled} after step ${this.#step}`, { op: 'fit', got: this.#signalled })
    this.#options.signal?.throwIfAborted()
  }

  /** Looks at the losses that have been read. */
  #checkFinite(): void {
    if (this.#losses.notFiniteAt !== undefined && this.#options.notFinite !== 'skip')
      throw notFinite(this.#losses.notFiniteAt)
  }

  // ---- Averaged and best weights -----------------------------------------------------------------------------------

  /** Runs a function with the averages of the weights in place, if there are such. */
  #averaged<T>(fn: () => T): T {
    return this.#average === undefined ? fn() : this.#average.use(fn)
  }

  #keepBest(weights: Map<string, Tensor>): void {
    for (const tensor of this.#best.values()) tensor.dispose()
    this.#best = weights
  }

  /** What the model has at the end of the run. */
  #endWeights(): void {
    this.#average?.copyTo()
    if (this.#best.size > 0) this.#model.loadStateDict(this.#best)
  }

  // ---- Checkpoints -------------------------------------------------------------------------------------------------

  async #open(): Promise<void> {
    const { checkpoints: folder, keep, resume, logs = folder ?? false } = this.#options
    if (folder !== undefined) this.#checkpoints = await Checkpoints.open(folder, keep)
    const from = await findCheckpoint(this.#checkpoints, resume)
    if (from !== undefined) {
      await this.#resume(from)
      // A run that was killed may have saved and not yet removed.
      await this.#checkpoints?.prune(this.#bestSteps())
    }
    if (logs !== false) this.#log = await RunLog.open(logs, this.#describe(), this.#epochs)
    await this.#emit({ type: 'start', epochs: [...this.#epochs], resumed: from?.path, totalSteps: this.#step })
  }

  #describe(): Promise<object> {
    const own = { model: this.#model, data: this.#data, optimizer: this.optimizer, options: this.#options }
    return describeRun({ ...own, seed: String(this.#generator.state().seed) })
  }

  async #resume(from: Checkpoint): Promise<void> {
    const { position, validating = false, validation, plateau, epochs, ends = [] } = from.state
    const { validation: validationData, earlyStopping } = this.#options
    const own = { model: this.#model, optimizer: this.optimizer, average: this.#average, data: this.#data }
    await takeOver({ ...own, validation: validationData }, from)
    const { accumulated } = from.state
    if (accumulated !== undefined) this.#update.restore(this.#model.namedParameters(), accumulated, from.accumulated)
    this.#generator.restore(from.state.generator)
    this.#losses.restore(from.state.losses)
    this.#step = from.state.step
    this.#validationState = validation
    if (plateau !== undefined) this.#plateau?.restore(plateau)
    this.#position = position
    this.#validating = validating
    this.#behind = this.#data.restore === undefined && !validating ? position : 0
    for (const [i, record] of epochs.entries()) {
      this.#epochs.push(record)
      this.#ends.push(ends[i] ?? Number.NaN)
      this.#watch.add(record)
    }
    this.#saved = this.#place()
    const restoreBest = earlyStopping?.restoreBest === true
    if (restoreBest) this.#keepBest(from.best)
    disposeCheckpoint(restoreBest ? { ...from, best: new Map() } : from)
    if (this.#epochs.length >= this.#options.epochs) this.#ended = 'epochs'
    else if (this.#watch.exhausted) this.#ended = 'earlyStopping'
  }

  /** The steps at the ends of the best epochs, as many as are to be kept. */
  #bestSteps(): ReadonlySet<number> {
    const { keepBest, monitor } = this.#options
    const values = this.#epochs.map((record, i) => ({ value: watched(record, monitor), step: this.#ends[i] as number }))
    const ranked = values.filter(({ value }) => Number.isFinite(value)).sort((a, b) => a.value - b.value)
    return new Set(ranked.slice(0, keepBest).map(({ step }) => step))
  }

  /** Tells a state of the run from every other. */
  #place(): string {
    return `${this.#step} ${this.#position} ${this.#epochs.length}`
  }

  async #save(): Promise<void> {
    if (this.#checkpoints === undefined || this.#saved === this.#place()) return
    await this.#losses.drain()
    const tensors = {
      model: this.#averaged(() => this.#model.stateDict()),
      optimizer: this.optimizer.stateDict(),
      best: this.#best,
      accumulated: this.#update.stateDict(this.#model.namedParameters()),
      ema: this.#average?.stateDict() ?? new Map(),
      trained: this.#average === undefined ? new Map() : this.#model.stateDict(),
    }
    try {
      const path = await this.#checkpoints.save(
        {
          step: this.#step,
          position: this.#position,
          ...(this.#validating ? { validating: true } : {}),
          generator: this.#generator.state(),
          data: this.#data.state?.() ?? null,
          validation: this.#validationState,
          losses: this.#losses.state(),
          ...(this.#update.group === undefined ? {} : { accumulated: this.#update.group }),
          ...(this.#plateau === undefined ? {} : { plateau: this.#plateau.state() }),
          epochs: this.#epochs,
          ends: this.#ends,
          ...(this.#watch.best === undefined ? {} : { best: this.#watch.best.epoch }),
        },
        tensors,
        this.#bestSteps(),
      )
      this.#saved = this.#place()
      const last = this.#epochs.at(-1)
      const best = this.#position === 0 && last !== undefined && last === this.#watch.best
      await this.#emit({ type: 'checkpoint', path, totalSteps: this.#step, best })
    } finally {
      disposeCheckpoint({ ...tensors, best: new Map() })
    }
  }

  // ---- Calls into the user's code ----------------------------------------------------------------------------------

  /** Random numbers come from the run's own generator. */
  #around<T>(fn: () => T): T {
    return withGenerator(this.#generator, fn)
  }

  async #emit(event: RunEvent): Promise<void> {
    this.#tell(event)
    this.#log?.tell(event)
    const name = callbackNames[event.type]
    for (const callbacks of this.#options.callbacks) {
      try {
        await (callbacks[name] as ((event: RunEvent, run: RunControl) => unknown) | undefined)?.(event, this)
      } catch (cause) {
        this.#told = callbackError(name, 'fit', cause)
        throw this.#told
      }
    }
  }

  // ---- The end -----------------------------------------------------------------------------------------------------

  #history(): History {
    return { epochs: [...this.#epochs], best: this.#watch.best, ended: this.#ended ?? 'stopped' }
  }

  /** After a failure: lets what is in flight come to its end, and takes away the errors that follow from the first. */
  async #settle(): Promise<Settled> {
    const others = await this.#quiet()
    const { notFiniteAt } = this.#losses
    await this.#losses.clear()
    return { notFiniteAt, others }
  }

  async #quiet(): Promise<QuarterturnError[]> {
    await request('mark', [], [])
    await this.#losses.drain().catch(() => {})
    return takePending()
  }

  /** The error as the user gets it. */
  #explain(error: unknown, { notFiniteAt, others }: Settled): unknown {
    const { signal } = this.#options
    if (signal?.aborted === true && error === signal.reason) {
      return new AbortedError(`fit: aborted after step ${this.#step}`, { op: 'fit', cause: error })
    }
    if (!(error instanceof NotFiniteError)) return error
    const named = [error, ...others].find((other) => other instanceof NotFiniteError && other.op !== 'fit')
    return notFinite(notFiniteAt ?? this.#step - 1, named)
  }
}

type Measured = Record<string, MetricValue>

interface Settled {
  notFiniteAt: number | undefined
  others: QuarterturnError[]
}

/** Steps are counted from 0; `parameter` is the optimizer's error, which names one. */
function notFinite(step: number, parameter?: unknown): NotFiniteError {
  const detail = parameter instanceof NotFiniteError ? `: ${parameter.message}` : ''
  return new NotFiniteError(`fit: the loss or a gradient of step ${step} is not finite${detail}`, {
    op: 'fit',
    expected: 'a finite loss',
    got: `step ${step}`,
    cause: parameter,
  })
}
