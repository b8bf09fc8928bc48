// Carriers along depth whose state is one stream: the input of a step is what the layer writes.
import { layerNorm } from '../nn/functional.js'
import { constant } from '../nn/init.js'
import { LayerNorm } from '../nn/layer-norm.js'
import { Linear } from '../nn/linear.js'
import { needOptions } from '../tensor/options.js'
import { uniform } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { told } from '../told.js'
import { broken, type Carrier, type Context, type Row, type Sizes } from './carrier.js'
import { numberOption } from './options.js'
import { stream } from './plain.js'

/** A carrier of one stream s' = f(s, v), read as it is. */
function one<P extends object>(
  name: string,
  source: string,
  equation: string,
  row: Row,
  only: string,
  parameters: (sizes: Sizes) => P,
  next: (parameters: P, s: Tensor, v: Tensor, context: Context) => Tensor,
  more: Partial<Carrier<P, Tensor>> = {},
): Carrier<P, Tensor> {
  return {
    name,
    source,
    equation,
    row,
    only,
    axes: ['depth'],
    parameters,
    initialState: stream,
    enter: (x) => x,
    step(p, s, v, context) {
      const after = next(p, s, v, context)
      return { state: after, output: after }
    },
    flops: ({ width }) => 2 * width,
    ...more,
  }
}

const nothing = (): object => ({})

/** Each layer replaces what was there. */
export function plain(): Carrier<object, Tensor> {
  return one(
    'plain',
    'a feed-forward net',
    "s' = v",
    { a: '0', b: '1' },
    'along time it is elman()',
    nothing,
    (_, __, v) => v,
    {
      linear: true,
    },
  )
}

export interface ResidualOptions {
  /** Factor of what a layer writes: 'depth' is 1/√K, which keeps the stream's size over K layers. @default 1 */
  scale?: number | 'depth'
}

/** The residual stream; layers read it normalised (pre-norm). */
export function residual(given: ResidualOptions = {}): Carrier<object, Tensor> {
  const { scale = 1 } = needOptions(given, 'axis.residual')
  if (scale !== 'depth' && !Number.isFinite(scale))
    throw broken({ name: 'residual' }, `scale must be a number or 'depth', got ${told(scale)}`)
  return one(
    'residual',
    'He et al. 2016',
    scale === 1 ? "s' = s + v" : `s' = s + ${scale === 'depth' ? 'v / √K' : `${scale} v`}`,
    { a: '1', b: scale === 1 ? '1' : scale === 'depth' ? '1/√K' : String(scale) },
    'along time the identity integrator is residualRNN()',
    nothing,
    (_, s, v, { layers }) => s.add(scale === 1 ? v : v.mul(scale === 'depth' ? 1 / Math.sqrt(layers) : scale)),
    { linear: true },
  )
}

/** The norm is on the stream itself, as in the first Transformer. */
export function postNorm(): Carrier<{ norm: LayerNorm }, Tensor> {
  return one(
    'postNorm',
    'Vaswani et al. 2017',
    "s' = norm(s + v)",
    { a: '1', b: '1', phi: 'norm' },
    'along time a norm of the state at every step is no integrator: the table has no such row',
    ({ width }) => ({ norm: new LayerNorm(width) }),
    ({ norm }, s, v) =>
      layerNorm(s.add(v), [s.shape[1] as number], { weight: norm.weight, bias: norm.bias, eps: norm.eps }),
    { preNorm: false },
  )
}

/** One factor for a layer, 0 at the start: the net starts as the identity. */
export function reZero(): Carrier<{ alpha: Variable }, Tensor> {
  return one(
    'reZero',
    'Bachlechner et al. 2020',
    "s' = s + α v,  α = 0 at first",
    { a: '1', b: 'α' },
    'along time a gated write without decay is lstm({ forgetGate: false })',
    () => ({ alpha: constant([1], 0) }),
    ({ alpha }, s, v) => s.add(v.mul(alpha)),
    { linear: true },
  )
}

/** One factor for a unit; `init: 0` is zero-gamma. */
export function layerScale(given: { init?: number } = {}): Carrier<{ gamma: Variable }, Tensor> {
  const { init = 1e-4 } = needOptions(given, 'axis.layerScale')
  numberOption('layerScale', 'init', init)
  return one(
    'layerScale',
    'Touvron et al. 2021',
    `s' = s + γ ⊙ v,  γ = ${init} at first`,
    { a: '1', b: 'γ' },
    'along time a gated write without decay is lstm({ forgetGate: false })',
    ({ width }) => ({ gamma: constant([width], init) }),
    ({ gamma }, s, v) => s.add(v.mul(gamma)),
    { linear: true },
  )
}

/** Constant factors of the shortcut and of the branch. */
export function scaled(given: { shortcut?: number; branch?: number } = {}): Carrier<object, Tensor> {
  const { shortcut: asked = 0.9, branch: beside } = needOptions(given, 'axis.scaled')
  const shortcut = numberOption('scaled', 'shortcut', asked)
  const branch = numberOption('scaled', 'branch', beside ?? 1 - shortcut)
  return one(
    'scaled',
    'He et al. 2016 (Identity Mappings), section 3',
    `s' = ${shortcut} s + ${branch} v`,
    { a: String(shortcut), b: String(branch) },
    'along time a fixed decay is ema()',
    nothing,
    (_, s, v) => s.mul(shortcut).add(v.mul(branch)),
    { linear: true },
  )
}

export interface HighwayCarrierOptions {
  /** What the gate’s bias starts at: 'depth' is −1 at 10 layers, −2 at 20, at most −10, at least −1. @default 'depth' */
  gateBias?: number | 'depth'
}

function gate(width: number, bias: number): Linear {
  const made = new Linear(width, width)
  return Object.assign(made, { bias: constant([width], bias) })
}

const biasByDepth = (bias: number | 'depth', layers: number): number =>
  bias === 'depth' ? -Math.min(10, Math.max(1, layers / 10)) : bias

/** The coupled gates of a recurrence, along depth. */
export function highway(given: HighwayCarrierOptions = {}): Carrier<{ gate: Linear }, Tensor> {
  const { gateBias = 'depth' } = needOptions(given, 'axis.highway')
  if (gateBias !== 'depth') numberOption('highway', 'gateBias', gateBias)
  return one(
    'highway',
    'Srivastava et al. 2015, equation 3',
    "s' = (1 − t) ⊙ s + t ⊙ v,  t = σ(W s + b)",
    { a: '1 − t', b: 't' },
    'along time coupled gates are gru(), janet() or minGRU()',
    ({ width, layers }) => ({ gate: gate(width, biasByDepth(gateBias, layers)) }),
    (p, s, v) => s.add(p.gate.forward(s).sigmoid().mul(v.sub(s))),
    { flops: ({ width }) => 2 * width * width },
  )
}

/** Gates of their own for carry and write. */
export function fullHighway(given: HighwayCarrierOptions = {}): Carrier<{ carry: Linear; transform: Linear }, Tensor> {
  const { gateBias = 'depth' } = needOptions(given, 'axis.fullHighway')
  if (gateBias !== 'depth') numberOption('fullHighway', 'gateBias', gateBias)
  return one(
    'fullHighway',
    'Srivastava et al. 2015, equation 2',
    "s' = c ⊙ s + t ⊙ v,  c = σ(W_c s + b_c),  t = σ(W_t s + b_t)",
    { a: 'c', b: 't' },
    'along time free gates are lstm() or minLSTM()',
    ({ width, layers }) => {
      const bias = biasByDepth(gateBias, layers)
      return { carry: gate(width, -bias), transform: gate(width, bias) }
    },
    (p, s, v) => p.carry.forward(s).sigmoid().mul(s).add(p.transform.forward(s).sigmoid().mul(v)),
    { flops: ({ width }) => 4 * width * width },
  )
}

/** Whole layers are left out at random in training, later ones more often; in use each counts by its probability. */
export function stochasticDepth(given: { keep?: number } = {}): Carrier<object, Tensor> {
  const { keep = 0.5 } = needOptions(given, 'axis.stochasticDepth')
  if (!(typeof keep === 'number' && keep > 0 && keep <= 1))
    throw broken({ name: 'stochasticDepth' }, `keep must be within 0 … 1, above 0, got ${told(keep)}`)
  return one(
    'stochasticDepth',
    'Huang et al. 2016',
    `s' = s + m v,  m ~ Bernoulli(p_l),  p_l = 1 − l/K (1 − ${keep}); in use m = p_l`,
    { a: '1', b: 'm' },
    'along time random keep is zoneout()',
    nothing,
    (_, s, v, { index, layers, training }) => {
      const p = 1 - ((index + 1) / layers) * (1 - keep)
      if (!training) return s.add(v.mul(p))
      return s.add(v.mul(uniform([1], 0, 1, { device: s.device }).lt(p).to(s.dtype)))
    },
    { linear: true },
  )
}
