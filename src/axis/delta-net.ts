// The delta rule along time: a matrix state that is corrected, not only added to.
import { deltaRule } from '../nn/functional.js'
import { Linear } from '../nn/linear.js'
import { zeros } from '../tensor/create.js'
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { broken, type Carrier } from './carrier.js'
import type { MatrixOptions } from './matrix.js'

type Projections = { qkv: Linear; beta: Linear; output: Linear }

/** Without the activations, norms and gates of `nn.DeltaNet`: the recurrence between two maps. */
export function deltaNet(given: MatrixOptions = {}): Carrier<Projections, { s: Tensor }> {
  const name = 'deltaNet'
  const heads = whole(needOptions(given, `axis.${name}`).heads ?? 1, 'heads', `axis.${name}`, 1)
  /** q, k, v […, heads, E] and β […, heads] of x […, width]. */
  const project = (p: Projections, x: Tensor): { q: Tensor; k: Tensor; v: Tensor; beta: Tensor } => {
    const width = x.shape.at(-1) as number
    const [q, k, v] = p.qkv
      .forward(x)
      .reshape([...x.shape.slice(0, -1), 3, heads, width / heads])
      .unbind(-3) as [Tensor, Tensor, Tensor]
    const unit = k.div(k.norm(-1, { keepDim: true }).clamp({ low: 1e-6 }))
    return { q: q.mul(Math.sqrt(heads / width)), k: unit, v, beta: p.beta.forward(x).sigmoid() }
  }
  return {
    name,
    source: 'Schlag et al. 2021; Yang et al. 2024',
    equation: "S' = S + β k (v − Sᵀ k)ᵀ,  r = q·S' / √E,  ‖k‖ = 1,  β = σ(W x + b)",
    row: { a: 'I − β k kᵀ', b: 'β k vᵀ', readout: 'q·S' },
    axes: ['time'],
    only: 'along depth a matrix state is hyperConnections()',
    linear: true,
    parallelForm: 'chunked',
    parameters({ width }) {
      if (width % heads !== 0)
        throw broken({ name }, `width must be a multiple of ${heads} heads, got ${width}`, { got: String(width) }, true)
      const maps = { qkv: new Linear(width, 3 * width), beta: new Linear(width, heads) }
      return { ...maps, output: new Linear(width, width) }
    },
    initialState: ({ batch, width }) => ({ s: zeros([batch, heads, width / heads, width / heads]) }),
    step(p, { s }, x) {
      const { q, k, v, beta } = project(p, x)
      const error = v.sub(k.unsqueeze(-2).matmul(s).squeeze(-2))
      const next = s.add(k.unsqueeze(-1).mul(error.mul(beta.unsqueeze(-1)).unsqueeze(-2)))
      return { state: { s: next }, output: p.output.forward(q.unsqueeze(-2).matmul(next).reshape(x.shape)) }
    },
    parallel(p, x, state) {
      const { q, k, v, beta } = project(p, x)
      const { output, state: last } = deltaRule(q, k, v, beta, state)
      return { state: last, output: p.output.forward(output.reshape(x.shape)) }
    },
    flops: ({ width }) => 8 * width * width + 2 * width * heads + (6 * width * width) / heads,
  }
}
