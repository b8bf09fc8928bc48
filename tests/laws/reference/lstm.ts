// LSTM as every book writes it: a loop over time, gate by gate. Shares no line with axis.ts, so that the two can be compared.
import type { GateWeights } from './axis.js'
import { at, fill, type Mat, matAdd, scaleRows, type Vec } from './vector.js'

export interface LstmState {
  h: Vec
  c: Vec
}

/** One step; every unit's four sums from left to right: U h, + b, + W x. */
export function lstmCell(x: Vec, { h, c }: LstmState, { ih, hh, bias }: GateWeights): LstmState & { gates: Vec[] } {
  const n = h.length
  const gate = (k: number, squash: (v: number) => number): Vec =>
    fill(n).map((_, j) => {
      const row = k * n + j
      let recurrent = 0
      for (let q = 0; q < n; q++) recurrent += at(at(hh, row), q) * at(h, q)
      let input = 0
      for (let q = 0; q < x.length; q++) input += at(at(ih as Mat, row), q) * at(x, q)
      return squash(input + (recurrent + at(bias, row)))
    })
  const logistic = (v: number): number => 1 / (1 + Math.exp(-v))
  const [i, f, g, o] = [gate(0, logistic), gate(1, logistic), gate(2, Math.tanh), gate(3, logistic)]
  const next = c.map((value, j) => at(f, j) * value + at(i, j) * at(g, j))
  return { c: next, h: next.map((value, j) => at(o, j) * Math.tanh(value)), gates: [i, f, g, o] }
}

/** All states, from the first on. */
export function lstmLoop(xs: readonly Vec[], start: LstmState, weights: GateWeights): LstmState[] {
  const states = [start]
  for (const x of xs) states.push(lstmCell(x, at(states, states.length - 1), weights))
  return states
}

/**
 * ∂(h', c')/∂(h, c), 2n × 2n:
 * ```
 * ∂c'/∂c = diag f      ∂c'/∂h = diag(c f(1−f)) U_f + diag(g i(1−i)) U_i + diag(i(1−g²)) U_g
 * ∂h'/∂· = diag(o(1−tanh² c')) ∂c'/∂· + [∂h: diag(tanh c' · o(1−o)) U_o]
 * ```
 */
export function lstmJacobian(x: Vec, state: LstmState, weights: GateWeights): Mat {
  const n = state.h.length
  const next = lstmCell(x, state, weights)
  const [i, f, g, o] = next.gates as [Vec, Vec, Vec, Vec]
  const block = (k: number): Mat => weights.hh.slice(k * n, (k + 1) * n)
  const slope = (s: Vec): Vec => s.map((v) => v * (1 - v))
  const times = (...factors: Vec[]): Vec => fill(n, 1).map((_, j) => factors.reduce((p, v) => p * at(v, j), 1))
  const cByH = matAdd(
    matAdd(scaleRows(times(state.c, slope(f)), block(1)), scaleRows(times(g, slope(i)), block(0))),
    scaleRows(
      times(
        i,
        g.map((v) => 1 - v * v),
      ),
      block(2),
    ),
  )
  const cByC = fill(n).map((_, p) => fill(n).map((_, q) => (p === q ? at(f, p) : 0)))
  const open = times(
    o,
    next.c.map((v) => 1 - Math.tanh(v) ** 2),
  )
  const hByH = matAdd(scaleRows(times(next.c.map(Math.tanh), slope(o)), block(3)), scaleRows(open, cByH))
  const hByC = scaleRows(open, cByC)
  return [...hByH.map((row, j) => [...row, ...at(hByC, j)]), ...cByH.map((row, j) => [...row, ...at(cByC, j)])]
}
