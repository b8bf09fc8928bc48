// Carriers that overwrite or add: the Elman network and the residual recurrence, a map without memory, and no carrier at all.
import { linear } from '../nn/functional.js'
import { uniform } from '../nn/init.js'
import { Linear } from '../nn/linear.js'
import { rnn } from '../nn/recurrence.js'
import { zeros } from '../tensor/create.js'
import { needOptions } from '../tensor/options.js'
import { uniform as draw } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { told } from '../told.js'
import { broken, type Carrier } from './carrier.js'
import { numberOption } from './options.js'

/** Weights of a dense recurrence of G gates, in the layout of `nn.LSTM`: rows gate by gate. */
export type DenseWeights = { weightIh: Variable; weightHh: Variable; biasIh: Variable; biasHh: Variable }

/** They start uniform on ±1/√width. */
export function denseWeights(gates: number, width: number): DenseWeights {
  const bound = 1 / Math.sqrt(width)
  const make = (...shape: number[]): Variable => uniform(shape, -bound, bound)
  const rows = gates * width
  return { weightIh: make(rows, width), weightHh: make(rows, width), biasIh: make(rows), biasHh: make(rows) }
}

/** W_i x + b_i + W_h h + b_h: [N, G·width] */
export function preActivations(w: DenseWeights, x: Tensor, h: Tensor): Tensor {
  return linear(x, w.weightIh, w.biasIh).add(linear(h, w.weightHh, w.biasHh))
}

export const stream = ({ batch, width }: { batch: number; width: number }): Tensor => zeros([batch, width])

type Hidden = { h: Tensor }

/** Along time the Elman network, along depth a plain net whose layers are re-injected or not: a = 0. */
export function elman(): Carrier<DenseWeights, Hidden> {
  return {
    name: 'elman',
    equation: "h' = tanh(W_i x + b_i + W_h h + b_h)",
    source: 'Elman 1990',
    axes: ['time', 'depth'],
    row: { a: '0', b: '1' },
    parameters: ({ width }) => denseWeights(1, width),
    initialState: (sizes) => ({ h: stream(sizes) }),
    step(w, { h }, x) {
      const next = preActivations(w, x, h).tanh()
      return { state: { h: next }, output: next }
    },
    kernel(w, x, { h }) {
      return rnn(x, { h }, w)
    },
    flops: ({ width }) => 4 * width * width,
  }
}

/** The identity integrator along time, a ResNet of one tied layer: what it adds reads what it has. */
export function residualRNN(): Carrier<DenseWeights, Hidden> {
  return {
    name: 'residualRNN',
    equation: "h' = h + tanh(W_i x + b_i + W_h h + b_h)",
    source: 'Liao and Poggio 2016',
    axes: ['time', 'depth'],
    row: { a: '1', b: '1' },
    linear: false,
    parameters: ({ width }) => denseWeights(1, width),
    initialState: (sizes) => ({ h: stream(sizes) }),
    step(w, { h }, x) {
      const next = h.add(preActivations(w, x, h).tanh())
      return { state: { h: next }, output: next }
    },
    flops: ({ width }) => 4 * width * width,
  }
}

export interface ZoneoutOptions {
  /** Probability that a unit keeps its value. @default 0.1 */
  keep?: number
}

/** An Elman network whose units keep their values at random; in use they mix by the probability. */
export function zoneout(given: ZoneoutOptions = {}): Carrier<DenseWeights, Hidden> {
  const { keep = 0.1 } = needOptions(given, 'axis.zoneout')
  numberOption('zoneout', 'keep', keep, 0, 1)
  return {
    name: 'zoneout',
    equation: "h' = m ⊙ h + (1 − m) ⊙ tanh(W_i x + b_i + W_h h + b_h),  m ~ Bernoulli(keep); in use m = keep",
    source: 'Krueger et al. 2017',
    axes: ['time'],
    only: 'along depth random keep is stochasticDepth()',
    row: { a: 'm', b: '1 − m' },
    parameters: ({ width }) => denseWeights(1, width),
    initialState: (sizes) => ({ h: stream(sizes) }),
    noise: (rows, { training }) => (training && keep > 0 ? draw(rows) : undefined),
    step(w, { h }, x, { noise }) {
      const fresh = preActivations(w, x, h).tanh()
      const m = noise?.lt(keep).to(h.dtype)
      // Not fresh + m (h − fresh): what is kept is kept to the last digit.
      const next = m ? m.mul(h).add(m.neg().add(1).mul(fresh)) : fresh.add(h.sub(fresh).mul(keep))
      return { state: { h: next }, output: next }
    },
    flops: ({ width }) => 4 * width * width,
  }
}

export interface DenseOptions {
  /** @default 'tanh' */
  nonlinearity?: 'tanh' | 'relu' | 'linear'
}

type Map = { map: Linear }

/** A layer without memory: the branch of a ResNet or Highway over vectors. */
export function dense(given: DenseOptions = {}): Carrier<Map, []> {
  const { nonlinearity = 'tanh' } = needOptions(given, 'axis.dense')
  const phi = { tanh: (x: Tensor) => x.tanh(), relu: (x: Tensor) => x.relu(), linear: (x: Tensor) => x }[nonlinearity]
  if (phi === undefined)
    throw broken({ name: 'dense' }, `nonlinearity must be tanh, relu or linear, got ${told(nonlinearity)}`)
  const apply = ({ map }: Map, x: Tensor): { state: []; output: Tensor } => ({ state: [], output: phi(map.forward(x)) })
  return {
    name: 'dense',
    equation: `r = ${nonlinearity}(W x + b)`,
    source: 'a feed-forward layer',
    axes: ['time'],
    only: 'along depth a map without memory is plain()',
    row: { a: '0', b: '1' },
    parallelForm: 'direct',
    parameters: ({ width }) => ({ map: new Linear(width, width) }),
    initialState: () => [],
    step: (p, _, x) => apply(p, x),
    parallel: (p, x) => apply(p, x),
    flops: ({ width }) => 2 * width * width,
  }
}

/** Nothing along time: what is along depth is handed the stream, or the injected input, as it is. */
export function none(): Carrier<object, []> {
  return {
    name: 'none',
    equation: 'r = x',
    source: 'the identity',
    axes: ['time'],
    only: 'along depth the identity is residual()',
    row: { a: '—', b: '—' },
    parallelForm: 'direct',
    parameters: () => ({}),
    initialState: () => [],
    step: (_, __, x) => ({ state: [], output: x }),
    parallel: (_, x) => ({ state: [], output: x }),
    flops: () => 0,
  }
}
