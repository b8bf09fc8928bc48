// The gated linear recurrence h_t = a_t ⊙ h_(t−1) + b_t, as a loop and as a parallel prefix in ⌈log₂ T⌉ levels.
import { add, at, mul, type Vec } from './vector.js'

export function scanLoop(a: readonly Vec[], b: readonly Vec[], start: Vec): Vec[] {
  let h = start
  return a.map((gate, t) => {
    h = add(mul(gate, h), at(b, t))
    return h
  })
}

/** Hillis and Steele 1986: after level k each pair (a, b) covers 2^(k+1) steps; (a₂, b₂) ∘ (a₁, b₁) = (a₂ a₁, a₂ b₁ + b₂). */
export function scanParallel(a: readonly Vec[], b: readonly Vec[], start: Vec): { output: Vec[]; levels: number } {
  let pairs = a.map((gate, t) => ({ a: gate, b: at(b, t) }))
  let levels = 0
  for (let reach = 1; reach < pairs.length; reach *= 2) {
    const before = pairs
    pairs = before.map((pair, t) => {
      const earlier = before[t - reach]
      if (earlier === undefined) return pair
      return { a: mul(pair.a, earlier.a), b: add(mul(pair.a, earlier.b), pair.b) }
    })
    levels++
  }
  return { output: pairs.map((pair) => add(mul(pair.a, start), pair.b)), levels }
}
