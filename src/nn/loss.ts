// Losses as functions. The class axis is the last; shapes are never broadcast.
import { ArgumentError, ShapeError } from '../errors.js'
import type { DType } from '../tensor/dtype.js'
import type { Reduction } from '../tensor/ops/nn.js'
import { scope } from '../tensor/scope.js'
import { sameShape, show } from '../tensor/shape.js'
import { call, type Tensor } from '../tensor/tensor.js'

export interface LossOptions {
  /** `'mean'` (default), `'sum'`, or `'none'` for one loss per element. */
  reduction?: Reduction
}

export interface CrossEntropyOptions extends LossOptions {
  /** Targets that count for nothing, such as padding. */
  ignoreIndex?: number
  /** Weight of a uniform distribution mixed into the target. */
  labelSmoothing?: number
}

/**
 * −log softmax(logits)[target]: logits […, C], target […] of int64. The mean is over the targets that are not ignored.
 *
 * Differs from torch: the class axis is the last one, so sequences need no transposition.
 */
export function crossEntropy<D extends DType>(
  logits: Tensor<D>,
  target: Tensor,
  options: CrossEntropyOptions = {},
): Tensor<D> {
  const { ignoreIndex = -100, reduction = 'mean', labelSmoothing = 0 } = options
  if (!Number.isSafeInteger(ignoreIndex)) {
    throw new ArgumentError(`crossEntropy: ignoreIndex must be a whole number, got ${String(ignoreIndex)}`, {
      op: 'crossEntropy',
      got: String(ignoreIndex),
    })
  }
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    throw new ArgumentError(`crossEntropy: labelSmoothing must be within 0 … 1, got ${String(labelSmoothing)}`, {
      op: 'crossEntropy',
      got: String(labelSmoothing),
    })
  }
  return call<D>('crossEntropy', [logits, target], {
    ignoreIndex,
    reduction: checkReduction(reduction, 'crossEntropy'),
    labelSmoothing,
  })
}

/** (x − target)² */
export function mseLoss<D extends DType>(x: Tensor<D>, target: Tensor, options: LossOptions = {}): Tensor<D> {
  return loss('mseLoss', x, target, options, () => x.sub(target as Tensor<D>).square())
}

/** |x − target| */
export function l1Loss<D extends DType>(x: Tensor<D>, target: Tensor, options: LossOptions = {}): Tensor<D> {
  return loss('l1Loss', x, target, options, () => x.sub(target as Tensor<D>).abs())
}

/** −t·log σ(x) − (1−t)·log(1 − σ(x)), computed as max(x, 0) − x·t + log(1 + e^−|x|) */
export function binaryCrossEntropyWithLogits<D extends DType>(
  x: Tensor<D>,
  target: Tensor,
  options: LossOptions = {},
): Tensor<D> {
  return loss('binaryCrossEntropyWithLogits', x, target, options, () =>
    x.relu().sub(x.mul(target)).add(x.abs().neg().exp().log1p()),
  )
}

function loss<D extends DType>(
  op: string,
  x: Tensor,
  target: Tensor,
  { reduction = 'mean' }: LossOptions,
  each: () => Tensor,
): Tensor<D> {
  checkReduction(reduction, op)
  // PyTorch broadcasts with a warning: [B, 1] against [B] then compares every pair. Here it is refused.
  if (!sameShape(x.shape, target.shape)) {
    throw new ShapeError(`${op}: target must be ${show(x.shape)}, got ${show(target.shape)}`, {
      op,
      expected: show(x.shape),
      got: show(target.shape),
    })
  }
  return scope(() => {
    const losses = each()
    return reduction === 'none' ? losses : reduction === 'sum' ? losses.sum() : losses.mean()
  }) as Tensor<D>
}

function checkReduction(reduction: Reduction, op: string): Reduction {
  if (reduction === 'mean' || reduction === 'sum' || reduction === 'none') return reduction
  throw new ArgumentError(`${op}: reduction must be 'mean', 'sum' or 'none', got ${String(reduction)}`, {
    op,
    expected: "'mean', 'sum' or 'none'",
    got: String(reduction),
  })
}
