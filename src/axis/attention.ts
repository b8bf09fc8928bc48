// Softmax attention along time, with rotary positions: every step reads all steps before it, so its state is what they left.
import { rotary, scaledDotProductAttention } from '../nn/functional.js'
import { Linear } from '../nn/linear.js'
import { ones, zeros } from '../tensor/create.js'
import { cat } from '../tensor/functions.js'
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { broken, type Carrier, type Stepped } from './carrier.js'
import { attentionResiduals } from './mixing.js'

type Projections = { qkv: Linear; output: Linear }
type Cache = { key: Tensor; value: Tensor }

/** Keys and values of all steps so far, [B, heads, t, width/heads]: memory and cost of a step grow with t. Along depth it is `attentionResiduals`. */
export function attention(given: { heads?: number } = {}): Carrier<Projections, Cache> {
  const { heads: asked = 1 } = needOptions(given, 'axis.attention')
  const heads = whole(asked, 'heads', 'axis.attention', 1)
  const run = (p: Projections, x: Tensor, { key, value }: Cache): Stepped<Cache> => {
    const [B, T, width] = x.shape as [number, number, number]
    const E = width / heads
    const part = (k: number): Tensor => all.select(2, k).transpose(1, 2)
    const all = p.qkv.forward(x).reshape([B, T, 3, heads, E])
    const past = key.shape[2] as number
    const keys = cat([key, rotary(part(1), { offset: past })], 2)
    const values = cat([value, part(2)], 2)
    const mask = past === 0 || T === 1 ? undefined : ones([T, past + T], { dtype: 'bool', device: x.device }).tril(past)
    const mixed = scaledDotProductAttention(rotary(part(0), { offset: past }), keys, values, {
      mask,
      causal: past === 0 && T > 1,
    })
    return {
      state: { key: keys, value: values },
      output: p.output.forward(mixed.transpose(1, 2).reshape([B, T, width])),
    }
  }
  return {
    name: 'attention',
    equation: 'r_t = Σ_(i ≤ t) softmax_i(q_t·k_i / √E) v_i,  q and k turned by their positions',
    source: 'Vaswani et al. 2017; Su et al. 2021',
    axes: ['time'],
    row: { a: 'softmax', b: 'softmax' },
    grows: true,
    parallelForm: 'direct',
    other: (axis) => (axis === 'depth' ? (attentionResiduals() as Carrier) : undefined),
    parameters({ width }) {
      if (width % (2 * heads) !== 0)
        throw broken(
          { name: 'attention' },
          `width must be ${heads} heads of an even width, got ${width}`,
          { got: String(width) },
          true,
        )
      return { qkv: new Linear(width, 3 * width), output: new Linear(width, width) }
    },
    initialState({ batch, width }) {
      const none = [batch, heads, 0, width / heads]
      return { key: zeros(none), value: zeros(none) }
    },
    step(p, state, x) {
      const { state: next, output } = run(p, x.unsqueeze(1), state)
      return { state: next, output: output.squeeze(1) }
    },
    parallel: (p, x, state) => run(p, x, state),
    flops: ({ width, steps }) => 8 * width * width + 4 * width * steps,
  }
}
