// Carriers whose gates read the state in part: each unit its own (ParaGRU, ParaLSTM), or those of its head (sLSTM).
import {
  linear,
  logSigmoid,
  paraGRU as paraGRUSequence,
  paraLSTM as paraLSTMSequence,
  sLSTM as sLSTMSequence,
} from '../nn/functional.js'
import { uniform } from '../nn/init.js'
import { ones } from '../tensor/create.js'
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { broken, type Carrier } from './carrier.js'
import type { MatrixOptions } from './matrix.js'
import { stream } from './plain.js'

type Weights = { weightIh: Variable; weightHh: Variable; biasIh: Variable }
type Three = [Tensor, Tensor, Tensor]

/** They start uniform on ±1/√width. */
function weights(gates: number, width: number, rows: number, columns: number): Weights {
  const bound = 1 / Math.sqrt(width)
  const make = (...shape: number[]): Variable => uniform(shape, -bound, bound)
  return { weightIh: make(gates * width, width), weightHh: make(rows, columns), biasIh: make(gates * width) }
}

/** Weights as those of `nn.ParaGRU`: rows in the order z, r, c. */
export function paraGRU(): Carrier<Weights, { h: Tensor }> {
  return {
    name: 'paraGRU',
    equation: "h' = (1 − z) ⊙ h + z ⊙ c,  z, r = σ(W x + b + a ⊙ h),  c = tanh(W_c x + b_c + a_c ⊙ r ⊙ h)",
    source: 'Danieli et al. 2025 (ParaRNN)',
    axes: ['time', 'depth'],
    row: { a: '1 − z', b: 'z' },
    parameters: ({ width }) => weights(3, width, 3, width),
    initialState: (sizes) => ({ h: stream(sizes) }),
    step({ weightIh, weightHh, biasIh }, { h }, x) {
      const D = h.shape[1] as number
      const [pz, pr, pc] = linear(x, weightIh, biasIh).split([D, D, D], 1) as Three
      const [az, ar, ac] = weightHh.unbind(0) as Three
      const [z, r] = [pz.add(az.mul(h)).sigmoid(), pr.add(ar.mul(h)).sigmoid()]
      const c = pc.add(ac.mul(r).mul(h)).tanh()
      const next = h.add(z.mul(c.sub(h)))
      return { state: { h: next }, output: next }
    },
    kernel: ({ weightIh, weightHh, biasIh }, x, state) => paraGRUSequence(linear(x, weightIh, biasIh), state, weightHh),
    flops: ({ width }) => 6 * width * width,
  }
}

/** Weights as those of `nn.ParaLSTM`: rows in the order f, g, o, then the peepholes of f and o. */
export function paraLSTM(): Carrier<Weights, { h: Tensor; c: Tensor }> {
  return {
    name: 'paraLSTM',
    equation:
      "c' = f ⊙ c + (1 − f) ⊙ tanh(W_g x + b_g + a_g ⊙ h),  h' = o ⊙ tanh(c'),  f, o = σ(W x + b + a ⊙ h + q ⊙ c)",
    source: 'Danieli et al. 2025 (ParaRNN)',
    axes: ['time', 'depth'],
    row: { a: 'f', b: '1 − f', readout: 'o ⊙ tanh(c)' },
    parameters: ({ width }) => weights(3, width, 5, width),
    initialState: (sizes) => ({ h: stream(sizes), c: stream(sizes) }),
    step({ weightIh, weightHh, biasIh }, { h, c }, x) {
      const D = h.shape[1] as number
      const [pf, pg, po] = linear(x, weightIh, biasIh).split([D, D, D], 1) as Three
      const [af, ag, ao, qf, qo] = weightHh.unbind(0) as [...Three, Tensor, Tensor]
      const f = pf.add(af.mul(h)).add(qf.mul(c)).sigmoid()
      const g = pg.add(ag.mul(h)).tanh()
      const next = g.add(f.mul(c.sub(g)))
      const out = po.add(ao.mul(h)).add(qo.mul(next)).sigmoid().mul(next.tanh())
      return { state: { h: out, c: next }, output: out }
    },
    kernel: ({ weightIh, weightHh, biasIh }, x, state) =>
      paraLSTMSequence(linear(x, weightIh, biasIh), state, weightHh),
    flops: ({ width }) => 6 * width * width,
  }
}

/** Weights as those of `nn.SLSTM`: rows in the order i, f, z, o. Where a stream enters along depth it is h and the cell, whose normaliser is 1. */
export function sLSTM(given: MatrixOptions = {}): Carrier<Weights, { h: Tensor; c: Tensor; n: Tensor; m: Tensor }> {
  const name = 'sLSTM'
  const heads = whole(needOptions(given, `axis.${name}`).heads ?? 1, 'heads', `axis.${name}`, 1)
  return {
    name,
    equation:
      "c' = f ⊙ c + i ⊙ z,  n' = f ⊙ n + i,  h' = o ⊙ c'/n',  i = exp(p_i),  f = σ(p_f), both held in range by m",
    source: 'Beck et al. 2024 (xLSTM), section 2.2',
    axes: ['time', 'depth'],
    row: { a: 'f', b: 'i', readout: 'o ⊙ c/n' },
    parameters({ width }) {
      if (width % heads !== 0)
        throw broken({ name }, `width must be a multiple of ${heads} heads, got ${width}`, { got: String(width) }, true)
      return weights(4, width, 4 * width, width / heads)
    },
    initialState: (sizes) => ({ h: stream(sizes), c: stream(sizes), n: stream(sizes), m: stream(sizes) }),
    enter: (x) => ({ h: x, c: x, n: ones(x.shape, { dtype: x.dtype as 'float64', device: x.device }), m: x.mul(0) }),
    step({ weightIh, weightHh, biasIh }, { h, c, n, m }, x) {
      const [rows, D] = h.shape as [number, number]
      const E = D / heads
      // Of each head [rows, E]·[E, 4·E].
      const blocks = weightHh
        .reshape([4, heads, E, E])
        .permute([1, 3, 0, 2])
        .reshape([heads, E, 4 * E])
      const read = h.reshape([rows, heads, E]).transpose(0, 1).matmul(blocks).reshape([heads, rows, 4, E])
      const p = linear(x, weightIh, biasIh).add(read.permute([1, 2, 0, 3]).reshape([rows, 4 * D]))
      const [pi, pf, pz, po] = p.split([D, D, D, D], 1) as [...Three, Tensor]
      const kept = logSigmoid(pf).add(m)
      const most = kept.maximum(pi)
      const [i, f] = [pi.sub(most).exp(), kept.sub(most).exp()]
      const [cell, norm] = [f.mul(c).add(i.mul(pz.tanh())), f.mul(n).add(i)]
      const out = po.sigmoid().mul(cell).div(norm)
      return { state: { h: out, c: cell, n: norm, m: most }, output: out }
    },
    kernel: ({ weightIh, weightHh, biasIh }, x, state) => sLSTMSequence(linear(x, weightIh, biasIh), state, weightHh),
    flops: ({ width }) => 8 * width * width + (8 * width * width) / heads,
  }
}
