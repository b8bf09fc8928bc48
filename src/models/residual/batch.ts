// A batch of images and their classes, and the loss of it.
import { crossEntropy } from '../../nn/functional.js'
import type { Tensor } from '../../tensor/index.js'
import { checkTensor } from '../../train/check.js'
import type { Outputs } from '../../train/index.js'
import { taken } from '../check.js'

/** A batch of images, as a `Loader` of `{ images, labels }` gives it. */
export interface ImageBatch {
  /** Floats from 0 to 1, or whole numbers from 0 to 255: [B, C, H, W]. */
  images: Tensor
  /** int64 or int32 [B], or the shares of each class, float [B, labels]. */
  labels: Tensor
}

/** @throws ArgumentError unless the batch has both. */
export function checkBatch(batch: ImageBatch, op: string): ImageBatch {
  const { images, labels } = taken(batch, op, 'the batch')
  checkTensor(images, 'images', op)
  checkTensor(labels, 'labels', op)
  return { images, labels }
}

/** The mean cross entropy, in nats, with logits and classes for metrics. */
export function lossOf(logits: Tensor, labels: Tensor, options: { labelSmoothing?: number } = {}): Outputs {
  // Probabilities of half precision would have two digits.
  const wide = logits.to(logits.dtype === 'float64' ? 'float64' : 'float32')
  const shares = labels.rank === 2
  const loss = crossEntropy(wide, shares ? labels.to(wide.dtype) : labels, options)
  return { loss, prediction: wide, target: shares ? labels.argmax(1) : labels }
}
