// Lower learning rates when the epochs no longer improve.
import { ArgumentError } from '../errors.js'
import type { Optimizer } from '../optim/index.js'
import { Patience } from './history.js'

export interface ReduceOnPlateau {
  /** Epochs without improvement after which the rates are lowered. */
  patience: number
  /** What the rates are multiplied by. @default 0.1 */
  factor?: number
  /** What counts as improvement. @default 0 */
  minDelta?: number
  /** No rate goes below. @default 0 */
  minLr?: number
}

/**
 * Counts epochs without improvement and lowers the rates of an optimizer, those that are functions too. The count follows from the records of a run;
 * rates that are numbers are saved by the optimizer.
 */
export class Plateau {
  readonly #patience: Patience
  readonly #factor: number
  readonly #minLr: number

  constructor({ patience, factor = 0.1, minDelta, minLr = 0 }: ReduceOnPlateau) {
    this.#patience = new Patience('reduceOnPlateau', { patience, minDelta })
    this.#factor = factor
    this.#minLr = minLr
    if (!(factor > 0 && factor < 1)) throw wrong('factor', '0 < factor < 1', factor)
    if (!(minLr >= 0)) throw wrong('minLr', '≥ 0', minLr)
  }

  /** Takes in the value of an epoch, as one that should fall; returns whether the rates are to be lowered now. */
  add(value: number): boolean {
    this.#patience.add(value)
    if (!this.#patience.exhausted) return false
    this.#patience.again()
    return true
  }

  /** Lowers the rates; of a resumed optimizer only those that are functions, which no checkpoint holds. */
  lower(optimizer: Optimizer, { resumed = false } = {}): void {
    for (const { options } of optimizer.groups) {
      const { lr } = options
      const lowered = (rate: number): number => Math.max(rate * this.#factor, Math.min(rate, this.#minLr))
      if (typeof lr === 'function') options.lr = (step) => lowered(lr(step))
      else if (!resumed) options.lr = lowered(lr)
    }
  }
}

function wrong(name: string, expected: string, got: number): ArgumentError {
  return new ArgumentError(`fit: reduceOnPlateau.${name} must be ${expected}, got ${got}`, {
    op: 'fit',
    expected,
    got: String(got),
  })
}
