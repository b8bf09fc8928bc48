// spectralNorm: weights divided by their largest singular value.
import { needOptions } from '../tensor/options.js'
import { normal } from '../tensor/random.js'
import { noGrad, scope } from '../tensor/scope.js'
import { axis, whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { Buffer } from './buffer.js'
import type { Module } from './module.js'
import { parameterOf, parametrize } from './parametrization.js'

export interface SpectralNormOptions {
  /** The field of the layer. @default 'weight' */
  name?: string
  /** The axis of the outputs; 1 for transposed convolutions. @default 0 */
  dim?: number
  /** Power iterations at each read in training mode. @default 1 */
  iterations?: number
  /** Vectors shorter than this are not stretched to length 1. @default 1e-12 */
  eps?: number
}

/** Iterations at the start, after which the vectors are close. */
const FIRST_ITERATIONS = 15

/**
 * Makes `weight` of a layer W / σ(W), in place, σ the largest singular value of W as a matrix [O, the rest]: the layer stretches no vector, to the
 * first order, by more than 1. σ = uᵀ W v, with u and v from power iterations that go on at every read of `weight` in training mode, without gradients.
 *
 * Keys are those of `torch.nn.utils.parametrizations.spectral_norm`: `parametrizations.weight.original` (the Variable that `weight` was) and the Buffers
 * `parametrizations.weight.0._u` [O] and `_v`. Errors: `ERR_ARGUMENT` where the layer has no such parameter; `ERR_SHAPE` for the axis.
 * Differs from torch: weights have at least two axes. Source: Miyato et al. 2018.
 *
 * ```ts
 * const layer = nn.spectralNorm(new nn.Conv2d(3, 8, 3))
 * layer.forward(zeros([2, 3, 8, 8]))
 * ```
 */
export function spectralNorm<M extends Module>(layer: M, given: SpectralNormOptions = {}): M {
  const { name = 'weight', dim = 0, iterations = 1, eps = 1e-12 } = needOptions(given, 'spectralNorm')
  const op = 'spectralNorm'
  const original = parameterOf(layer, name, op)
  const first = axis(dim, original.rank, op)
  whole(iterations, 'iterations', op, 1)
  const order = [first, ...original.shape.map((_, i) => i).filter((i) => i !== first)]
  const rows = original.shape[first] as number
  const columns = original.size / rows
  const matrix = (): Tensor => original.permute(order).reshape([rows, columns])
  const unit = (x: Tensor): Tensor => x.div(x.norm().clamp({ low: eps }))
  const start = (size: number): Buffer =>
    noGrad(() =>
      scope(() => new Buffer(unit(normal([size], 0, 1, { dtype: 'float64' })).to(original.dtype, original.device))),
    )
  const [u, v] = [start(rows), start(columns)]
  /** Moves the vectors on, and gives them. */
  const iterate = (times: number): [Tensor, Tensor] =>
    noGrad(() =>
      scope(() => {
        const w = matrix()
        let [left, right]: [Tensor, Tensor] = [u, v]
        for (let i = 0; i < times; i++) {
          left = unit(w.matmul(right))
          right = unit(w.transpose().matmul(left))
        }
        u.assign(left)
        v.assign(right)
        return [left, right]
      }),
    )
  iterate(FIRST_ITERATIONS)
  const state = new Map<string, unknown>([
    ['original', original],
    ['0', { _u: u, _v: v }],
  ])
  return parametrize(layer, name, state, () =>
    scope(() => {
      // Copies, since the gradient must not see the next iteration.
      const [left, right] = layer.training ? iterate(iterations) : [u.clone(), v.clone()]
      return original.div(left.mul(matrix().matmul(right)).sum())
    }),
  )
}
