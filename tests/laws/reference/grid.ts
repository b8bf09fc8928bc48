// Orders on the grid time × depth: the wavefront of a stacked LSTM, and Grid LSTM, whose two axes are alike.
import type { GateWeights } from './axis.js'
import { type LstmState, lstmCell, lstmLoop } from './lstm.js'
import { add, at, fill, type Mat, matVec, sigmoid, type Vec } from './vector.js'

/** K layers one after the other, T·K serial steps. */
export function layerByLayer(xs: readonly Vec[], layers: readonly GateWeights[]): { output: Vec[]; serial: number } {
  let [output, serial] = [[...xs], 0]
  for (const weights of layers) {
    const n = at(weights.hh, 0).length
    output = lstmLoop(output, { h: fill(n), c: fill(n) }, weights)
      .slice(1)
      .map(({ h }) => h)
    serial += output.length
  }
  return { output, serial }
}

/** The same cells by anti-diagonals t + l: those of one diagonal read only the two before it, so it is one serial step. */
export function wavefront(xs: readonly Vec[], layers: readonly GateWeights[]): { output: Vec[]; serial: number } {
  const [T, K] = [xs.length, layers.length]
  const states = layers.map(({ hh }): LstmState[] => [{ h: fill(at(hh, 0).length), c: fill(at(hh, 0).length) }])
  let serial = 0
  for (let diagonal = 0; diagonal < T + K - 1; diagonal++, serial++) {
    const cells = layers.map((_, l) => ({ l, t: diagonal - l })).filter(({ t }) => t >= 0 && t < T)
    // All are computed before any is stored: nothing of a diagonal may read its own diagonal.
    const next = cells.map(({ l, t }) => {
      const x = l === 0 ? at(xs, t) : at(at(states, l - 1), t + 1).h
      return lstmCell(x, at(at(states, l), t), at(layers, l))
    })
    for (const [i, { l }] of cells.entries()) at(states, l).push(at(next, i))
  }
  return {
    output: at(states, K - 1)
      .slice(1)
      .map(({ h }) => h),
    serial,
  }
}

/** One LSTM for each axis; both read [h_time; h_depth], 2n values. */
export interface GridWeights {
  /** hh [4n, 2n], bias [4n] */
  time: GateWeights
  depth: GateWeights
}

/** What enters at the two open edges. */
export interface GridEdges {
  /** for each l: the state before the first step */
  time: LstmState[]
  /** for each t: the state below the first layer */
  depth: LstmState[]
}

/** The states that leave each cell (t, l). Source: Kalchbrenner et al. 2015 (Grid LSTM), section 3.1. */
export function gridLstm(weights: GridWeights, edges: GridEdges): { time: LstmState[][]; depth: LstmState[][] } {
  const time: LstmState[][] = []
  const depth: LstmState[][] = []
  for (const t of edges.depth.keys()) {
    time.push([])
    depth.push([])
    for (const l of edges.time.keys()) {
      const alongTime = t === 0 ? at(edges.time, l) : at(at(time, t - 1), l)
      const alongDepth = l === 0 ? at(edges.depth, t) : at(at(depth, t), l - 1)
      const read = [...alongTime.h, ...alongDepth.h]
      at(time, t).push(cell(read, alongTime.c, weights.time))
      at(depth, t).push(cell(read, alongDepth.c, weights.depth))
    }
  }
  return { time, depth }
}

function cell(read: Vec, c: Vec, weights: GateWeights): LstmState {
  const n = c.length
  const p = add(matVec(weights.hh, read), weights.bias)
  const gate = (k: number): Vec => p.slice(k * n, (k + 1) * n)
  const next = c.map(
    (value, j) => sigmoid(at(gate(1), j)) * value + sigmoid(at(gate(0), j)) * Math.tanh(at(gate(2), j)),
  )
  return { c: next, h: next.map((value, j) => sigmoid(at(gate(3), j)) * Math.tanh(value)) }
}

/** The rotation of the weights: the axes change places, and with them the halves of what is read. */
export function rotateGrid({ time, depth }: GridWeights): GridWeights {
  const swap = (weights: GateWeights): GateWeights => ({ ...weights, hh: swapHalves(weights.hh) })
  return { time: swap(depth), depth: swap(time) }
}

function swapHalves(m: Mat): Mat {
  return m.map((row) => [...row.slice(row.length / 2), ...row.slice(0, row.length / 2)])
}
