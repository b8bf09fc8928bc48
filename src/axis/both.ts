// Carriers that fill both axes: a cell for each place of the grid, or micro-steps along depth within each step along time.
import { linear } from '../nn/functional.js'
import { uniform, variable } from '../nn/init.js'
import { zeros } from '../tensor/create.js'
import { cat } from '../tensor/functions.js'
import { needOptions } from '../tensor/options.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import type { Carrier, Sizes } from './carrier.js'
import { numberOption } from './options.js'
import { stream } from './plain.js'

type Cell = { h: Tensor; c: Tensor }
type Weights = { weight: Variable; bias: Variable }
type Grid = { time: Weights; depth: Weights }

function weights(rows: number, columns: number): Weights {
  const bound = 1 / Math.sqrt(columns)
  return { weight: uniform([rows, columns], -bound, bound), bias: uniform([rows], -bound, bound) }
}

/** One set for each layer, or one for all: the same object then. */
function perLayer<P>({ layers, tied }: Sizes, make: (index: number) => P): P[] {
  const one = tied ? make(0) : undefined
  return Array.from({ length: layers }, (_, index) => one ?? make(index))
}

/** Gates in the order i, f, g, o from both hidden states. */
function cell({ weight, bias }: Weights, both: Tensor, c: Tensor): Cell {
  const D = c.shape[1] as number
  const [i, f, g, o] = linear(both, weight, bias).split([D, D, D, D], 1) as [Tensor, Tensor, Tensor, Tensor]
  const next = f.sigmoid().mul(c).add(i.sigmoid().mul(g.tanh()))
  return { h: o.sigmoid().mul(next.tanh()), c: next }
}

/**
 * An LSTM along each axis at every place, both of which read both hidden states [h_time, h_depth]. The input is the hidden state at the lower
 * edge, with an empty cell. Exchanged axes with exchanged weights give the exchanged outputs (tied layers).
 */
export function gridLSTM(): Carrier<Grid[], Cell[]> {
  return {
    name: 'gridLSTM',
    equation:
      "(h', c')_time = LSTM_time([h_time, h_depth], c_time),  (h', c')_depth = LSTM_depth([h_time, h_depth], c_depth)",
    source: 'Kalchbrenner et al. 2015, two dimensions',
    axes: ['both'],
    row: { a: 'f', b: 'i', readout: 'o ⊙ tanh(c)' },
    parameters: (sizes) =>
      perLayer(sizes, () => ({
        time: weights(4 * sizes.width, 2 * sizes.width),
        depth: weights(4 * sizes.width, 2 * sizes.width),
      })),
    initialState: (sizes) => Array.from({ length: sizes.layers }, () => ({ h: stream(sizes), c: stream(sizes) })),
    step(layers, before, x) {
      let up: Cell = { h: x, c: x.mul(0) }
      const state = before.map((old, k) => {
        const { time, depth } = layers[k] as Grid
        const both = cat([old.h, up.h], 1)
        up = cell(depth, both, up.c)
        return cell(time, both, old.c)
      })
      return { state, output: up.h }
    },
    flops: ({ width }) => 32 * width * width,
  }
}

type Tick = { recurrent: Weights; input?: Variable }

/** Rows in the order h, t; the gate of the carry is 1 − t. x enters at the first micro-step alone. */
export function recurrentHighway(given: { gateBias?: number } = {}): Carrier<Tick[], { s: Tensor }> {
  const { gateBias = -2 } = needOptions(given, 'axis.recurrentHighway')
  numberOption('recurrentHighway', 'gateBias', gateBias)
  return {
    name: 'recurrentHighway',
    equation:
      's_d = h ⊙ t + s_(d−1) ⊙ (1 − t),  h = tanh(W_h x [d = 1] + R_h s + b_h),  t = σ(W_t x [d = 1] + R_t s + b_t)',
    source: 'Zilly et al. 2016, with coupled gates',
    axes: ['both'],
    row: { a: '1 − t', b: 't' },
    parameters({ width, layers, ...sizes }) {
      const bound = 1 / Math.sqrt(width)
      const input = uniform([2 * width, width], -bound, bound)
      return perLayer({ width, layers, ...sizes }, () => {
        const recurrent = weights(2 * width, width)
        const bias = variable(() => cat([recurrent.bias.slice(0, 0, width), zeros([width]).add(gateBias)]))
        return { recurrent: { ...recurrent, bias } } as Tick
      }).map((tick, d) => (d === 0 ? { ...tick, input } : tick))
    },
    initialState: (sizes) => ({ s: stream(sizes) }),
    step(ticks, { s: before }, x) {
      let s = before
      const D = s.shape[1] as number
      for (const { recurrent, input } of ticks) {
        const inner = linear(s, recurrent.weight, recurrent.bias)
        const [h, t] = (input ? inner.add(linear(x, input)) : inner).split([D, D], 1) as [Tensor, Tensor]
        s = s.add(t.sigmoid().mul(h.tanh().sub(s)))
      }
      return { state: { s }, output: s }
    },
    flops: ({ width }) => 4 * width * width,
  }
}
