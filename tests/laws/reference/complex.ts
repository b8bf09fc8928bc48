// The complex step: f(x + iε)'s imaginary part over ε is the derivative to rounding, with ε = 10⁻¹⁰⁰ and nothing to cancel. LSTM in complex numbers.
import type { GateWeights } from './axis.js'
import type { LstmState } from './lstm.js'
import { at, fill, type Vec } from './vector.js'

interface Complex {
  re: number
  im: number
}

const times = (p: Complex, q: Complex): Complex => ({ re: p.re * q.re - p.im * q.im, im: p.re * q.im + p.im * q.re })
const plus = (p: Complex, q: Complex): Complex => ({ re: p.re + q.re, im: p.im + q.im })

/** 1 / (1 + e^(−z)) */
function logistic({ re, im }: Complex): Complex {
  const size = Math.exp(-re)
  const below: Complex = { re: 1 + size * Math.cos(im), im: -size * Math.sin(im) }
  const norm = below.re ** 2 + below.im ** 2
  return { re: below.re / norm, im: -below.im / norm }
}

/** tanh z = (tanh x + i tan y) / (1 + i tanh x tan y) */
function tanh({ re, im }: Complex): Complex {
  const [x, y] = [Math.tanh(re), Math.tan(im)]
  const norm = 1 + (x * y) ** 2
  return { re: (x + x * y * y) / norm, im: (y - x * x * y) / norm }
}

/** The column of ∂(h_T, c_T)/∂(h_0, c_0) that belongs to entry `entry` of (h_0, c_0). */
export function lstmComplexStep(xs: readonly Vec[], start: LstmState, weights: GateWeights, entry: number): Vec {
  const EPS = 1e-100
  const n = start.h.length
  const lift = (v: Vec, offset: number): Complex[] => v.map((re, i) => ({ re, im: i + offset === entry ? EPS : 0 }))
  let [h, c] = [lift(start.h, 0), lift(start.c, n)]
  for (const x of xs) {
    const gate = (k: number, squash: (z: Complex) => Complex): Complex[] =>
      fill(n).map((_, j) => {
        const row = k * n + j
        const input = (weights.ih?.[row] ?? []).reduce((s, w, q) => s + w * at(x, q), at(weights.bias, row))
        return squash(
          at(weights.hh, row).reduce((s, w, q) => plus(s, times({ re: w, im: 0 }, at(h, q))), { re: input, im: 0 }),
        )
      })
    const [i, f, g, o] = [gate(0, logistic), gate(1, logistic), gate(2, tanh), gate(3, logistic)]
    c = c.map((value, j) => plus(times(at(f, j), value), times(at(i, j), at(g, j))))
    h = c.map((value, j) => times(at(o, j), tanh(value)))
  }
  return [...h, ...c].map(({ im }) => im / EPS)
}
