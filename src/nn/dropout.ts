// Dropout: random zeros in training.
import { ArgumentError } from '../errors.js'
import type { Tensor } from '../tensor/tensor.js'
import { told } from '../told.js'
import { dropout } from './functional.js'
import { Module } from './module.js'

/**
 * In training each element is zeroed with probability p and the rest scaled by 1/(1−p); in eval mode y = x. The mask is drawn from the ambient
 * generator when `forward` is called and does not depend on threads or device.
 *
 * Shapes: any. Errors: `ERR_ARGUMENT` unless 0 ≤ p ≤ 1. Differs from torch: nothing but the random numbers. Source: Srivastava et al. 2014.
 *
 * @example
 * const layer = new nn.Dropout(0.2)
 * layer.eval().forward(zeros([4, 8])).shape   // [4, 8]
 */
export class Dropout extends Module {
  readonly p: number

  constructor(p = 0.5) {
    super()
    this.p = probability(p, 'p', 'Dropout')
  }

  forward(x: Tensor): Tensor {
    return dropout(x, this.p, { training: this.training })
  }
}

/** An option that must be within 0 … 1. */
export function probability(value: number, name: string, op: string): number {
  if (typeof value === 'number' && value >= 0 && value <= 1) return value
  const [expected, got] = ['0 … 1', told(value)]
  throw new ArgumentError(`${op}: ${name} must be within ${expected}, got ${got}`, { op, expected, got })
}
