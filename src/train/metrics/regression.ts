// Metrics of regression: mean absolute error, root mean squared error, R².
import { ShapeError } from '../../errors.js'
import { full } from '../../tensor/create.js'
import { stack } from '../../tensor/functions.js'
import { sameShape, show } from '../../tensor/shape.js'
import type { Tensor } from '../../tensor/tensor.js'
import { Metric } from './metric.js'

/** Σ |ŷ − y| / N over all elements; predictions and targets of one shape. In the units of the target. */
export function mae(): Metric {
  return new Metric({
    sums: (prediction, target) => sums(target, difference('mae', prediction, target).abs()),
    figure: ([sum = 0, count = 0]) => sum / count,
  })
}

/** √(Σ (ŷ − y)² / N) over all elements of the dataset, not a mean over batches. In the units of the target. */
export function rmse(): Metric {
  return new Metric({
    sums: (prediction, target) => sums(target, difference('rmse', prediction, target).square()),
    figure: ([sum = 0, count = 0]) => Math.sqrt(sum / count),
  })
}

/**
 * 1 − Σ (ŷ − y)² / Σ (y − ȳ)² over all elements as one series: 1 is perfect, 0 is as good as the mean ȳ. NaN for targets that are all equal.
 *
 * Sums of float64: targets whose mean is over 10⁶ times their deviation lose digits; subtract a constant from both.
 */
export function r2(): Metric {
  return new Metric({
    sums(prediction, target) {
      const y = target.to('float64')
      return sums(target, difference('r2', prediction, target).square(), y, y.square())
    },
    figure([error = 0, count = 0, sum = 0, squares = 0]) {
      const deviation = squares - sum ** 2 / count
      return deviation > 1e-14 * squares ? 1 - error / deviation : Number.NaN
    },
  })
}

/** ŷ − y in float64. */
function difference(op: string, prediction: Tensor, target: Tensor): Tensor {
  if (sameShape(prediction.shape, target.shape)) return prediction.to('float64').sub(target.to('float64'))
  const [expected, got] = [show(target.shape), show(prediction.shape)]
  throw new ShapeError(`${op}: predictions must have the shape ${expected} of the target, got ${got}`, {
    op,
    expected,
    got,
  })
}

/** The sum of the first, the number of elements, and the sums of the others. */
function sums(target: Tensor, first: Tensor, ...others: readonly Tensor[]): Tensor {
  const count = full([], target.size, { dtype: 'float64', device: target.device })
  return stack([first.sum(), count, ...others.map((each) => each.sum())])
}
