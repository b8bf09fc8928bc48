// The axis recurrence: one integrator, along whatever axis its steps are laid.
import { add, at, fill, type Mat, matVec, mul, sigmoid, type Vec } from './vector.js'

/** What one step multiplies and writes. */
export interface Terms {
  /** How much of the carried state stays. */
  a: Vec
  /** How much of the write enters. */
  b: Vec
  v: Vec
  /** How much of ρ(s) is read; absent: all. */
  o?: Vec
}

/** One step k of the axis, its parameters θ_k inside: from the readout r and the local input u (absent: none). */
export type AxisStep = (r: Vec, u: Vec | undefined) => Terms

export interface AxisOptions {
  rho?: (x: number) => number
  phi?: (x: number) => number
  /** r_0; absent: ρ(s_0), all of it. */
  r0?: Vec
  /** u_k; absent: no input after the start. */
  inputs?: readonly Vec[]
}

export interface AxisRun {
  /** s_0 … s_K */
  states: Vec[]
  /** r_0 … r_K */
  readouts: Vec[]
  terms: Terms[]
}

/**
 * s_(k+1) = φ(a_k ⊙ s_k + b_k ⊙ v_k)        r_(k+1) = o_k ⊙ ρ(s_(k+1))        a, b, v, o functions of (r_k, u_k).
 * Nothing here says whether k counts time steps or layers: that is the whole point.
 */
export function runAxis(steps: readonly AxisStep[], s0: Vec, options: AxisOptions = {}): AxisRun {
  const { rho = (x) => x, phi = (x) => x, r0 = s0.map(rho), inputs } = options
  const run: AxisRun = { states: [s0], readouts: [r0], terms: [] }
  for (const [k, step] of steps.entries()) {
    const terms = step(at(run.readouts, k), inputs?.[k])
    const s = add(mul(terms.a, at(run.states, k)), mul(terms.b, terms.v)).map(phi)
    const read = s.map(rho)
    run.terms.push(terms)
    run.states.push(s)
    run.readouts.push(terms.o === undefined ? read : mul(terms.o, read))
  }
  return run
}

/** Weights of a gated step: G·n rows for the readout, and as many for the input. */
export interface GateWeights {
  /** [G·n, n] */
  hh: Mat
  /** [G·n, m]; absent: the step reads no input */
  ih?: Mat
  /** [G·n] */
  bias: Vec
}

/** W u + (U r + b), cut into G gates. */
export function gates({ hh, ih, bias }: GateWeights, r: Vec, u: Vec | undefined): Vec[] {
  const n = r.length
  const p = add(matVec(hh, r), bias)
  const all = ih === undefined || u === undefined ? p : add(matVec(ih, u), p)
  return Array.from({ length: all.length / n }, (_, g) => all.slice(g * n, (g + 1) * n))
}

/** a = f, b = i, v = tanh, o: LSTM's step (gates i, f, g, o), run with ρ = tanh. */
export function lstmStep(weights: GateWeights): AxisStep {
  return (r, u) => {
    const [i, f, g, o] = gates(weights, r, u) as [Vec, Vec, Vec, Vec]
    return { a: f.map(sigmoid), b: i.map(sigmoid), v: g.map(Math.tanh), o: o.map(sigmoid) }
  }
}

/** a = 1 − b: coupled gates (rows of v, then of b); Highway, if it reads no input. */
export function coupledStep(weights: GateWeights): AxisStep {
  return (r, u) => {
    const [h, t] = gates(weights, r, u) as [Vec, Vec]
    const b = t.map(sigmoid)
    return { a: b.map((x) => 1 - x), b, v: h.map(Math.tanh) }
  }
}

/** a = b = 1: the residual step. */
export function residualStep(weights: GateWeights): AxisStep {
  return (r, u) => {
    const one = fill(r.length, 1)
    return { a: one, b: one, v: at(gates(weights, r, u), 0).map(Math.tanh) }
  }
}

/** a = λ, b = 1 − λ for a fixed λ: the scaled shortcut along depth, the exponential average along time. */
export function decayStep(weights: GateWeights, lambda: number): AxisStep {
  const residual = residualStep(weights)
  return (r, u) => {
    const { v } = residual(r, u)
    return { a: fill(r.length, lambda), b: fill(r.length, 1 - lambda), v }
  }
}
