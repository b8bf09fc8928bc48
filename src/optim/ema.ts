// EMA: exponential moving averages of parameters, to evaluate and keep in their place.
import { ArgumentError, BusyError, CheckpointError } from '../errors.js'
import { tensor } from '../tensor/create.js'
import { needOptions } from '../tensor/options.js'
import { record, withGrad } from '../tensor/record.js'
import { scope } from '../tensor/scope.js'
import { iterable, whole } from '../tensor/shape.js'
import { entriesOfState, misfit, refuse, type StateDict } from '../tensor/state-dict.js'
import type { Tensor } from '../tensor/tensor.js'
import { Variable } from '../tensor/variable.js'
import { needFlag, needNumber } from './options.js'

export interface EMAOptions {
  /** How much of the average is kept at each update. @default 0.999 */
  decay?: number
  /** Starts with less: min(decay, (1 + n) / (10 + n)) at update n = 0, 1, … @default false */
  warmup?: boolean
  /** The plain mean of all that was taken in, in place of `decay` and `warmup`: stochastic weight averaging (Izmailov et al. 2018). @default false */
  equal?: boolean
  /** Updates before the average begins: until then it is the parameters themselves. @default 0 */
  after?: number
}

/**
 * Exponential moving averages: a ← d·a + (1 − d)·θ for every parameter, one operation per update (Polyak and Juditsky 1992; d as in Adam). They
 * start as the parameters are when it is made, and are float32 where the parameters are of half precision.
 *
 * With `equal` they are plain means: a ← (n·a + θ) / (n + 1), n updates after the first.
 *
 * The parameters themselves are averaged; Buffers, such as running statistics, stay the model's own: `train.refreshStatistics` makes them fit. Differs from `torch.optim.swa_utils.AveragedModel`:
 * no second model: `use` puts the averages in place for a function, `copyTo` for good. The first update averages already (torch's first one copies).
 *
 * @example
 * const average = new optim.EMA(model.parameters(), { decay: 0.99 })
 * const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 })
 * optimizer.step(grad(loss, model.parameters()))
 * average.update()
 * const y = average.use(() => model.forward(zeros([4, 3])))
 */
export class EMA {
  readonly decay: number
  readonly warmup: boolean
  readonly equal: boolean
  readonly after: number
  readonly #parameters: readonly Variable[]
  readonly #averages: Variable[]
  #updates = 0
  #inUse = false

  /** @throws ArgumentError (`ERR_ARGUMENT`) for options outside their domain, and for what is no Variable. */
  constructor(parameters: Iterable<Variable>, options: EMAOptions = {}) {
    const op = 'EMA'
    const { decay = 0.999, warmup = false, equal = false, after = 0 } = needOptions(options, op)
    this.decay = needNumber(decay, 'decay', op, 0, 1)
    this.warmup = needFlag(warmup, 'warmup', op)
    this.equal = needFlag(equal, 'equal', op)
    this.after = whole(after, 'after', op)
    this.#parameters = [...iterable(parameters, 'parameters', op)]
    if (this.#parameters.length === 0 || !this.#parameters.every((one) => one instanceof Variable)) {
      const [expected, got] = ['Variables', this.#parameters.length === 0 ? 'none' : 'something else']
      throw new ArgumentError(`${op}: parameters must be ${expected}, got ${got}`, { op, expected, got })
    }
    this.#averages = withGrad(false, () =>
      scope(() => this.#parameters.map((parameter) => averageOf(parameter, parameter))),
    )
  }

  /** The number of updates so far. */
  get updates(): number {
    return this.#updates
  }

  /** Takes the parameters in as they are now: after each step. */
  update(): void {
    this.#free('update')
    const n = this.#updates++ - this.after
    const decay =
      n < 0 ? 0 : this.equal ? n / (n + 1) : this.warmup ? Math.min(this.decay, (1 + n) / (10 + n)) : this.decay
    this.#place()
    withGrad(false, () => record('average', [...this.#averages, ...this.#parameters], { weight: 1 - decay }))
  }

  /**
   * Runs a function with the averages in place of the parameters, and puts the parameters back after it: after its promise where it is async. What
   * it queues is computed with the averages. No `update` and no optimizer step may happen meanwhile.
   */
  use<T>(fn: () => T): T {
    this.#free('use')
    const own = this.#parameters.map((parameter) => withGrad(false, () => parameter.clone()))
    this.#inUse = true
    this.#assign(this.#averages)
    const back = (): void => {
      this.#assign(own)
      for (const value of own) value.dispose()
      this.#inUse = false
    }
    let result: T
    try {
      result = fn()
    } catch (error) {
      back()
      throw error
    }
    if (result instanceof Promise) return result.finally(back) as T
    back()
    return result
  }

  /** Overwrites the parameters with their averages, for instance at the end of a training. */
  copyTo(): void {
    this.#free('copyTo')
    this.#assign(this.#averages)
  }

  #assign(values: readonly Tensor[]): void {
    withGrad(false, () => {
      for (const [i, parameter] of this.#parameters.entries()) parameter.assign(values[i] as Tensor)
    })
  }

  /** The model may have moved. */
  #place(): void {
    for (const [i, average] of this.#averages.entries()) {
      const { dtype, device } = this.#parameters[i] as Variable
      average.convert(dtype === 'float64' ? 'float64' : average.dtype, device)
    }
  }

  #free(what: string): void {
    if (!this.#inUse) return
    const op = `EMA.${what}`
    throw new BusyError(`${op}: the averages are in place of the parameters; wait for the end of use()`, { op })
  }

  /** A snapshot: `updates` and `average.0`, … in the order of the parameters. */
  stateDict(): Map<string, Tensor> {
    return withGrad(false, () =>
      scope(() => {
        const dict = new Map<string, Tensor>([['updates', tensor(Float64Array.of(this.#updates))]])
        for (const [i, average] of this.#averages.entries()) dict.set(`average.${i}`, average.clone())
        return dict
      }),
    )
  }

  /**
   * Restores a snapshot; everything is checked before anything changes.
   *
   * @throws CheckpointError (`ERR_CHECKPOINT`) listing what is missing, unexpected, or of another shape or dtype.
   */
  async loadStateDict(dict: StateDict): Promise<this> {
    this.#free('loadStateDict')
    const op = 'EMA.loadStateDict'
    const given = entriesOfState(dict, op)
    const likes = new Map<string, Pick<Tensor, 'shape' | 'dtype'>>([['updates', { shape: [1], dtype: 'float64' }]])
    for (const [i, average] of this.#averages.entries()) likes.set(`average.${i}`, average)
    const missing = [...likes.keys()].filter((key) => !given.has(key)).map((key) => `${key} is missing`)
    const wrong = [...given].flatMap(([key, value]) => {
      const like = likes.get(key)
      return (like === undefined ? `${key} is unexpected` : misfit(key, like, value)) ?? []
    })
    refuse([...missing, ...wrong], op)
    const copies = withGrad(false, () => this.#averages.map((_, i) => (given.get(`average.${i}`) as Tensor).clone()))
    const [updates] = (await (given.get('updates') as Tensor).data()) as Float64Array
    if (!Number.isInteger(updates) || (updates as number) < 0) {
      throw new CheckpointError(`${op}: updates must be a whole number ≥ 0, got ${updates}`, { op })
    }
    this.#updates = updates as number
    withGrad(false, () => {
      for (const [i, average] of this.#averages.entries()) average.assign(copies[i] as Tensor)
    })
    for (const copy of copies) copy.dispose()
    return this
  }
}

function averageOf(parameter: Variable, value: Tensor): Variable {
  const start = parameter.dtype === 'float64' ? value : value.to('float32')
  return new Variable(start, { requiresGrad: false, name: `the average of ${parameter.name || 'a parameter'}` })
}
