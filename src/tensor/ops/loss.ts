// Losses. The class axis is the last; shapes are never broadcast.
import { isFloat } from '../dtype.js'
import type { Meta } from '../record.js'
import { sameShape, show } from '../shape.js'
import {
  at,
  badShape,
  flag,
  type Input,
  like,
  type None,
  needFloat,
  needIndex,
  needRank,
  needSameDType,
  type OpSpec,
  op,
} from './spec.js'

export const reductions = { none: 0, mean: 1, sum: 2 } as const
export type Reduction = keyof typeof reductions

export interface Reduced {
  reduction: Reduction
}

function byClass<A>(
  name: string,
  scores: string,
  probabilities: boolean,
  more: (attributes: A) => readonly number[],
): OpSpec<A & Reduced & { ignoreIndex: number }> {
  return {
    outputs: (inputs, { reduction }) => {
      const [x, target, weight] = [at(inputs, 0), at(inputs, 1), inputs[2]]
      needFloat(x, name, scores)
      if (x.shape.length === 0) throw badShape(name, scores, '[…, C]', x.shape)
      const leading = x.shape.slice(0, -1)
      if (probabilities && isFloat(target.dtype)) {
        needSameDType([x, target], name)
        if (!sameShape(target.shape, x.shape))
          throw badShape(name, 'target', `${show(x.shape)} of probabilities, or whole numbers`, target.shape)
      } else {
        needIndex(target, name, 'target')
        if (!sameShape(target.shape, leading))
          throw badShape(name, 'target', `${show(leading)}, the ${scores}' shape without the class axis`, target.shape)
      }
      if (weight !== undefined) {
        needSameDType([x, weight], name)
        const classes = x.shape.at(-1) as number
        if (!sameShape(weight.shape, [classes])) throw badShape(name, 'weight', `[C=${classes}]`, weight.shape)
      }
      return [like(x, reduction === 'none' ? leading : [])]
    },
    attributes: (attributes) => [attributes.ignoreIndex, reductions[attributes.reduction], ...more(attributes)],
  }
}

/** Both operands of one shape and dtype. */
function alike(inputs: readonly Input[], name: string): Meta {
  const [x, target] = [at(inputs, 0), at(inputs, 1)]
  needFloat(x, name)
  needSameDType([x, target], name)
  if (!sameShape(x.shape, target.shape)) throw badShape(name, 'target', show(x.shape), target.shape)
  return x
}

function byElement<A = None>(name: string, more: (attributes: A) => readonly number[] = () => []): OpSpec<A & Reduced> {
  return {
    outputs: (inputs, { reduction }) => {
      const x = alike(inputs, name)
      return [like(x, reduction === 'none' ? x.shape : [])]
    },
    attributes: (attributes) => [reductions[attributes.reduction], ...more(attributes)],
  }
}

const BCE = 'binaryCrossEntropyWithLogits'

/** What must broadcast to the last axes of x. */
function needTrailing(x: Meta, weight: Input, name: string): void {
  if (weight === undefined) return
  needSameDType([x, weight], BCE)
  const trailing = x.shape.slice(x.shape.length - weight.shape.length)
  const fits = weight.shape.length <= x.shape.length && weight.shape.every((n, i) => n === 1 || n === trailing[i])
  if (!fits) throw badShape(BCE, name, `broadcast to ${show(x.shape)}`, weight.shape)
}

export const loss = {
  crossEntropy: byClass<{ labelSmoothing: number }>('crossEntropy', 'logits', true, ({ labelSmoothing }) => [
    labelSmoothing,
  ]),
  nllLoss: byClass<None>('nllLoss', 'logarithms', false, () => []),
  mseLoss: byElement('mseLoss'),
  l1Loss: byElement('l1Loss'),
  huberLoss: byElement<{ delta: number }>('huberLoss', ({ delta }) => [delta]),
  smoothL1Loss: byElement<{ beta: number }>('smoothL1Loss', ({ beta }) => [beta]),
  klDiv: byElement<{ logTarget: boolean }>('klDiv', ({ logTarget }) => [flag(logTarget)]),
  /** x, target, weight?, posWeight? */
  binaryCrossEntropyWithLogits: op<Reduced>({
    outputs: (inputs, { reduction }) => {
      const x = alike(inputs, BCE)
      needTrailing(x, inputs[2], 'weight')
      needTrailing(x, inputs[3], 'posWeight')
      return [like(x, reduction === 'none' ? x.shape : [])]
    },
    attributes: ({ reduction }) => [reductions[reduction]],
  }),
  /** logarithms [B, T, C], target [B, S], their lengths [B] */
  ctcLoss: op<Reduced & { blank: number; zeroInfinity: boolean }>({
    outputs: (inputs, { reduction, blank }) => {
      const [x, target] = [at(inputs, 0), at(inputs, 1)]
      needFloat(x, 'ctcLoss')
      needRank(x, 3, 'ctcLoss', 'input', '[B, T, C]')
      const [b, t, c] = x.shape as [number, number, number]
      if (t === 0) throw badShape('ctcLoss', 'input', '[B, T ≥ 1, C]', x.shape)
      if (blank >= c) throw badShape('ctcLoss', 'input', `[B, T, C > blank=${blank}]`, x.shape)
      needIndex(target, 'ctcLoss', 'target')
      if (target.shape.length !== 2 || target.shape[0] !== b)
        throw badShape('ctcLoss', 'target', `[B=${b}, S]`, target.shape)
      for (const lengths of [at(inputs, 2), at(inputs, 3)]) {
        needIndex(lengths, 'ctcLoss', 'lengths')
        if (!sameShape(lengths.shape, [b])) throw badShape('ctcLoss', 'lengths', `[B=${b}]`, lengths.shape)
      }
      return [like(x, reduction === 'none' ? [b] : [])]
    },
    attributes: ({ reduction, blank, zeroInfinity }) => [reductions[reduction], blank, flag(zeroInfinity)],
  }),
  /** two of [B, D], target [B] of 1 and −1 */
  cosineEmbeddingLoss: op<Reduced & { margin: number }>({
    outputs: (inputs, { reduction }) => {
      const x = alike(inputs, 'cosineEmbeddingLoss')
      needRank(x, 2, 'cosineEmbeddingLoss', 'input', '[B, D]')
      const target = at(inputs, 2)
      if (!sameShape(target.shape, x.shape.slice(0, 1)))
        throw badShape('cosineEmbeddingLoss', 'target', show(x.shape.slice(0, 1)), target.shape)
      return [like(x, reduction === 'none' ? target.shape : [])]
    },
    attributes: ({ reduction, margin }) => [reductions[reduction], margin],
  }),
  /** anchor, positive and negative […, D] */
  tripletMarginLoss: op<Reduced & { margin: number; p: number; eps: number; swap: boolean }>({
    outputs: (inputs, { reduction }) => {
      const x = alike(inputs, 'tripletMarginLoss')
      alike([inputs[0], inputs[2]], 'tripletMarginLoss')
      if (x.shape.length === 0) throw badShape('tripletMarginLoss', 'input', '[…, D]', x.shape)
      return [like(x, reduction === 'none' ? x.shape.slice(0, -1) : [])]
    },
    attributes: ({ reduction, margin, p, eps, swap }) => [reductions[reduction], margin, p, eps, flag(swap)],
  }),
}
