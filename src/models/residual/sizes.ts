// What a ResNet of given options would hold, counted without making it.
import { taken } from '../check.js'
import { channelsOut, KIND, planOf, type ResNetOptions, settled } from './options.js'

/** Numbers of a ResNet. */
export interface ResNetSizes {
  /** Trained ones, as `parameters` of the model counts them. */
  parameters: number
  /** Convolutions along the longest way, and the last map: what the name counts. */
  layers: number
  blocks: number
}

/** See `ResNet.sizes`. */
export function sizesOf(given: Omit<ResNetOptions, 'labels'> & { labels: readonly string[] | number }): ResNetSizes {
  const { labels, ...options } = taken(given, `${KIND}.sizes`)
  const names =
    typeof labels === 'number' ? Array.from({ length: Math.min(labels, 2 ** 20) }, (_, i) => `${i}`) : labels
  const config = settled({ ...options, labels: names }, `${KIND}.sizes`)
  const { family, width, channels, order, shortcut, transition, tied, folded } = config
  const plan = planOf(config)
  const before = order === 'preactivation'
  const stem = family === 'imagenet' ? 49 : 9
  /** A norm, or the bias that it has become. */
  const norm = (size: number): number => (folded ? size : 2 * size)
  const last = channelsOut(plan)
  let parameters = stem * channels * width + (before ? 2 * last : norm(width)) + last * config.labels.length
  parameters += config.labels.length
  for (const { input, inner, output, bottleneck, transition: changes, index } of plan) {
    const products = bottleneck
      ? input * inner + 9 * inner * inner + inner * output
      : 9 * input * inner + 9 * inner * inner
    // The convolutions of a tied stage are those of its second block from there on.
    const own = !tied || index < 2
    const norms = before
      ? 2 * input + (bottleneck ? 2 : 1) * norm(inner)
      : norm(inner) + (bottleneck ? norm(inner) : 0) + norm(output)
    parameters += norms + (own ? products : 0)
    if (changes ? shortcut !== 'none' && transition === 'projection' : shortcut === 'conv')
      parameters += input * output + (before ? 0 : norm(output))
    if (!changes && shortcut.endsWith('Gate')) parameters += input * input + input
  }
  return { parameters, layers: plan.length * (plan[0]?.bottleneck ? 3 : 2) + 2, blocks: plan.length }
}
