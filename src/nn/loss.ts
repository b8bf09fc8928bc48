// Losses as functions. The class axis is the last; shapes are never broadcast.

import { ArgumentError } from '../errors.js'
import { tensor } from '../tensor/create.js'
import { type DType, isFloat } from '../tensor/dtype.js'
import type { Attributes } from '../tensor/ops/index.js'
import type { Reduction } from '../tensor/ops/loss.js'
import { needOptions } from '../tensor/options.js'
import { needTensor } from '../tensor/record.js'
import { scope } from '../tensor/scope.js'
import { list, whole } from '../tensor/shape.js'
import { call, Tensor } from '../tensor/tensor.js'

const BCE = 'binaryCrossEntropyWithLogits'

export interface LossOptions {
  /** `'mean'` (default), `'sum'`, or `'none'` for one loss per element. */
  reduction?: Reduction
}

export interface ClassOptions extends LossOptions {
  /** The weight of each class, [C]; the mean is then weighted too. */
  weight?: Tensor | undefined
  /** Targets that count for nothing, such as padding. */
  ignoreIndex?: number
}

export interface CrossEntropyOptions extends ClassOptions {
  /** Weight of a uniform distribution mixed into the target. */
  labelSmoothing?: number
}

// ---- Of classes ----------------------------------------------------------------------------------------------------

/**
 * −weight[target] · log softmax(logits)[target]: logits […, C], target […] of whole numbers. The mean is over the targets that are not ignored, weighted.
 *
 * Or −Σ weight · target · log softmax(logits), target […, C] of probabilities in the dtype of the logits; the mean is over all rows.
 *
 * Differs from torch: the class axis is the last one, so sequences need no transposition.
 */
export function crossEntropy<D extends DType>(
  logits: Tensor<D>,
  target: Tensor,
  given: CrossEntropyOptions = {},
): Tensor<D> {
  const { labelSmoothing = 0, weight, ...options } = needOptions(given, 'crossEntropy')
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1))
    throw bad('crossEntropy', 'labelSmoothing', 'within 0 … 1', labelSmoothing)
  return call<D>('crossEntropy', [logits, target, weight], { ...classes(options, 'crossEntropy'), labelSmoothing })
}

/** −weight[target] · x[target] of logarithms of probabilities x […, C], such as `logSoftmax` gives; target […] of whole numbers. Class axis last. */
export function nllLoss<D extends DType>(x: Tensor<D>, target: Tensor, given: ClassOptions = {}): Tensor<D> {
  const { weight, ...options } = needOptions(given, 'nllLoss')
  return call<D>('nllLoss', [x, target, weight], classes(options, 'nllLoss'))
}

function classes({ ignoreIndex = -100, reduction }: ClassOptions, op: string) {
  if (!Number.isSafeInteger(ignoreIndex)) throw bad(op, 'ignoreIndex', 'a whole number', ignoreIndex)
  return { ignoreIndex, reduction: checkReduction(reduction, op) }
}

// ---- Of elements ---------------------------------------------------------------------------------------------------

/** (x − target)² */
export function mseLoss<D extends DType>(x: Tensor<D>, target: Tensor, given: LossOptions = {}): Tensor<D> {
  const { reduction } = needOptions(given, 'mseLoss')
  return against('mseLoss', x, target, { reduction: checkReduction(reduction, 'mseLoss') })
}

/** |x − target| */
export function l1Loss<D extends DType>(x: Tensor<D>, target: Tensor, given: LossOptions = {}): Tensor<D> {
  const { reduction } = needOptions(given, 'l1Loss')
  return against('l1Loss', x, target, { reduction: checkReduction(reduction, 'l1Loss') })
}

/** d²/2 for |d| ≤ delta, delta·(|d| − delta/2) beyond; d = x − target (Huber 1964). @default delta 1 */
export function huberLoss<D extends DType>(
  x: Tensor<D>,
  target: Tensor,
  given: LossOptions & { delta?: number } = {},
): Tensor<D> {
  const { delta = 1, reduction } = needOptions(given, 'huberLoss')
  if (!(delta > 0 && Number.isFinite(delta))) throw bad('huberLoss', 'delta', 'positive', delta)
  return against('huberLoss', x, target, { delta, reduction: checkReduction(reduction, 'huberLoss') })
}

/** d²/(2·beta) for |d| < beta, |d| − beta/2 beyond; d = x − target: `huberLoss` divided by beta, and `l1Loss` at beta 0. @default beta 1 */
export function smoothL1Loss<D extends DType>(
  x: Tensor<D>,
  target: Tensor,
  given: LossOptions & { beta?: number } = {},
): Tensor<D> {
  const { beta = 1, reduction } = needOptions(given, 'smoothL1Loss')
  if (!(beta >= 0 && Number.isFinite(beta))) throw bad('smoothL1Loss', 'beta', 'at least 0', beta)
  return against('smoothL1Loss', x, target, { beta, reduction: checkReduction(reduction, 'smoothL1Loss') })
}

export interface BinaryCrossEntropyOptions extends LossOptions {
  /** Factor of each loss; broadcast to x from its last axes. */
  weight?: Tensor | undefined
  /** Factor of the positive part, such as negatives / positives of each class; broadcast likewise. */
  posWeight?: Tensor | undefined
}

/** −weight · (posWeight·t·log σ(x) + (1−t)·log(1 − σ(x))), computed without overflow. */
export function binaryCrossEntropyWithLogits<D extends DType>(
  x: Tensor<D>,
  target: Tensor,
  given: BinaryCrossEntropyOptions = {},
): Tensor<D> {
  const { weight, posWeight, reduction } = needOptions(given, 'binaryCrossEntropyWithLogits')
  return against(BCE, x, target, { reduction: checkReduction(reduction, BCE) }, weight, posWeight)
}

/** Compares with a target that may be of whole numbers or bool. */
function against<D extends DType, N extends 'mseLoss' | 'l1Loss' | 'huberLoss' | 'smoothL1Loss' | typeof BCE>(
  op: N,
  x: Tensor<D>,
  target: Tensor,
  attributes: Attributes<N>,
  ...weights: (Tensor | undefined)[]
): Tensor<D> {
  needTensor(x, op, 'input')
  needTensor(target, op, 'target')
  if (isFloat(target.dtype)) return call<D, N>(op, [x, target, ...weights], attributes)
  return scope(() => call<D, N>(op, [x, target.to(x.dtype), ...weights], attributes)) as Tensor<D>
}

export interface KLOptions {
  /** `'batchMean'` divides the sum by the first axis, as the divergence of each row asks; `'mean'` by the number of elements. */
  reduction?: Reduction | 'batchMean'
  /** Whether the target, too, is logarithms. */
  logTarget?: boolean
}

/** target·(log target − x), x the logarithms of probabilities: the divergence of x from the target. */
export function klDiv<D extends DType>(x: Tensor<D>, target: Tensor, given: KLOptions = {}): Tensor<D> {
  const { reduction, logTarget = false } = needOptions(given, 'klDiv')
  if (reduction !== 'batchMean')
    return call<D>('klDiv', [x, target], { logTarget, reduction: checkReduction(reduction, 'klDiv') })
  needTensor(x, 'klDiv', 'input')
  const rows = x.shape[0]
  if (rows === undefined) throw bad('klDiv', 'reduction', "'mean', 'sum' or 'none' without a batch axis", reduction)
  return scope(() => call<D>('klDiv', [x, target], { logTarget, reduction: 'sum' }).div(rows)) as Tensor<D>
}

// ---- Of sequences and of vectors -----------------------------------------------------------------------------------

export interface CTCOptions extends LossOptions {
  /** Steps of each row of x that count. @default all */
  inputLengths?: Tensor | readonly number[]
  /** Labels of each row of the target that count. @default all */
  targetLengths?: Tensor | readonly number[]
  /** The class that stands for no label. @default 0 */
  blank?: number
  /** Whether a target that is too long for its row gives 0 instead of infinity. @default false */
  zeroInfinity?: boolean
}

/**
 * −log Σ over all alignments of the target to the steps (Graves et al. 2006): x [B, T, C] of logarithms of probabilities, such as `logSoftmax` gives;
 * target [B, S] of whole numbers without the blank. The mean divides each row by its number of labels first.
 *
 * The gradient is that of the logits before `logSoftmax`, as in torch: x must come from there. Differs from torch: batch first.
 */
export function ctcLoss<D extends DType>(x: Tensor<D>, target: Tensor, options: CTCOptions = {}): Tensor<D> {
  const { inputLengths, targetLengths, blank = 0, zeroInfinity = false, reduction } = needOptions(options, 'ctcLoss')
  needTensor(x, 'ctcLoss', 'input')
  needTensor(target, 'ctcLoss', 'target')
  const lengths = (given: Tensor | readonly number[] | undefined, whole: number): Tensor =>
    given instanceof Tensor
      ? given
      : tensor([...list(given ?? Array<number>(x.shape[0] ?? 0).fill(whole), 'lengths', 'ctcLoss')], {
          dtype: 'int64',
          device: x.device,
        })
  return scope(() =>
    call<D>(
      'ctcLoss',
      [x, target, lengths(inputLengths, x.shape[1] ?? 0), lengths(targetLengths, target.shape[1] ?? 0)],
      { blank: whole(blank, 'blank', 'ctcLoss'), zeroInfinity, reduction: checkReduction(reduction, 'ctcLoss') },
    ),
  ) as Tensor<D>
}

/** 1 − cos(x, y) where the target is 1, max(0, cos(x, y) − margin) where it is −1: x and y [B, D], target [B]. */
export function cosineEmbeddingLoss<D extends DType>(
  x: Tensor<D>,
  y: Tensor,
  target: Tensor,
  given: LossOptions & { margin?: number } = {},
): Tensor<D> {
  const { margin = 0, reduction } = needOptions(given, 'cosineEmbeddingLoss')
  const op = 'cosineEmbeddingLoss'
  if (!Number.isFinite(margin)) throw bad(op, 'margin', 'finite', margin)
  return call<D>(op, [x, y, target], { margin, reduction: checkReduction(reduction, op) })
}

export interface TripletOptions extends LossOptions {
  /** @default 1 */
  margin?: number
  /** Order of the norm. @default 2 */
  p?: number
  /** Added to every difference, so that the gradient is finite. @default 1e-6 */
  eps?: number
  /** Whether the distance of positive and negative counts where it is the smaller one (Balntas et al. 2016). @default false */
  swap?: boolean
}

/** max(0, ‖anchor − positive‖ − ‖anchor − negative‖ + margin): all […, D]. */
export function tripletMarginLoss<D extends DType>(
  anchor: Tensor<D>,
  positive: Tensor,
  negative: Tensor,
  given: TripletOptions = {},
): Tensor<D> {
  const { margin = 1, p = 2, eps = 1e-6, swap = false, reduction } = needOptions(given, 'tripletMarginLoss')
  const op = 'tripletMarginLoss'
  if (!(margin > 0 && Number.isFinite(margin))) throw bad(op, 'margin', 'positive', margin)
  return call<D>(op, [anchor, positive, negative], { margin, p, eps, swap, reduction: checkReduction(reduction, op) })
}

function checkReduction(reduction: Reduction | undefined, op: string): Reduction {
  if (reduction === undefined) return 'mean'
  if (reduction === 'mean' || reduction === 'sum' || reduction === 'none') return reduction
  throw bad(op, 'reduction', "'mean', 'sum' or 'none'", reduction)
}

function bad(op: string, name: string, expected: string, got: unknown): ArgumentError {
  return new ArgumentError(`${op}: ${name} must be ${expected}, got ${String(got)}`, { op, expected, got: String(got) })
}
