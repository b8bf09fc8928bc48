// Metrics.
export { accuracy, topKAccuracy } from './accuracy.js'
export type { ClassOptions } from './classes.js'
export {
  type Average,
  type ConfusionOptions,
  confusionMatrix,
  f1,
  type PerClassOptions,
  precision,
  recall,
} from './confusion.js'
export { Metric, type MetricRule, type MetricValue, type Tally } from './metric.js'
export { perplexity } from './perplexity.js'
export { mae, r2, rmse } from './regression.js'
