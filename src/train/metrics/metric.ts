// Metric: a figure over all rows of a dataset, from sums that the engine keeps and that are read once.
import { ShapeError } from '../../errors.js'
import { unscope } from '../../tensor/lifetime.js'
import { noGrad, scope } from '../../tensor/scope.js'
import { sameShape, show } from '../../tensor/shape.js'
import { Tensor } from '../../tensor/tensor.js'
import { checkTensor, refused, taken } from '../check.js'

/** A number, one per class, or a matrix of them. */
export type MetricValue = number | readonly number[] | readonly (readonly number[])[]

/** What a metric is: sums over rows, and the figure that they give. */
export interface MetricRule<V extends MetricValue> {
  /** The sums of one batch, in a shape that is the same for all batches. They are added up in float64. */
  sums(prediction: Tensor, target: Tensor): Tensor
  /** The figure from the sums over all batches, in row-major order; there are none where there was no batch. */
  figure(sums: Float64Array): V
}

/**
 * A figure over all rows of a dataset: for `metrics` of `fit`, for `evaluate`, or alone. Nothing is read from the engine before the end. A metric
 * itself keeps nothing, so one may serve several runs.
 *
 * ```ts
 * await train.accuracy().of(tensor([[2, 1], [0, 3]]), tensor([0, 0], { dtype: 'int64' }))   // 0.5
 * const bias = new train.Metric({
 *   sums: (prediction, target) => stack([prediction.sub(target).sum(), full([], target.size)]),
 *   figure: ([sum, count]) => sum / count,
 * })
 * ```
 */
export class Metric<V extends MetricValue = number> {
  readonly #rule: MetricRule<V>

  /** @throws ArgumentError unless the rule has both functions. */
  constructor(rule: MetricRule<V>) {
    const { sums, figure } = taken(rule, 'Metric', 'the rule')
    for (const [name, fn] of Object.entries({ sums, figure }))
      if (typeof fn !== 'function') throw refused('Metric', name, 'a function', fn)
    this.#rule = rule
  }

  /** Begins to gather. */
  begin(): Tally<V> {
    return new Tally(this.#rule)
  }

  /** The figure of one batch alone. */
  async of(prediction: Tensor, target: Tensor): Promise<V> {
    const tally = this.begin()
    tally.add(prediction, target)
    return tally.value()
  }
}

/** What a metric has gathered so far. */
export class Tally<V extends MetricValue = number> {
  readonly #rule: MetricRule<V>
  #sums: Tensor<'float64'> | undefined

  /** @internal */
  constructor(rule: MetricRule<V>) {
    this.#rule = rule
  }

  /**
   * Takes in a batch: queued, nothing is read.
   *
   * @throws ShapeError or DTypeError for predictions that the metric cannot compare with the target.
   */
  add(prediction: Tensor, target: Tensor): void {
    noGrad(() => scope(() => this.gather(prediction, target)))
  }

  /** The same within a scope of the caller, where what one metric works out serves the others. @internal */
  gather(prediction: Tensor, target: Tensor): void {
    checkTensor(prediction, 'prediction', 'Metric')
    checkTensor(target, 'target', 'Metric')
    const sums: unknown = this.#rule.sums(prediction, target)
    if (!(sums instanceof Tensor)) throw refused('Metric', 'what sums returns', 'a tensor', sums)
    const before = this.#sums
    const exact = sums.to('float64')
    if (before !== undefined && !sameShape(before.shape, exact.shape)) {
      const [expected, got] = [show(before.shape), show(exact.shape)]
      throw new ShapeError(`Metric: the sums of each batch must be ${expected}, got ${got}`, {
        op: 'Metric',
        expected,
        got,
      })
    }
    this.#sums = before === undefined ? exact.clone() : before.add(exact)
    // It outlives the scope of the batch.
    unscope(this.#sums)
    before?.dispose()
  }

  /** Reads the sums, once, and frees them; the tally is then empty. */
  async value(): Promise<V> {
    const sums = this.#sums
    this.#sums = undefined
    try {
      return this.#rule.figure(sums === undefined ? new Float64Array() : await sums.data())
    } finally {
      sums?.dispose()
    }
  }

  /** Forgets what it has gathered. */
  dispose(): void {
    this.#sums?.dispose()
    this.#sums = undefined
  }
}
