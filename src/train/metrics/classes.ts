// What metrics of classification share: the classes that predictions name, and the targets that count.
import { DTypeError, ShapeError } from '../../errors.js'
import { isFloat } from '../../tensor/dtype.js'
import { sameShape, show } from '../../tensor/shape.js'
import type { Tensor } from '../../tensor/tensor.js'

export interface ClassOptions {
  /** Targets that count for nothing, such as padding. @default -100 */
  ignoreIndex?: number
  /** Where predictions have the shape of the target: scores above it are class 1. 0 suits logits, 0.5 probabilities. @default 0 */
  threshold?: number
}

export interface Compared {
  target: Tensor<'int64'>
  /** Which targets count. */
  counted: Tensor<'bool'>
  /** How many do: a scalar. */
  count: Tensor<'int64'>
}

/** What was worked out last for a prediction: the metrics of a batch ask for the same. Gone with the scope that it was made in. */
const classesOf = new WeakMap<Tensor, { rank: number; threshold: number; classes: Tensor<'int64'> }>()
const targetsOf = new WeakMap<Tensor, { ignoreIndex: number; compared: Compared }>()

/**
 * The classes of predictions, int64 in the shape of the target: scores […, C] for a target […] by their largest; scores […] by the threshold; whole
 * numbers are classes already.
 */
export function named(prediction: Tensor, target: Tensor, { threshold = 0 }: ClassOptions): Tensor<'int64'> {
  const known = classesOf.get(prediction)
  if (known?.rank === target.rank && known.threshold === threshold && !known.classes.isDisposed) return known.classes
  const classes =
    prediction.rank > target.rank
      ? prediction.argmax(-1)
      : (isFloat(prediction.dtype) ? prediction.gt(threshold) : prediction).to('int64')
  classesOf.set(prediction, { rank: target.rank, threshold, classes })
  return classes
}

/**
 * The targets of predictions, and which of them count.
 *
 * @throws ShapeError, DTypeError
 */
export function compared(
  op: string,
  prediction: Tensor,
  target: Tensor,
  { ignoreIndex = -100 }: ClassOptions,
): Compared {
  checkTarget(op, prediction, target)
  const known = targetsOf.get(target)
  if (known?.ignoreIndex === ignoreIndex && !known.compared.count.isDisposed) return known.compared
  const wanted = target.to('int64')
  const counted = wanted.ne(ignoreIndex)
  const result = { target: wanted, counted, count: counted.sum() as Tensor<'int64'> }
  targetsOf.set(target, { ignoreIndex, compared: result })
  return result
}

/** Whether predictions hold a score for each class, beside one for each target. */
function checkTarget(op: string, prediction: Tensor, target: Tensor): void {
  const scores = prediction.rank === target.rank + 1 && sameShape(prediction.shape.slice(0, -1), target.shape)
  if (!scores && !sameShape(prediction.shape, target.shape)) {
    const expected = `${show(target.shape).replace(']', target.rank > 0 ? ', C]' : 'C]')} or ${show(target.shape)}`
    const got = show(prediction.shape)
    throw new ShapeError(`${op}: for a target ${show(target.shape)} predictions must be ${expected}, got ${got}`, {
      op,
      expected,
      got,
    })
  }
  if (scores && !isFloat(prediction.dtype) && prediction.dtype !== 'int64')
    throw new DTypeError(`${op}: scores must be numbers, got ${prediction.dtype}`, { op, got: prediction.dtype })
  if (scores && isFloat(target.dtype))
    throw new DTypeError(`${op}: targets must be classes (int64), got ${target.dtype}`, {
      op,
      expected: 'int64',
      got: target.dtype,
    })
}
