// The confusion matrix, and precision, recall and F1 that follow from it.
import { ArgumentError, OutOfRangeError, ShapeError } from '../../errors.js'
import { arange } from '../../tensor/create.js'
import { isFloat } from '../../tensor/dtype.js'
import { cat } from '../../tensor/functions.js'
import { whole } from '../../tensor/shape.js'
import type { Tensor } from '../../tensor/tensor.js'
import { taken } from '../check.js'
import { type ClassOptions, compared, named } from './classes.js'
import { Metric, type MetricValue } from './metric.js'

export interface ConfusionOptions extends ClassOptions {
  /** How many classes there are (default: the last axis of scores […, C]; 2 for scores […]; needed for predictions that are classes). */
  classes?: number
}

/** One figure instead of one per class: the mean over classes, over rows, or over classes weighted by their targets. */
export type Average = 'macro' | 'micro' | 'weighted'

export interface PerClassOptions extends ConfusionOptions {
  average?: Average
}

/**
 * Counts [C, C]: row t, column p is how often class p was predicted where t was the target. Predictions as for `accuracy`.
 *
 * @throws OutOfRangeError (`ERR_RANGE`), when the figure is read, for targets or predictions that are not within 0 … C−1.
 */
export function confusionMatrix(options: ConfusionOptions = {}): Metric<number[][]> {
  return counted('confusionMatrix', taken(options, 'confusionMatrix'), (matrix) => matrix)
}

/**
 * Of those predicted to be of class c, the share that is: TP / (TP + FP), one per class; a number with `average`.
 *
 * A class that is never predicted has precision 0; one that is neither predicted nor a target has NaN and is left out of averages, as in scikit-learn.
 */
export function precision(options: PerClassOptions & { average: Average }): Metric<number>
export function precision(options?: ConfusionOptions): Metric<number[]>
export function precision(options: PerClassOptions = {}): Metric<number | number[]> {
  return perClass('precision', options, ({ tp, fp }) => tp / (tp + fp))
}

/** Of those of class c, the share that is predicted to be: TP / (TP + FN), one per class; a number with `average`. See `precision` for 0 / 0. */
export function recall(options: PerClassOptions & { average: Average }): Metric<number>
export function recall(options?: ConfusionOptions): Metric<number[]>
export function recall(options: PerClassOptions = {}): Metric<number | number[]> {
  return perClass('recall', options, ({ tp, fn }) => tp / (tp + fn))
}

/** The harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN), one per class; a number with `average`. See `precision` for 0 / 0. */
export function f1(options: PerClassOptions & { average: Average }): Metric<number>
export function f1(options?: ConfusionOptions): Metric<number[]>
export function f1(options: PerClassOptions = {}): Metric<number | number[]> {
  return perClass('f1', options, ({ tp, fp, fn }) => (2 * tp) / (2 * tp + fp + fn))
}

interface Outcomes {
  tp: number
  fp: number
  fn: number
}

function perClass(
  op: string,
  given: PerClassOptions,
  figure: (outcomes: Outcomes) => number,
): Metric<number | number[]> {
  const { average, ...options } = taken(given, op)
  if (average !== undefined && !['macro', 'micro', 'weighted'].includes(average)) {
    const [expected, got] = ["'macro', 'micro' or 'weighted'", String(average)]
    throw new ArgumentError(`${op}: average must be ${expected}, got ${got}`, { op, expected, got })
  }
  return counted<number | number[]>(op, options, (matrix) => {
    const outcomes = matrix.map((row, c): Outcomes => {
      const tp = row[c] as number
      const column = matrix.reduce((sum, other) => sum + (other[c] as number), 0)
      return { tp, fp: column - tp, fn: total(row) - tp }
    })
    if (average === 'micro') return figure(outcomes.reduce(added, { tp: 0, fp: 0, fn: 0 }))
    const figures = outcomes.map((one) => (total(Object.values(one)) === 0 ? Number.NaN : figure(one) || 0))
    if (average === undefined) return figures
    const weights = outcomes.map(({ tp, fn }, c) => (Number.isNaN(figures[c]) ? 0 : average === 'macro' ? 1 : tp + fn))
    return total(figures.map((one, c) => (weights[c] === 0 ? 0 : one * (weights[c] as number)))) / total(weights)
  })
}

const total = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0)
const added = (a: Outcomes, b: Outcomes): Outcomes => ({ tp: a.tp + b.tp, fp: a.fp + b.fp, fn: a.fn + b.fn })

/** A metric over the matrix. Its sums: [C²] counts, and how many targets there were. */
function counted<V extends MetricValue>(
  op: string,
  options: ConfusionOptions,
  figure: (matrix: number[][]) => V,
): Metric<V> {
  if (options.classes !== undefined) whole(options.classes, 'classes', op, 1)
  return new Metric<V>({
    sums(prediction, target) {
      const { target: wanted, counted, count } = compared(op, prediction, target, options)
      const size = countOf(op, prediction, target, options.classes)
      const ids = arange(0, size, { device: target.device })
      const rows = oneHot(wanted, ids)
        .logicalAnd(counted.reshape([-1, 1]))
        .to('float32')
      // Sums of ones: exact in float32 up to 2²⁴ rows of a batch.
      const matrix = rows.transpose().matmul(oneHot(named(prediction, target, options), ids).to('float32'))
      return cat([matrix.to('float64').reshape([-1]), count.to('float64').reshape([1])])
    },
    figure(sums) {
      const size = Math.round(Math.sqrt(Math.max(0, sums.length - 1)))
      const matrix = Array.from({ length: size }, (_, t) => Array.from(sums.subarray(t * size, (t + 1) * size)))
      const missing = (sums.at(-1) ?? 0) - total(matrix.map(total))
      if (missing > 0) {
        const expected = `classes within 0 … ${size - 1}`
        throw new OutOfRangeError(`${op}: ${missing} targets or predictions are not ${expected}`, { op, expected })
      }
      return figure(matrix)
    },
  })
}

function oneHot(classes: Tensor, ids: Tensor): Tensor<'bool'> {
  return classes.reshape([-1, 1]).eq(ids)
}

function countOf(op: string, prediction: Tensor, target: Tensor, given: number | undefined): number {
  const scores = prediction.rank > target.rank ? (prediction.shape.at(-1) as number) : undefined
  const known = scores ?? (isFloat(prediction.dtype) || prediction.dtype === 'bool' ? 2 : undefined)
  if (given === undefined && known === undefined)
    throw new ArgumentError(`${op}: predictions are classes; say how many there are: { classes }`, {
      op,
      expected: 'classes',
      got: 'none',
    })
  if (given !== undefined && known !== undefined && given < known)
    throw new ShapeError(`${op}: there are scores for ${known} classes, options.classes is ${given}`, {
      op,
      expected: String(given),
      got: String(known),
    })
  return given ?? (known as number)
}
