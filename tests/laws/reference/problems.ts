// The recurrences that Newton's method is asked to solve.
import type { GateWeights } from './axis.js'
import { lstmCell, lstmJacobian } from './lstm.js'
import type { Recurrence } from './newton.js'
import { add, at, type Draws, eye, fill, matAdd, matVec, scaleRows, type Vec } from './vector.js'

const N = 8

export interface LstmProblem {
  recurrence: Recurrence
  start: Vec
  weights: GateWeights
  xs: Vec[]
}

/** An LSTM over T random inputs, with s = (h, c); `gain` scales its recurrent weights. */
export function lstmNewton(draws: Draws, T: number, gain = 1): LstmProblem {
  const weights: GateWeights = {
    hh: draws.mat(4 * N, N, gain / Math.sqrt(N)),
    ih: draws.mat(4 * N, N, 1 / Math.sqrt(N)),
    bias: draws.vec(4 * N, 0.1),
  }
  const xs = Array.from({ length: T }, () => draws.vec(N))
  const state = (s: Vec) => ({ h: s.slice(0, N), c: s.slice(N) })
  return {
    recurrence: {
      step: (s, t) => {
        const { h, c } = lstmCell(at(xs, t), state(s), weights)
        return [...h, ...c]
      },
      jacobian: (s, t) => lstmJacobian(at(xs, t), state(s), weights),
    },
    start: fill(2 * N),
    weights,
    xs,
  }
}

/** x_(l+1) = x_l + tanh(A_l x_l + b_l) / √D: D layers with weights of their own. */
export function residualNewton(draws: Draws, D: number): { recurrence: Recurrence; start: Vec } {
  const layers = Array.from({ length: D }, () => ({ a: draws.mat(N, N, 1 / Math.sqrt(N)), bias: draws.vec(N, 0.1) }))
  const scale = 1 / Math.sqrt(D)
  const branch = (x: Vec, l: number): Vec => add(matVec(at(layers, l).a, x), at(layers, l).bias).map(Math.tanh)
  return {
    recurrence: {
      step: (x, l) =>
        add(
          x,
          branch(x, l).map((v) => scale * v),
        ),
      jacobian: (x, l) =>
        matAdd(
          eye(N),
          scaleRows(
            branch(x, l).map((v) => scale * (1 - v * v)),
            at(layers, l).a,
          ),
        ),
    },
    start: draws.vec(N),
  }
}
