// What a run tells: events, and the stream of them that never holds the run up.
import type { Optimizer } from '../optim/index.js'
import type { EpochRecord, History } from './history.js'

export interface StartEvent {
  readonly type: 'start'
  /** The epochs done before, where the run was resumed, and the checkpoint that it goes on from. */
  readonly epochs: readonly EpochRecord[]
  readonly resumed: string | undefined
  readonly totalSteps: number
}

/** A sample of the steps: one for about every 100 ms or 64 steps. */
export interface StepEvent {
  readonly type: 'step'
  readonly epoch: number
  /** Steps done in this epoch, and how many there are where the data tell. */
  readonly step: number
  readonly steps: number | undefined
  /** Steps done since the beginning of the run. */
  readonly totalSteps: number
  /** Mean loss of the steps since the previous sample; those in flight are not among them. */
  readonly loss: number
  /** Mean loss of the epoch so far. */
  readonly epochLoss: number
  /** Steps per second since this process began with the epoch. */
  readonly rate: number
}

export interface EpochEvent {
  readonly type: 'epoch'
  readonly epoch: number
  readonly metrics: EpochRecord
  readonly best: boolean
  readonly totalSteps: number
  readonly seconds: number
}

export interface CheckpointEvent {
  readonly type: 'checkpoint'
  readonly path: string
  readonly totalSteps: number
  /** Whether it holds the best epoch so far, at its end. */
  readonly best: boolean
}

export interface EndEvent {
  readonly type: 'end'
  readonly history: History
}

export type RunEvent = StartEvent | StepEvent | EpochEvent | CheckpointEvent | EndEvent

/** What a callback may do to the run. */
export interface RunControl {
  /** The run's own: rates and options may be changed between steps. */
  readonly optimizer: Optimizer
  /** Ends the run after the current step, as if all its epochs were done. */
  stop(): void
}

type Told<E> = (event: E, run: RunControl) => void | Promise<void>

/**
 * Called while a run goes on, and awaited: the model may be read and changed here, as between two steps. One that throws or rejects ends the run
 * with `ERR_CALLBACK`, after a checkpoint where there is a folder.
 */
export interface Callbacks {
  onStart?: Told<StartEvent>
  onStep?: Told<StepEvent>
  onEpochEnd?: Told<EpochEvent>
  onCheckpoint?: Told<CheckpointEvent>
  onEnd?: Told<EndEvent>
}

export const callbackNames = {
  start: 'onStart',
  step: 'onStep',
  epoch: 'onEpochEnd',
  checkpoint: 'onCheckpoint',
  end: 'onEnd',
} as const

/** Step events that wait for a consumer beyond this number push the oldest out. */
const MOST_STEPS_WAITING = 256

/** A queue of events for a consumer, who may be slow or gone. */
export class EventStream {
  #events: RunEvent[] = []
  #waiting: (() => void)[] = []
  #closed = false
  #error: unknown
  #failed = false

  push(event: RunEvent): void {
    this.#events.push(event)
    if (event.type === 'step' && this.#events.length > MOST_STEPS_WAITING) {
      const oldest = this.#events.findIndex(({ type }) => type === 'step')
      this.#events.splice(oldest, 1)
    }
    this.#notify()
  }

  close(): void {
    this.#closed = true
    this.#notify()
  }

  fail(error: unknown): void {
    this.#error = error
    this.#failed = true
    this.close()
  }

  /** The next event; undefined at the end. */
  async next(): Promise<RunEvent | undefined> {
    for (;;) {
      const event = this.#events.shift()
      if (event !== undefined) return event
      if (this.#failed) throw this.#error
      if (this.#closed) return undefined
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve)
      })
    }
  }

  #notify(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }
}
