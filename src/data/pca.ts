// Principal components: the directions in which points vary most, for pictures of sentence vectors and the like.
import { ShapeError } from '../errors.js'
import { svd } from '../tensor/functions.js'
import { needOptions } from '../tensor/options.js'
import { needTensor } from '../tensor/record.js'
import { noGrad, scope } from '../tensor/scope.js'
import { show, whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'

export interface PcaOptions {
  /** How many components: at most the number of points and of their dimensions. @default 2 */
  components?: number
}

/** K principal components of N points in D dimensions. */
export interface Pca {
  /** Orthonormal directions, that of the largest variance first: [K, D]. */
  components: Tensor<'float32' | 'float64'>
  /** The variance of the points along each, over N − 1: [K]. */
  explainedVariance: Tensor<'float32' | 'float64'>
  /** That as a share of the variance along all axes: [K]; NaN where all points are one. */
  explainedVarianceRatio: Tensor<'float32' | 'float64'>
  /** The mean of the points: [D]. */
  mean: Tensor<'float32' | 'float64'>
  /** The points in the coordinates of the components: [N, K]. Others are projected by `y.sub(mean).matmul(components.transpose(0, 1))`. */
  projected: Tensor<'float32' | 'float64'>
}

/**
 * Principal component analysis of points x [N, D] by the singular values of the centred points, X − 1·x̄ᵀ = U·S·Vᵀ: components are the first K rows of Vᵀ,
 * explained variances S²/(N − 1), projections U·S. The sign of each component is such that its entry of largest magnitude is positive. Computed in the dtype of x if that
 * is float64, else in float32; takes no part in gradients.
 *
 * ```ts
 * const { projected, explainedVarianceRatio } = data.pca(tensor([[1, 2], [2, 4], [3, 6]]), { components: 1 })
 * console.log(projected.shape, (await explainedVarianceRatio.data())[0])   // [ 3, 1 ] 1
 * ```
 *
 * `torch.pca_lowrank` is the randomised approximation of this; scikit-learn's `PCA` gives the same up to the signs.
 *
 * @throws ShapeError unless x is [N, D] with N ≥ 2; ArgumentError for more components than min(N, D). Source: Jolliffe 2002, sections 1.1 and 3.5.
 */
export function pca(x: Tensor, options: PcaOptions = {}): Pca {
  const { components: k = 2 } = needOptions(options, 'pca')
  needTensor(x, 'pca')
  const [n, d] = x.shape as [number, number]
  if (x.rank !== 2 || n < 2 || d < 1) {
    const [expected, got] = ['[N ≥ 2, D ≥ 1]', show(x.shape)]
    throw new ShapeError(`pca: x must be ${expected}, got ${got}`, { op: 'pca', expected, got })
  }
  whole(k, 'components', 'pca', 1, Math.min(n, d))
  return noGrad(() =>
    scope(() => {
      const points = x.to(x.dtype === 'float64' ? 'float64' : 'float32')
      const mean = points.mean(0)
      const { u, s, vh } = svd(points.sub(mean))
      const directions = vh.slice(0, 0, k)
      const sign = directions.gather(1, directions.abs().argmax(1, { keepDim: true })).sign()
      const variance = s.square().div(n - 1)
      const explainedVariance = variance.slice(0, 0, k)
      return {
        components: directions.mul(sign),
        explainedVariance: explainedVariance.clone(),
        explainedVarianceRatio: explainedVariance.div(variance.sum()),
        mean,
        projected: u
          .slice(1, 0, k)
          .mul(s.slice(0, 0, k))
          .mul(sign.reshape([k])),
      }
    }),
  )
}
