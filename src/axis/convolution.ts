// The long convolution, along time: static dense weights of what the last steps wrote, as DenseFormer has them of what the last layers wrote.
import { conv1d } from '../nn/functional.js'
import { variable } from '../nn/init.js'
import { Linear } from '../nn/linear.js'
import { arange, zeros } from '../tensor/create.js'
import { cat } from '../tensor/functions.js'
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import type { Carrier } from './carrier.js'

export interface LongConvolutionOptions {
  /** K: how many steps back the filter reaches, the present one included. @default 64 */
  length?: number
}

type Filter = { filter: Variable; write: Linear }
/** `[B, K − 1, width]`: the last writes, the oldest first. */
type Past = { past: Tensor }

/**
 * A causal filter of K weights for each unit, learned one by one: r_t = Σ_(k < K) h_k ⊙ v_(t−k), v = W x + b. At the start an exponential average
 * whose time constants go from 1 step in the first unit to K/4 in the last.
 *
 * `filter` [width, 1, K] is in the layout of a depthwise `conv1d`: its last place is h_0. The parallel form is that convolution, O(T·K) a unit; a step
 * keeps the last K − 1 writes, so that memory and cost of a step grow with K, not with the steps. Differs from the sources, which make h from
 * few parameters (a network of the position, or scales that decay) and gate the result.
 */
export function longConvolution(given: LongConvolutionOptions = {}): Carrier<Filter, Past> {
  const { length = 64 } = needOptions(given, 'axis.longConvolution')
  const K = whole(length, 'length', 'axis.longConvolution', 1)
  /** What is read at all steps, and the last writes after them. */
  const run = ({ filter, write }: Filter, x: Tensor, { past }: Past): { state: Past; output: Tensor } => {
    const [, steps, width] = x.shape as [number, number, number]
    const all = cat([past, write.forward(x)], 1)
    return {
      state: { past: all.slice(1, steps) },
      output: conv1d(all.transpose(1, 2), filter, { groups: width }).transpose(1, 2),
    }
  }
  return {
    name: 'longConvolution',
    equation: 'r_t = Σ_(k < K) h_k ⊙ v_(t−k),  v = W x + b',
    source: 'Romero et al. 2022 (CKConv); Li et al. 2022 (SGConv); Poli et al. 2023 (Hyena)',
    axes: ['time'],
    only: 'along depth static dense weights are denseFormer()',
    row: { a: 'a shift of the last K − 1 writes', b: '1', readout: 'Σ h_k ⊙ v_(t−k)' },
    linear: true,
    parallelForm: 'direct',
    parameters: ({ width }) => ({ filter: variable(() => averages(width, K)), write: new Linear(width, width) }),
    initialState: ({ batch, width }) => ({ past: zeros([batch, K - 1, width]) }),
    step({ filter, write }, { past }, x) {
      const all = cat([past, write.forward(x).unsqueeze(1)], 1)
      return { state: { past: all.slice(1, 1) }, output: all.mul(filter.squeeze(1).transpose()).sum(1) }
    },
    parallel: run,
    flops: ({ width }) => 2 * width * width + 2 * K * width,
  }
}

/** h_k = (1 − d) d^k with d = e^(−1/τ), τ from 1 to K/4 (at least 1) over the units, [width, 1, K]. */
function averages(width: number, K: number): Tensor {
  const longest = Math.max(1, K / 4)
  const rate = arange(0, width, { dtype: 'float32' })
    .mul(-Math.log(longest) / Math.max(1, width - 1))
    .exp()
    .reshape([width, 1, 1])
  const lags = arange(K - 1, -1, { dtype: 'float32', step: -1 })
  return rate.mul(lags).neg().exp().mul(rate.neg().exp().neg().add(1))
}
