// Cohort: parameters that have taken part in the same steps. They share one count, and their update is one operation.
import { full, zeros } from '../tensor/create.js'
import type { Tensor } from '../tensor/tensor.js'
import { Variable } from '../tensor/variable.js'

/** A rate, or the rate for each number of steps done so far (0, 1, …). It must be a pure function. */
export type LearningRate = number | ((step: number) => number)

/** Steps after which the number of those that succeeded is read back, where the rate depends on it. */
const COUNT_EVERY = 16

export interface Steps {
  /** Steps done. */
  done: number
  /** Steps of the optimizer that it took no part in, taken to have succeeded: they move the schedule on. */
  missed: number
}

/**
 * PyTorch counts the steps of each parameter, since one that gets its first gradient late (unfrozen, or used by few batches) must start its
 * moments from there. Most often all parameters of a group take part in every step, and it has one cohort.
 */
export class Cohort {
  /** float32, as the engine counts. A step that fails or is skipped is not counted, so its value is known only when it is read. */
  readonly count: Variable
  missed: number
  #known: { done: number; recorded: number }
  #recorded = 0
  #reading = false
  #witness: readonly Variable[] | undefined

  constructor(
    readonly members: readonly Variable[],
    { done, missed }: Steps,
    count?: Tensor,
  ) {
    const start = count ?? full([], done)
    this.count = state(start, 'a count of steps')
    if (count === undefined) start.dispose()
    this.missed = missed
    this.#known = { done, recorded: 0 }
  }

  /** The members that take part now and those that do not, each a cohort with the past of this one. */
  split(taking: readonly Variable[]): [taking: Cohort, rest: Cohort] {
    const some = new Set(taking)
    return [this.#with(taking), this.#with(this.members.filter((member) => !some.has(member)))]
  }

  #with(members: readonly Variable[]): Cohort {
    const part = new Cohort(members, { done: this.#known.done, missed: this.missed }, this.count)
    part.#recorded = this.#recorded - this.#known.recorded
    return part
  }

  /** The rates of the next step for each number of steps that may have been done: those in flight may still fail. */
  rates(lr: LearningRate): { base: number; rates: number[] } {
    if (typeof lr === 'number') return { base: 0, rates: [lr] }
    const { done, recorded } = this.#known
    return {
      base: done,
      rates: Array.from({ length: this.#recorded - recorded + 1 }, (_, i) => lr(done + i + this.missed)),
    }
  }

  /** A step has been recorded; `lr` is its rate. */
  recorded(lr: LearningRate): void {
    this.#recorded++
    if (typeof lr === 'number' || this.#reading || this.#recorded - this.#known.recorded < COUNT_EVERY) return
    this.#reading = true
    const recorded = this.#recorded
    this.count.item().then(
      (done) => {
        this.#known = { done, recorded }
        this.#reading = false
      },
      // The engine has stopped, and says so elsewhere.
      () => {},
    )
  }

  /** Scalars that stand beside the parameters in an operation, with `states` states: see guard.ts. */
  witness(states: number): readonly Variable[] {
    if (this.#witness === undefined || this.#witness.length <= states) {
      const zero = zeros([])
      const first = this.members[0]?.name || 'an unnamed variable'
      const name = this.members.length === 1 ? first : `one of ${this.members.length} parameters from ${first} on`
      this.#witness = Array.from({ length: states + 1 }, () => state(zero, name))
      zero.dispose()
    }
    return this.#witness.slice(0, states + 1)
  }
}

export function state(value: Tensor, name: string): Variable {
  return new Variable(value, { requiresGrad: false, name })
}
