// ReduceOnPlateau: lowers the learning rate once a measured value has stopped improving.
import { ArgumentError, CheckpointError } from '../errors.js'
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import { told } from '../told.js'
import { Optimizer } from './optimizer.js'
import { needNumber } from './options.js'

export interface ReduceOnPlateauOptions {
  /** Whether smaller or larger values are better. @default 'min' */
  mode?: 'min' | 'max'
  /** Each rate becomes factor times what it was. @default 0.1 */
  factor?: number
  /** Measurements in a row without an improvement that are passed over. @default 10 */
  patience?: number
  /** What counts as an improvement: this share of the best value, or, with `absolute`, this much. @default 1e-4 */
  threshold?: number
  /** @default false */
  absolute?: boolean
  /** Measurements after a reduction that do not count. @default 0 */
  cooldown?: number
  /** No rate falls below it. @default 0 */
  least?: number
}

/** Where it stands; plain JSON. */
export interface PlateauState {
  /** null before the first measurement. */
  best: number | null
  /** Measurements since the last improvement. */
  bad: number
  /** Measurements that are still not counted. */
  cooling: number
}

/**
 * Lowers the rates of an optimizer when a value that is measured now and then, such as the validation loss, no longer gets better. NaN is no
 * improvement. As `torch.optim.lr_scheduler.ReduceLROnPlateau`, whose `min_lr` is `least` and `threshold_mode` is `absolute`; differs: no `eps`; the rates must be
 * numbers, as a function of the step is a schedule of its own. The rates are saved with the optimizer, the rest by `state`.
 *
 * @example
 * const optimizer = new optim.SGD(model.parameters(), { lr: 4 })
 * const plateau = new optim.ReduceOnPlateau(optimizer, { patience: 0, factor: 0.5 })
 * for (const validationLoss of [3, 2, 2.5]) plateau.step(validationLoss)
 * optimizer.lr   // 2
 */
export class ReduceOnPlateau {
  readonly #optimizer: Optimizer
  readonly #options: Required<ReduceOnPlateauOptions>
  #state: PlateauState = { best: null, bad: 0, cooling: 0 }

  /** @throws ArgumentError (`ERR_ARGUMENT`) for options outside their domain, and where a rate is a function. */
  constructor(optimizer: Optimizer, options: ReduceOnPlateauOptions = {}) {
    const op = 'ReduceOnPlateau'
    const { mode = 'min', factor = 0.1, patience = 10, threshold = 1e-4 } = needOptions(options, op)
    const { absolute = false, cooldown = 0, least = 0 } = options
    if (!(optimizer instanceof Optimizer)) {
      const [expected, got] = ['an Optimizer', told(optimizer)]
      throw new ArgumentError(`${op}: the first argument must be ${expected}, got ${got}`, { op, expected, got })
    }
    if (mode !== 'min' && mode !== 'max') {
      const [expected, got] = ["'min' or 'max'", told(mode)]
      throw new ArgumentError(`${op}: mode must be ${expected}, got ${got}`, { op, expected, got })
    }
    needNumber(factor, 'factor', op, 0, 1)
    whole(patience, 'patience', op)
    needNumber(threshold, 'threshold', op, 0)
    whole(cooldown, 'cooldown', op)
    needNumber(least, 'least', op, 0)
    this.#optimizer = optimizer
    this.#options = { mode, factor, patience, threshold, absolute, cooldown, least }
    this.#rates()
  }

  #rates(): number[] {
    return this.#optimizer.groups.map(({ options: { lr } }) => {
      if (typeof lr === 'number') return lr
      const [op, expected, got] = ['ReduceOnPlateau', 'a number', 'a function']
      throw new ArgumentError(`${op}: lr must be a number: a function of the step is a schedule of its own`, {
        op,
        expected,
        got,
      })
    })
  }

  /** Takes a measurement, and lowers the rates where it is time to. @returns whether it did. */
  step(value: number): boolean {
    if (typeof value !== 'number') {
      const [op, expected, got] = ['ReduceOnPlateau.step', 'a number (await loss.item())', told(value)]
      throw new ArgumentError(`${op}: the value must be ${expected}, got ${got}`, { op, expected, got })
    }
    const { factor, patience, cooldown, least } = this.#options
    const rates = this.#rates()
    const { best, bad, cooling } = this.#state
    const better = this.#isBetter(value, best)
    // While it cools down, bad measurements do not count.
    const counted = better || cooling > 0 ? 0 : bad + 1
    const reduce = counted > patience
    this.#state = {
      best: better ? value : best,
      bad: reduce ? 0 : counted,
      cooling: reduce ? cooldown : Math.max(cooling - 1, 0),
    }
    if (!reduce) return false
    for (const [i, { options }] of this.#optimizer.groups.entries())
      options.lr = Math.max((rates[i] as number) * factor, least)
    return true
  }

  #isBetter(value: number, best: number | null): boolean {
    if (Number.isNaN(value)) return false
    if (best === null) return true
    const { mode, threshold, absolute } = this.#options
    const step = mode === 'min' ? -threshold : threshold
    const bar = absolute ? best + step : best * (1 + step)
    return mode === 'min' ? value < bar : value > bar
  }

  state(): PlateauState {
    return { ...this.#state }
  }

  /** @throws CheckpointError (`ERR_CHECKPOINT`) for what `state` never gives. */
  restore({ best, bad, cooling }: PlateauState): this {
    const op = 'ReduceOnPlateau.restore'
    const counts = [bad, cooling].every((n) => Number.isInteger(n) && n >= 0)
    if (!counts || (best !== null && typeof best !== 'number')) {
      throw new CheckpointError(`${op}: best must be a number or null, bad and cooling whole numbers ≥ 0`, { op })
    }
    this.#state = { best, bad, cooling }
    return this
  }
}
