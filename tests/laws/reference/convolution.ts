// A causal filter along time: y_t = Σ_(k < K) h_k ⊙ v_(t−k), nothing before the start.
import { add, at, fill, type Mat, mul, type Vec } from './vector.js'

export function convolve(h: readonly Vec[], v: readonly Vec[]): Vec[] {
  return v.map((now, t) =>
    h.reduce((sum, weights, k) => (k <= t ? add(sum, mul(weights, at(v, t - k))) : sum), fill(now.length)),
  )
}

/** M of one unit over T steps: M_ti = h_(t−i), 0 where that is outside 0 … K−1. */
export function toeplitz(h: Vec, T: number): Mat {
  return fill(T).map((_, t) => fill(T).map((_, i) => (i > t || t - i >= h.length ? 0 : at(h, t - i))))
}
