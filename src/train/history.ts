// What a run has achieved: a record per epoch, the best of them, and when to stop.
import { ArgumentError } from '../errors.js'
import { whole } from '../tensor/shape.js'
import type { MetricValue } from './metrics/index.js'

/** One epoch: mean losses over its rows, and the metrics of the validation data by name. */
export interface EpochRecord {
  /** From 1. */
  readonly epoch: number
  /** Mean over the training rows, each at the weights of its own step. */
  readonly loss: number
  readonly validationLoss?: number
  /** Steps whose loss was not finite (`notFinite: 'skip'`); they are not in the mean. */
  readonly skipped?: number
  readonly [metric: string]: MetricValue | undefined
}

export interface History {
  readonly epochs: readonly EpochRecord[]
  /** The epoch with the lowest validation loss (training loss without validation), or the best by `monitor`; never one that is not finite. */
  readonly best: EpochRecord | undefined
  /** Why it ended: all epochs done, no more improvement, no time left, asked to, or a value that was not finite. */
  readonly ended: 'epochs' | 'earlyStopping' | 'timeLimit' | 'stopped' | 'notFinite'
}

export interface EarlyStopping {
  /** Epochs without improvement after which the run ends. */
  patience: number
  /** What counts as improvement. @default 0 */
  minDelta?: number
  /** Gives the model the weights of the best epoch at the end. @default false */
  restoreBest?: boolean
}

/** What tells a better epoch from a worse one. */
export interface Monitor {
  /** A number of the records: `'accuracy'`, `'loss'`, … */
  metric: string
  /** Whether it should fall or rise. @default 'min' */
  mode?: 'min' | 'max'
}

/** The number that is watched, as one that should fall. */
export function watched(record: EpochRecord, monitor?: Monitor): number {
  const value = monitored(record, monitor)
  return monitor?.mode === 'max' ? -value : value
}

/** The number that is watched. */
export function monitored(record: EpochRecord, monitor?: Monitor): number {
  if (monitor === undefined) return record.validationLoss ?? record.loss
  const value = record[monitor.metric]
  if (typeof value === 'number') return value
  const numbers = Object.keys(record).filter((name) => typeof record[name] === 'number')
  throw new ArgumentError(
    `fit: monitor must name a number of the records (${numbers.join(', ')}), got ${monitor.metric}`,
    { op: 'fit', expected: numbers.join(', '), got: monitor.metric },
  )
}

/** Keeps the best epoch and counts those without improvement. The same records give the same answer: nothing of it needs saving. */
export class Watch {
  readonly #monitor: Monitor | undefined
  readonly #patience: number
  readonly #minDelta: number
  #best: EpochRecord | undefined
  #reference = Infinity
  #waited = 0

  constructor(options: EarlyStopping | undefined, monitor?: Monitor) {
    this.#monitor = monitor
    this.#patience = options === undefined ? Infinity : whole(options.patience, 'earlyStopping.patience', 'fit', 1)
    this.#minDelta = options?.minDelta ?? 0
    if (!(this.#minDelta >= 0))
      throw new ArgumentError(`fit: earlyStopping.minDelta must be ≥ 0, got ${this.#minDelta}`, {
        op: 'fit',
        got: String(this.#minDelta),
      })
  }

  get best(): EpochRecord | undefined {
    return this.#best
  }

  /** No improvement for `patience` epochs. */
  get exhausted(): boolean {
    return this.#waited >= this.#patience
  }

  /** Takes in an epoch; returns whether it is the best so far. */
  add(record: EpochRecord): boolean {
    const value = watched(record, this.#monitor)
    if (value < this.#reference - this.#minDelta) {
      this.#reference = value
      this.#waited = 0
    } else this.#waited++
    if (!Number.isFinite(value)) return false
    if (this.#best !== undefined && value >= watched(this.#best, this.#monitor)) return false
    this.#best = record
    return true
  }
}
