// Carriers whose gates read the state: LSTM, GRU, JANET. The same step along time and along depth.
import { linear } from '../nn/functional.js'
import { uniform, variable } from '../nn/init.js'
import { gru as gruSequence, lstm as lstmSequence } from '../nn/recurrence.js'
import { zeros } from '../tensor/create.js'
import { cat } from '../tensor/functions.js'
import { needOptions } from '../tensor/options.js'
import { uniform as draw } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { told } from '../told.js'
import { broken, type Carrier, type Sizes } from './carrier.js'
import { flagOption, numberOption } from './options.js'
import { type DenseWeights, denseWeights, preActivations, stream } from './plain.js'

export interface OpenCarryOptions {
  /** What the bias of the forget gate starts at: 1 keeps half of a value for 2 steps, 3 for 14. @default 1 */
  forgetBias?: number
  /** Start the biases for memories of up to this many steps: b_f = log u, u uniform on 1 … steps − 1, b_i = −b_f (Tallec and Ollivier 2018). */
  chrono?: number
}

export interface LSTMCarrierOptions extends OpenCarryOptions {
  /** false: f = 1, the constant error carousel of 1997. @default true */
  forgetGate?: boolean
  /** i = 1 − f (CIFG). @default false */
  coupled?: boolean
  /** Gates read the cell, too: i and f the old one, o the new (Gers and Schmidhuber 2000). @default false */
  peepholes?: boolean
}

type LSTMParameters = DenseWeights & { peephole?: Variable }
type Cell = { h: Tensor; c: Tensor }

/**
 * Rows are in the order i, f, g, o, as in `nn.LSTM`. Its weights fit `nn.LSTM`'s whatever the options; rows of gates that are not there have no
 * effect. The other bias of a gate starts at 0 where `forgetBias` or `chrono` sets one.
 */
export function lstm(given: LSTMCarrierOptions = {}): Carrier<LSTMParameters, Cell> {
  const {
    forgetGate = true,
    coupled = false,
    peepholes = false,
    forgetBias = 1,
    chrono,
  } = needOptions(given, 'axis.lstm')
  for (const [name, value] of Object.entries({ forgetGate, coupled, peepholes })) flagOption('lstm', name, value)
  numberOption('lstm', 'forgetBias', forgetBias)
  if (coupled && !forgetGate)
    throw broken({ name: 'lstm' }, 'coupled gates need the forget gate: i = 1 − f', {
      got: 'coupled without forgetGate',
    })
  checkChrono('lstm', chrono)
  const whole = forgetGate && !coupled && !peepholes
  const input = coupled ? '1 − f' : 'i'
  return {
    name: 'lstm',
    equation: `c' = ${forgetGate ? 'f ⊙ ' : ''}c + ${coupled ? '(1 − f)' : 'i'} ⊙ tanh(W_g·[x, h]),  h' = o ⊙ tanh(c')${peepholes ? ', with peepholes' : ''}`,
    source: forgetGate ? 'Hochreiter and Schmidhuber 1997; Gers et al. 2000' : 'Hochreiter and Schmidhuber 1997',
    axes: ['time', 'depth'],
    row: { a: forgetGate ? 'f' : '1', b: input, readout: 'o ⊙ tanh(c)' },
    parameters(sizes) {
      const weights: LSTMParameters = openCarry(denseWeights(4, sizes.width), sizes, { forgetBias, chrono })
      if (peepholes)
        weights.peephole = uniform([3, sizes.width], -1 / Math.sqrt(sizes.width), 1 / Math.sqrt(sizes.width))
      return weights
    },
    initialState: (sizes) => ({ h: stream(sizes), c: stream(sizes) }),
    step(w, { h, c }, x) {
      const D = c.shape[1] as number
      const [pi, pf, pg, po] = preActivations(w, x, h).split([D, D, D, D], 1) as [Tensor, Tensor, Tensor, Tensor]
      const peek = (gate: Tensor, k: number, cell: Tensor): Tensor =>
        w.peephole ? gate.add(cell.mul(w.peephole.select(0, k))) : gate
      const f = forgetGate ? peek(pf, 1, c).sigmoid() : undefined
      const i = coupled && f ? f.neg().add(1) : peek(pi, 0, c).sigmoid()
      const next = (f ? f.mul(c) : c).add(i.mul(pg.tanh()))
      const out = peek(po, 2, next).sigmoid().mul(next.tanh())
      return { state: { h: out, c: next }, output: out }
    },
    ...(whole && {
      kernel: (w: LSTMParameters, x: Tensor, state: Cell) => lstmSequence(x, state, w),
    }),
    flops: ({ width }) => 16 * width * width,
  }
}

/** Biases by gate that keep the carry open at the start. */
function openCarry(w: DenseWeights, { width }: Sizes, { forgetBias, chrono }: OpenCarryOptions): DenseWeights {
  const [i, f, rest] = chrono === undefined ? [undefined, undefined, forgetBias] : chronoBias(width, chrono)
  const keep = (part: Tensor, gate: number, value: Tensor | undefined): Tensor =>
    value ?? part.slice(0, gate * width, (gate + 1) * width)
  const biasIh = variable(() =>
    cat([keep(w.biasIh, 0, i), f ?? zeros([width]).add(rest as number), w.biasIh.slice(0, 2 * width, 4 * width)]),
  )
  const biasHh = variable(() =>
    cat([keep(w.biasHh, 0, i && zeros([width])), zeros([width]), w.biasHh.slice(0, 2 * width, 4 * width)]),
  )
  return { ...w, biasIh, biasHh }
}

function chronoBias(width: number, steps: number): [Tensor, Tensor, undefined] {
  const f = draw([width], 1, steps - 1).log()
  return [f.neg(), f, undefined]
}

function checkChrono(name: string, steps: number | undefined): void {
  if (steps !== undefined && !(Number.isFinite(steps) && steps > 2))
    throw broken({ name }, `chrono must be a number of steps > 2, got ${told(steps)}`)
}

type Hidden = { h: Tensor }

/** Rows are in the order r, z, n, as in `nn.GRU`. */
export function gru(): Carrier<DenseWeights, Hidden> {
  return {
    name: 'gru',
    equation: "h' = z ⊙ h + (1 − z) ⊙ tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))",
    source: 'Cho et al. 2014, with the reset gate of PyTorch',
    axes: ['time', 'depth'],
    row: { a: 'z', b: '1 − z' },
    parameters: ({ width }) => denseWeights(3, width),
    initialState: (sizes) => ({ h: stream(sizes) }),
    step(w, { h }, x) {
      const D = h.shape[1] as number
      const [ir, iz, inn] = linear(x, w.weightIh, w.biasIh).split([D, D, D], 1) as [Tensor, Tensor, Tensor]
      const [hr, hz, hn] = linear(h, w.weightHh, w.biasHh).split([D, D, D], 1) as [Tensor, Tensor, Tensor]
      const z = iz.add(hz).sigmoid()
      const n = inn.add(ir.add(hr).sigmoid().mul(hn)).tanh()
      const next = n.add(z.mul(h.sub(n)))
      return { state: { h: next }, output: next }
    },
    kernel: (w, x, state) => gruSequence(x, state, w),
    flops: ({ width }) => 12 * width * width,
  }
}

/** Only the forget gate is left of the LSTM. Rows in the order f, g; β makes it write a little more than it forgets. */
export function janet(given: { beta?: number; chrono?: number } = {}): Carrier<DenseWeights, Hidden> {
  const { beta = 1, chrono } = needOptions(given, 'axis.janet')
  numberOption('janet', 'beta', beta)
  checkChrono('janet', chrono)
  return {
    name: 'janet',
    equation: `h' = σ(p) ⊙ h + (1 − σ(p − ${beta})) ⊙ tanh(W_g·[x, h])`,
    source: 'van der Westhuizen and Lasenby 2018',
    axes: ['time', 'depth'],
    row: { a: 'σ(p)', b: '1 − σ(p − β)' },
    parameters({ width }) {
      const w = denseWeights(2, width)
      const forget = chrono === undefined ? () => zeros([width]).add(1) : () => draw([width], 1, chrono - 1).log()
      w.biasIh = variable(() => cat([forget(), w.biasIh.slice(0, width)]))
      w.biasHh = variable(() => cat([zeros([width]), w.biasHh.slice(0, width)]))
      return w
    },
    initialState: (sizes) => ({ h: stream(sizes) }),
    step(w, { h }, x) {
      const D = h.shape[1] as number
      const [p, g] = preActivations(w, x, h).split([D, D], 1) as [Tensor, Tensor]
      const next = p.sigmoid().mul(h).add(p.neg().add(beta).sigmoid().mul(g.tanh()))
      return { state: { h: next }, output: next }
    },
    flops: ({ width }) => 8 * width * width,
  }
}
