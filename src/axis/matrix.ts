// Carriers with a matrix for a state, along time: linear attention, retention, gated linear attention. One recurrence, three decays.
import { logSigmoid } from '../nn/functional.js'
import { Linear } from '../nn/linear.js'
import { arange, zeros } from '../tensor/create.js'
import { cat } from '../tensor/functions.js'
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { broken, type Carrier, type Row } from './carrier.js'

type Projections = { qkv: Linear; output: Linear; decay?: Linear }
type Matrix = { s: Tensor }

export interface MatrixOptions {
  /** @default 1 */
  heads?: number
}

/** Steps of a chunk: within it time is a product, from chunk to chunk a recurrence. */
const CHUNK = 16
/** Decays are the 16th root of a sigmoid, so that a chunk’s product of them stays far from 0. */
const SHARPNESS = 16

/** Log decays for a head, or from the input for each key; nothing for none. */
type LogDecay = (p: Projections, x: Tensor, heads: number) => Tensor | undefined

/**
 * S' = Diag(α) S + k vᵀ, r = q·S'. Chunked, with P_t the product of the decays from the chunk's start to t:
 * ```
 * r_t = (q_t P_t)·S + Σ_(i ≤ t) (q_t P_t · k_i / P_i) v_i          S' = Diag(P_C) S + Σ_i (P_C / P_i ⊙ k_i) v_iᵀ
 * ```
 */
function matrix(
  name: string,
  source: string,
  equation: string,
  row: Row,
  { heads: asked = 1 }: MatrixOptions,
  logDecay: LogDecay,
  gated: boolean,
): Carrier<Projections, Matrix> {
  const heads = whole(asked, 'heads', `axis.${name}`, 1)
  /** q, k, v and the log decays of x […, width], each […, heads, E]. */
  const project = (p: Projections, x: Tensor): { q: Tensor; k: Tensor; v: Tensor; g: Tensor | undefined } => {
    const width = x.shape.at(-1) as number
    const [q, k, v] = p.qkv
      .forward(x)
      .reshape([...x.shape.slice(0, -1), 3, heads, width / heads])
      .unbind(-3) as [Tensor, Tensor, Tensor]
    return { q: q.mul(Math.sqrt(heads / width)), k, v, g: logDecay(p, x, heads) }
  }
  return {
    name,
    source,
    equation,
    row,
    axes: ['time'],
    only: 'along depth a matrix state is hyperConnections()',
    linear: true,
    parallelForm: 'chunked',
    parameters({ width }) {
      if (width % heads !== 0)
        throw broken({ name }, `width must be a multiple of ${heads} heads, got ${width}`, { got: String(width) }, true)
      const p: Projections = { qkv: new Linear(width, 3 * width), output: new Linear(width, width) }
      if (gated) p.decay = new Linear(width, width)
      return p
    },
    initialState: ({ batch, width }) => ({ s: zeros([batch, heads, width / heads, width / heads]) }),
    step(p, { s }, x) {
      const { q, k, v, g } = project(p, x)
      const next = (g ? s.mul(g.exp().unsqueeze(-1)) : s).add(k.unsqueeze(-1).mul(v.unsqueeze(-2)))
      return { state: { s: next }, output: p.output.forward(q.unsqueeze(-2).matmul(next).reshape(x.shape)) }
    },
    parallel(p, x, state) {
      const T = x.shape[1] as number
      const all = project(p, x)
      const [q, k, v] = [all.q, all.k, all.v].map((part) => part.transpose(1, 2)) as [Tensor, Tensor, Tensor]
      const g = all.g?.transpose(1, 2).expand(k.shape)
      let { s } = state
      const outputs: Tensor[] = []
      for (let t = 0; t < T; t += CHUNK) {
        const cut = (part: Tensor): Tensor => part.slice(2, t, t + CHUNK)
        const [qc, kc, vc] = [cut(q), cut(k), cut(v)]
        const logs = g && cut(g).cumsum(2)
        const end = logs?.slice(2, (logs.shape[2] as number) - 1)
        const ahead = logs ? qc.mul(logs.exp()) : qc
        const back = logs ? kc.mul(logs.neg().exp()) : kc
        outputs.push(ahead.matmul(s).add(ahead.matmul(back.transpose()).tril().matmul(vc)))
        const kept = end && logs ? kc.mul(end.sub(logs).exp()) : kc
        s = (end ? s.mul(end.exp().transpose()) : s).add(kept.transpose().matmul(vc))
      }
      const joined = outputs.length === 1 ? (outputs[0] as Tensor) : cat(outputs, 2)
      return { state: { s }, output: p.output.forward(joined.transpose(1, 2).reshape(x.shape)) }
    },
    flops: ({ width }) => (gated ? 10 : 8) * width * width + (4 * width * width) / heads,
  }
}

/** Additive: nothing is forgotten. Without the normaliser of the paper; a norm along depth takes its place. */
export function linearAttention(given: MatrixOptions = {}): Carrier<Projections, Matrix> {
  return matrix(
    'linearAttention',
    'Katharopoulos et al. 2020, with the identity as feature map',
    "S' = S + k vᵀ,  r = q·S' / √E",
    { a: '1', b: 'k vᵀ', readout: 'q·S' },
    needOptions(given, 'axis.linearAttention'),
    () => undefined,
    false,
  )
}

/** A fixed decay for each head: 1 − 2^(−5 − head). Without the rotation and group norm of the paper. */
export function retention(given: MatrixOptions = {}): Carrier<Projections, Matrix> {
  return matrix(
    'retention',
    'Sun et al. 2023',
    "S' = γ S + k vᵀ,  r = q·S' / √E,  γ = 1 − 2^(−5 − head)",
    { a: 'γ', b: 'k vᵀ', readout: 'q·S' },
    needOptions(given, 'axis.retention'),
    (_, x, heads) => {
      const place = { dtype: x.dtype as 'float64', device: x.device }
      const logs = arange(5, 5 + heads, place)
        .mul(-Math.LN2)
        .exp()
        .neg()
        .add(1)
        .log()
        .reshape([heads, 1])
      return logs.expand([...x.shape.slice(0, -1), heads, 1])
    },
    false,
  )
}

/** A decay for each key, from the input. */
export function gatedLinearAttention(given: MatrixOptions = {}): Carrier<Projections, Matrix> {
  return matrix(
    'gatedLinearAttention',
    'Yang et al. 2024',
    "S' = Diag(α) S + k vᵀ,  r = q·S' / √E,  α = σ(W x + b)^(1/16)",
    { a: 'α', b: 'k vᵀ', readout: 'q·S' },
    needOptions(given, 'axis.gatedLinearAttention'),
    (p, x, heads) => {
      const width = x.shape.at(-1) as number
      const z = (p.decay as Linear).forward(x)
      return logSigmoid(z)
        .div(SHARPNESS)
        .reshape([...x.shape.slice(0, -1), heads, width / heads])
    },
    true,
  )
}
