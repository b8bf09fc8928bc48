// Perplexity: how many equally likely symbols a model is as unsure about.
import { crossEntropy } from '../../nn/loss.js'
import { stack } from '../../tensor/functions.js'
import { taken } from '../check.js'
import type { ClassOptions } from './classes.js'
import { Metric } from './metric.js'

/**
 * exp(Σ −log softmax(logits)[target] / N) over the targets that count: logits […, C], targets […] of int64. The mean is over all targets of the
 * dataset, not over batches. NaN where no target counts.
 */
export function perplexity(options: Pick<ClassOptions, 'ignoreIndex'> = {}): Metric {
  const { ignoreIndex = -100 } = taken(options, 'perplexity')
  return new Metric({
    sums(logits, target) {
      const unlikely = crossEntropy(logits.to('float32'), target, { ignoreIndex, reduction: 'sum' })
      return stack([unlikely.to('float64'), target.ne(ignoreIndex).sum().to('float64')])
    },
    figure: ([sum = 0, count = 0]) => Math.exp(sum / count),
  })
}
