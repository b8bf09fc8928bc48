// Update: from the gradients of batches to a step of the optimizer: accumulated over a group of batches, clipped, averaged afterwards.
import { CheckpointError } from '../errors.js'
import type { EMA, Optimizer } from '../optim/index.js'
import { Gradients } from '../tensor/grad.js'
import { unscope } from '../tensor/lifetime.js'
import { noGrad, scope } from '../tensor/scope.js'
import { sameShape } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'

export interface UpdateOptions {
  accumulate: number
  clipNorm?: number | undefined
  clipValue?: number | undefined
  notFinite: 'error' | 'skip'
}

/** A group that has begun: how many batches it is to have, batches and rows in it, and the rows of its first batch. */
export interface Group {
  readonly of: number
  readonly batches: number
  readonly rows: number
  readonly first: number
}

const none: Group = { of: 0, batches: 0, rows: 0, first: 0 }

/**
 * One step of the optimizer for every `accumulate` batches, with g = Σ rᵢ gᵢ / Σ rᵢ over the group, rᵢ the rows of batch i: for a loss that is a mean
 * over rows, the gradient of all the rows as one batch. Then clipping, the step, and the average of the weights.
 *
 * The sum is kept as Σ gᵢ rᵢ / (n r₁): of the size of one gradient, and for equal batches already the mean.
 */
export class Update {
  readonly #optimizer: Optimizer
  readonly #average: EMA | undefined
  readonly #options: UpdateOptions
  #group = none
  #sum: Gradients | undefined

  constructor(optimizer: Optimizer, average: EMA | undefined, options: UpdateOptions) {
    this.#optimizer = optimizer
    this.#average = average
    this.#options = options
  }

  /** Takes over the gradients of a batch, and makes the step that is due. */
  take(gradients: Gradients, count: number): void {
    const { accumulate } = this.#options
    if (accumulate === 1) {
      this.#step(gradients)
      return
    }
    const rows = Math.max(1, count)
    const {
      of,
      batches,
      rows: before,
      first,
    } = this.#sum === undefined ? { ...none, of: accumulate, first: rows } : this.#group
    const part = gradients.scale(rows / (of * first))
    const old = this.#sum
    this.#sum = old === undefined ? part : old.add(part)
    // It outlives the scope of the batch.
    for (const [, sum] of this.#sum) unscope(sum)
    old?.dispose()
    this.#group = { of, batches: batches + 1, rows: before + rows, first }
    if (this.#group.batches >= of) this.finish()
  }

  /** The step of a group that is not full, if one has begun: at the end of an epoch. */
  finish(): void {
    const [sum, { of, rows, first }] = [this.#sum, this.#group]
    if (sum === undefined) return
    this.#sum = undefined
    this.#group = none
    const factor = (of * first) / rows
    scope(() => this.#step(factor === 1 ? sum : sum.scale(factor)))
    sum.dispose()
  }

  #step(gradients: Gradients): void {
    const { clipNorm, clipValue, notFinite } = this.#options
    let clipped = gradients
    if (clipNorm !== undefined) clipped = gradients.clipByNorm(clipNorm)
    else if (clipValue !== undefined) clipped = gradients.clipByValue(clipValue)
    this.#optimizer.step(clipped, { notFinite })
    this.#average?.update()
  }

  /** The group that has begun, if any. */
  get group(): Group | undefined {
    return this.#sum === undefined ? undefined : this.#group
  }

  /** A copy of its sum by the names of the parameters. */
  stateDict(parameters: ReadonlyMap<string, Variable>): Map<string, Tensor> {
    const sum = this.#sum
    if (sum === undefined) return new Map()
    const taking = [...parameters].filter(([, parameter]) => sum.has(parameter))
    return noGrad(() => new Map(taking.map(([name, parameter]) => [name, sum.get(parameter).clone()])))
  }

  /** @throws CheckpointError where the sum is not of these parameters. */
  restore(parameters: ReadonlyMap<string, Variable>, group: Group, sums: ReadonlyMap<string, Tensor>): void {
    const found = [...sums].map(([name, sum]): [Variable, Tensor] => {
      const parameter = parameters.get(name)
      if (parameter === undefined || !sameShape(parameter.shape, sum.shape))
        throw new CheckpointError(`fit: the accumulated gradient of ${name} is of another model`, { op: 'fit' })
      return [parameter, sum]
    })
    this.dispose()
    const copies = noGrad(() => found.map(([, sum]) => sum.clone()))
    this.#sum = new Gradients(
      found.map(([parameter]) => parameter),
      copies,
    )
    this.#group = group
  }

  dispose(): void {
    this.#sum?.dispose()
    this.#sum = undefined
    this.#group = none
  }
}
