// A nonlinear recurrence solved as one system: Newton's method, whose inner system is a linear recurrence (Lim et al. 2023, DEER; DeepPCR along depth).
import { add, at, type Mat, matVec, type Vec } from './vector.js'

export interface Recurrence {
  /** s_(k+1) of s_k */
  step(s: Vec, k: number): Vec
  /** ∂s_(k+1)/∂s_k */
  jacobian(s: Vec, k: number): Mat
}

export interface Solved {
  /** s_1 … s_K */
  states: Vec[]
  iterations: number
  /** False: the cap was reached or a number overflowed, and the states are those of the loop. */
  converged: boolean
}

export function loop({ step }: Pick<Recurrence, 'step'>, start: Vec, count: number): Vec[] {
  const states: Vec[] = []
  for (let k = 0; k < count; k++) states.push(step(k === 0 ? start : at(states, k - 1), k))
  return states
}

/**
 * With guesses ŝ, every iteration solves s_(k+1) = J_k s_k + (f(ŝ_k) − J_k ŝ_k), J_k = f'(ŝ_k), for all k at once (by a scan, were it a kernel; here
 * by its loop). It ends when no state moves by more than `tolerance`. After `cap` iterations without that, or at the first number that is not finite,
 * the plain loop runs instead: what is returned is right in every case.
 */
export function newton(
  recurrence: Recurrence,
  start: Vec,
  count: number,
  { cap = 50, tolerance = 1e-12 }: { cap?: number; tolerance?: number } = {},
): Solved {
  const guess = Array.from({ length: count }, () => start.map(() => 0))
  for (let iteration = 1; iteration <= cap; iteration++) {
    let [moved, s] = [0, start]
    const states = guess.map((_, k) => {
      const before = k === 0 ? start : at(guess, k - 1)
      const jacobian = recurrence.jacobian(before, k)
      s = add(
        recurrence.step(before, k),
        matVec(
          jacobian,
          s.map((value, i) => value - at(before, i)),
        ),
      )
      for (const [i, value] of s.entries()) {
        const move = Math.abs(value - at(at(guess, k), i))
        if (!(move <= moved)) moved = move
      }
      return s
    })
    if (!Number.isFinite(moved)) break
    for (const [k, state] of states.entries()) guess[k] = state
    if (moved <= tolerance) return { states: guess, iterations: iteration, converged: true }
  }
  return { states: loop(recurrence, start, count), iterations: cap, converged: false }
}
