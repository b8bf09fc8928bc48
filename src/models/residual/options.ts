// What a residual network of images is made of: its options, checked, and the plan of its blocks.
import { ArgumentError } from '../../errors.js'
import { whole } from '../../tensor/shape.js'
import { refused, taken } from '../check.js'
import { checkLabels } from '../labels.js'
import type { Moments } from '../scale.js'

/**
 * What carries the input x of a block past its branch F, where both have one shape (He et al. 2016, Identity Mappings, section 3):
 * ```
 * identity       y = x + F(x)
 * constant       y = α x + β F(x)                          α, β: shortcutScale, branchScale
 * exclusiveGate  y = (1 − g(x)) ⊙ x + g(x) ⊙ F(x)          g = σ(W x + b), W of 1×1: a convolutional Highway layer
 * shortcutGate   y = (1 − g(x)) ⊙ x + F(x)
 * conv           y = W x + F(x)                            W of 1×1
 * dropout        y = dropout(x, shortcutDropout) + F(x)
 * none           y = F(x)                                  the plain network, as control
 * ```
 */
export type Shortcut = 'identity' | 'constant' | 'exclusiveGate' | 'shortcutGate' | 'conv' | 'dropout' | 'none'

export interface ResNetOptions {
  /** Names of the classes, in the order of their numbers. */
  labels: readonly string[]
  /**
   * Layers: 18, 34, 50, 101 and 152 are those of ImageNet, 6n + 2 others (20, 32, 44, 56, 110) those of CIFAR. @default 20
   */
  depth?: number
  /** Which of the two, where a depth is of both. @default by depth */
  family?: 'cifar' | 'imagenet'
  /** Channels of the images. @default 3 */
  channels?: number
  /** Channels of the first stage. @default 16 of CIFAR's, 64 of ImageNet's */
  width?: number
  /** `'original'`: norm after each convolution and ReLU after the sum (2015); `'preactivation'`: norm and ReLU before each convolution (2016). @default 'original' */
  order?: 'original' | 'preactivation'
  /** @default 'identity' */
  shortcut?: Shortcut
  /** Where a block changes the shape: `'pad'` adds channels of zeros (option A), `'projection'` a 1×1 convolution (option B). @default 'pad' of CIFAR's, 'projection' of ImageNet's */
  transition?: 'pad' | 'projection'
  /** b of the gates at the start. @default -6 */
  gateBias?: number
  /** α of the shortcut 'constant'. @default 0.5 */
  shortcutScale?: number
  /** β of the shortcut 'constant'. @default 0.5 */
  branchScale?: number
  /** Probability of zero of the shortcut 'dropout'. @default 0.5 */
  shortcutDropout?: number
  /**
   * Probability p_L that the last block is kept in training; block l of L with p_l = 1 − l/L (1 − p_L), l = 1 … L, and in use its branch counts p_l
   * (Huang et al. 2016). Not without shortcuts. @default 1
   */
  keepLast?: number
  /** The blocks of a stage after its first have their convolutions in common, and norms of their own (Liao and Poggio 2016). @default false */
  tied?: boolean
  /** Mean and deviation by channel that images, from 0 to 1, are normalised by. @default those of ImageNet for its family and three channels, else 0 and 1 */
  moments?: Moments
  /** Of the loss. @default 0 */
  labelSmoothing?: number
  /** In training what lies within a block is computed again in the backward pass instead of kept (`checkpoint`): less memory, a third more time. @default false */
  checkpoint?: boolean
  /** Norms are part of the convolutions: for inference, as `folded` gives it. @default false */
  folded?: boolean
}

export type ResNetConfig = Required<Omit<ResNetOptions, 'labels'>> & { labels: string[] }

export const KIND = 'ResNet'
const SHORTCUTS: readonly string[] = [
  'identity',
  'constant',
  'exclusiveGate',
  'shortcutGate',
  'conv',
  'dropout',
  'none',
] satisfies Shortcut[]

/** Blocks by stage, and whether they are bottlenecks, of ImageNet's family. */
const IMAGENET: Readonly<Record<number, { blocks: readonly number[]; bottleneck: boolean }>> = {
  18: { blocks: [2, 2, 2, 2], bottleneck: false },
  34: { blocks: [3, 4, 6, 3], bottleneck: false },
  50: { blocks: [3, 4, 6, 3], bottleneck: true },
  101: { blocks: [3, 4, 23, 3], bottleneck: true },
  152: { blocks: [3, 8, 36, 3], bottleneck: true },
}
const IMAGENET_MOMENTS: Moments = { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] }

/** A block: channels in, within and out, and the stride of its branch. */
export interface BlockPlan {
  stage: number
  /** Its place in the stage. */
  index: number
  inner: number
  input: number
  output: number
  stride: number
  bottleneck: boolean
  /** It changes the shape, so that its shortcut does too. */
  transition: boolean
  /** p_l of stochastic depth. */
  keep: number
}

/** The options with their defaults, checked. `labels` of `sizes` may be a number of classes. */
export function settled(given: ResNetOptions, op = KIND): ResNetConfig {
  const { labels, depth = 20, ...options } = taken(given, op)
  const { family = depth in IMAGENET ? 'imagenet' : 'cifar', channels = 3, shortcut = 'identity' } = options
  const imagenet = family === 'imagenet'
  const {
    width = imagenet ? 64 : 16,
    order = 'original',
    transition = imagenet ? 'projection' : 'pad',
    gateBias = -6,
    shortcutScale = 0.5,
    branchScale = 0.5,
    shortcutDropout = 0.5,
    keepLast = 1,
    tied = false,
    labelSmoothing = 0,
    checkpoint = false,
    folded = false,
  } = options
  whole(depth, 'depth', op, 1)
  whole(channels, 'channels', op, 1)
  whole(width, 'width', op, 1)
  if (family !== 'cifar' && family !== 'imagenet') throw refused(op, 'family', "'cifar' or 'imagenet'", family)
  if (imagenet ? !(depth in IMAGENET) : depth < 8 || depth % 6 !== 2)
    throw new ArgumentError(
      `${op}: depth must be ${imagenet ? Object.keys(IMAGENET).join(', ') : '6n + 2, such as 20, 32, 44, 56, 110'}, got ${depth}`,
      { op, expected: imagenet ? Object.keys(IMAGENET).join(', ') : '6n + 2', got: String(depth) },
    )
  if (!SHORTCUTS.includes(shortcut)) throw refused(op, 'shortcut', SHORTCUTS.join(', '), shortcut)
  if (order !== 'original' && order !== 'preactivation')
    throw refused(op, 'order', "'original' or 'preactivation'", order)
  if (transition !== 'pad' && transition !== 'projection')
    throw refused(op, 'transition', "'pad' or 'projection'", transition)
  for (const [name, value] of Object.entries({ gateBias, shortcutScale, branchScale }))
    if (!Number.isFinite(value)) throw refused(op, name, 'a number', value)
  for (const [name, value] of Object.entries({ shortcutDropout, keepLast, labelSmoothing }))
    if (!(typeof value === 'number' && value >= 0 && value <= 1)) throw refused(op, name, 'within 0 … 1', value)
  if (shortcutDropout === 1) throw refused(op, 'shortcutDropout', 'below 1', shortcutDropout)
  if (keepLast < 1 && shortcut === 'none')
    throw refused(op, 'keepLast', '1 without shortcuts: nothing would pass a block that is left out', keepLast)
  for (const [name, value] of Object.entries({ tied, checkpoint, folded }))
    if (typeof value !== 'boolean') throw refused(op, name, 'true or false', value)
  if (tied && folded) throw refused(op, 'folded', 'false for tied convolutions: each step has its own norm', folded)
  const none = { mean: Array(channels).fill(0), deviation: Array(channels).fill(1) }
  const moments = checkMoments(options.moments ?? (imagenet && channels === 3 ? IMAGENET_MOMENTS : none), channels, op)
  const shortcuts = { shortcut, transition, gateBias, shortcutScale, branchScale, shortcutDropout }
  const rest = { order, keepLast, tied, moments, labelSmoothing, checkpoint, folded }
  return { labels: checkLabels(labels, op), depth, family, channels, width, ...shortcuts, ...rest }
}

function checkMoments(moments: Moments, channels: number, op: string): Moments {
  const { mean, deviation } = taken(moments, op, 'moments')
  const fit = (list: unknown): boolean =>
    Array.isArray(list) && list.length === channels && list.every((x) => Number.isFinite(x))
  if (fit(mean) && fit(deviation) && deviation.every((x) => x > 0))
    return { mean: [...mean], deviation: [...deviation] }
  throw new ArgumentError(`${op}: moments must be ${channels} means and ${channels} deviations > 0`, {
    op,
    expected: String(channels),
    got: 'others',
  })
}

/** The blocks, from the first to the last. */
export function planOf({ depth, family, width, keepLast }: ResNetConfig): BlockPlan[] {
  const cifar = family === 'cifar'
  const { blocks, bottleneck } = cifar
    ? { blocks: Array<number>(3).fill((depth - 2) / 6), bottleneck: false }
    : (IMAGENET[depth] as (typeof IMAGENET)[number])
  const total = blocks.reduce((sum, count) => sum + count, 0)
  const plan: BlockPlan[] = []
  let input = width
  for (const [stage, count] of blocks.entries()) {
    const inner = width * 2 ** stage
    const output = bottleneck ? 4 * inner : inner
    for (let index = 0; index < count; index++) {
      const stride = stage > 0 && index === 0 ? 2 : 1
      const transition = stride !== 1 || input !== output
      const keep = 1 - ((plan.length + 1) / total) * (1 - keepLast)
      plan.push({ stage, index, inner, input, output, stride, bottleneck, transition, keep })
      input = output
    }
  }
  return plan
}

/** Channels of the last stage. */
export function channelsOut(plan: readonly BlockPlan[]): number {
  return (plan.at(-1) as BlockPlan).output
}
