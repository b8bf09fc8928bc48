// Accuracy: the share of targets that the prediction names, or has among its k highest scores.
import { stack } from '../../tensor/functions.js'
import { whole } from '../../tensor/shape.js'
import type { Tensor } from '../../tensor/tensor.js'
import { taken } from '../check.js'
import { type ClassOptions, compared, named } from './classes.js'
import { Metric } from './metric.js'

/**
 * (Σ [class = target]) / N over the targets that count. Predictions: scores […, C] for targets […] (the largest wins, the first among equals),
 * scores […] (class 1 above `threshold`), or classes […] as whole numbers. NaN where no target counts.
 */
export function accuracy(options: ClassOptions = {}): Metric {
  const given = taken(options, 'accuracy')
  return new Metric({
    sums(prediction, target) {
      const { target: wanted, counted, count } = compared('accuracy', prediction, target, given)
      return share(named(prediction, target, given).eq(wanted).logicalAnd(counted), count)
    },
    figure,
  })
}

/**
 * The share of targets among the k highest scores: predictions […, C], targets […].
 *
 * @throws OutOfRangeError or ArgumentError for k that is not within 1 … C.
 */
export function topKAccuracy(k: number, options: Pick<ClassOptions, 'ignoreIndex'> = {}): Metric {
  const given = taken(options, 'topKAccuracy')
  whole(k, 'k', 'topKAccuracy', 1)
  return new Metric({
    sums(prediction, target) {
      const { target: wanted, counted, count } = compared('topKAccuracy', prediction, target, given)
      const { indices } = prediction.topk(k)
      return share(indices.eq(wanted.unsqueeze(-1)).any(-1).logicalAnd(counted), count)
    },
    figure,
  })
}

function share(right: Tensor, count: Tensor): Tensor {
  return stack([right.sum(), count])
}

function figure([right = 0, count = 0]: Float64Array): number {
  return right / count
}
