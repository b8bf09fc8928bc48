// weightNorm: the length and the direction of weights as parameters of their own.
import { needOptions } from '../tensor/options.js'
import { scope } from '../tensor/scope.js'
import { axis } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { variable } from './init.js'
import type { Module } from './module.js'
import { parameterOf, parametrize } from './parametrization.js'

export interface WeightNormOptions {
  /** The field of the layer. @default 'weight' */
  name?: string
  /** Each slice along this axis has a length of its own; 1 for transposed convolutions. @default 0 */
  dim?: number
}

/**
 * Makes `weight` of a layer g · v / ‖v‖, in place: g, the lengths of its rows, and v are trained instead. The layer computes what it did before.
 * Afterwards `layer.weight` is computed at every read, and `parameters()` has g and v: make the optimizer after it, or give it g as well.
 *
 * Keys are those of `torch.nn.utils.parametrizations.weight_norm`: `parametrizations.weight.original0` (g) and `original1` (v). v is the Variable that
 * `weight` was. Errors: `ERR_ARGUMENT` where the layer has no such parameter, or it is computed already; `ERR_SHAPE` for the axis.
 * Differs from torch: `dim` is an axis, never all of them. Source: Salimans and Kingma 2016.
 *
 * ```ts
 * const layer = nn.weightNorm(new nn.Linear(3, 5))
 * layer.forward(zeros([2, 3]))
 * ```
 */
export function weightNorm<M extends Module>(layer: M, given: WeightNormOptions = {}): M {
  const { name = 'weight', dim = 0 } = needOptions(given, 'weightNorm')
  const direction = parameterOf(layer, name, 'weightNorm')
  const kept = axis(dim, direction.rank, 'weightNorm')
  const others = direction.shape.map((_, i) => i).filter((i) => i !== kept)
  const norm = (): Tensor => direction.norm(others, { keepDim: true })
  const length = variable(norm)
  const state = new Map([
    ['original0', length],
    ['original1', direction],
  ])
  return parametrize(layer, name, state, () => scope(() => direction.mul(length.div(norm()))))
}
