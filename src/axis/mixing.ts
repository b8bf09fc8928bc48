// Carriers along depth that mix what earlier layers wrote: M of h_l = Σ M_li v_i is learned, of several streams, or a softmax.
import { constant, variable } from '../nn/init.js'
import { tensor, zeros } from '../tensor/create.js'
import { cat } from '../tensor/functions.js'
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import type { Carrier } from './carrier.js'

/** `[N, l, width]`: what was written so far, the embedding first. */
type Writes = { writes: Tensor }

const empty = ({ batch, width }: { batch: number; width: number }): Writes => ({ writes: zeros([batch, 1, width]) })
const first = (x: Tensor): Writes => ({ writes: x.unsqueeze(1) })

/**
 * Learned static weights of all earlier writes; ones at the start, which is the residual stream. Differs from the paper, whose blocks add their input
 * before they are weighted: here M itself is learned.
 */
export function denseFormer(): Carrier<{ mix: Variable }, Writes> {
  return {
    name: 'denseFormer',
    equation: 'r_l = Σ_(i ≤ l) M_li v_i,  v_0 = x,  M = 1 at first',
    source: 'Pagliardini et al. 2024',
    axes: ['depth'],
    only: 'along time static dense weights are longConvolution()',
    row: { a: 'M', b: 'M' },
    grows: true,
    parameters: ({ index, layers, tied }) => ({ mix: constant([(tied ? layers : index + 1) + 1], 1) }),
    initialState: empty,
    enter: first,
    step({ mix }, { writes }, v) {
      const all = cat([writes, v.unsqueeze(1)], 1)
      const count = all.shape[1] as number
      return { state: { writes: all }, output: all.mul(mix.slice(0, 0, count).unsqueeze(1)).sum(1) }
    },
    flops: ({ width, steps }) => 2 * width * steps,
  }
}

export interface HyperConnectionsOptions {
  /** Streams n. @default 2 */
  streams?: number
}

type Mixers = { carry: Variable; write: Variable; read: Variable }

/**
 * n streams with learned static weights between them; at the start each carries on as it is, every stream is written to, and layer k reads stream
 * k mod n. The last readout is their mean, which makes n = 1 the residual stream; the paper sums.
 */
export function hyperConnections(given: HyperConnectionsOptions = {}): Carrier<Mixers, { streams: Tensor }> {
  const { streams: given2 = 2 } = needOptions(given, 'axis.hyperConnections')
  const n = whole(given2, 'streams', 'axis.hyperConnections', 1)
  return {
    name: 'hyperConnections',
    equation: "S' = A S + β vᵀ,  r = α·S'  (n streams)",
    source: 'Zhu et al. 2024, static weights',
    axes: ['depth'],
    only: 'along time a matrix state is linearAttention(), retention() or gatedLinearAttention()',
    row: { a: 'A', b: 'β', readout: 'α·S' },
    linear: true,
    parameters: ({ index, layers }) => ({
      carry: variable(() =>
        tensor(
          Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => (i === j ? 1 : 0))),
          { dtype: 'float32' },
        ),
      ),
      write: constant([n, 1], 1),
      read: variable(() =>
        tensor(
          Array.from({ length: n }, (_, i) => [index === layers - 1 ? 1 / n : (index + 1) % n === i ? 1 : 0]),
          { dtype: 'float32' },
        ),
      ),
    }),
    initialState: ({ batch, width }) => ({ streams: zeros([batch, n, width]) }),
    enter: (x) => ({ streams: x.unsqueeze(1).expand([x.shape[0] as number, n, x.shape[1] as number]) }),
    step({ carry, write, read }, { streams }, v) {
      const next = carry.matmul(streams).add(write.mul(v.unsqueeze(1)))
      return { state: { streams: next }, output: next.mul(read).sum(1) }
    },
    flops: ({ width }) => 2 * width * (n * n + 2 * n),
  }
}

export interface AttentionResidualsOptions {
  /** Layers whose writes are summed before they are attended to; 1 is the full form. @default 1 */
  block?: number
}

/** What a layer reads is a softmax over what the layers before it wrote, by a learned query, 0 at the start: their mean. */
export function attentionResiduals(given: AttentionResidualsOptions = {}): Carrier<{ query: Variable }, Writes> {
  const { block = 1 } = needOptions(given, 'axis.attentionResiduals')
  whole(block, 'block', 'axis.attentionResiduals', 1)
  return {
    name: 'attentionResiduals',
    equation: `r_l = Σ_(i ≤ l) softmax_i(w_l · rms(v_i)) v_i${block > 1 ? `,  v_i the sum of ${block} layers’ writes` : ''}`,
    source: 'Kimi Team 2026 (Attention Residuals), section 3',
    axes: ['depth'],
    only: 'along time softmax attention is attention()',
    row: { a: 'softmax', b: 'softmax' },
    grows: true,
    parameters: ({ width }) => ({ query: constant([width], 0) }),
    initialState: empty,
    enter: first,
    step({ query }, { writes }, v, { index }) {
      const fresh = v.unsqueeze(1)
      const count = writes.shape[1] as number
      const all =
        index % block === 0
          ? cat([writes, fresh], 1)
          : cat([writes.slice(1, 0, count - 1), writes.slice(1, count - 1).add(fresh)], 1)
      const size = all.square().mean(-1, { keepDim: true }).add(1e-6).sqrt()
      const weights = all.div(size).mul(query).sum(-1, { keepDim: true }).softmax(1)
      return { state: { writes: all }, output: all.mul(weights).sum(1) }
    },
    flops: ({ width, steps }) => (6 * width * steps) / block,
  }
}
