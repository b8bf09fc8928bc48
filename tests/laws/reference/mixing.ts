// The mixing matrix: with φ = id the carried state is a weighted sum of all writes, s_K = Σ_i M_Ki ⊙ v_i, v_0 the start (unit by unit).
import type { Terms } from './axis.js'
import { at, fill, type Mat, type Vec } from './vector.js'

/**
 * M of one unit, (K+1) × (K+1), lower triangular: row k says what s_k is made of, column 0 the start, column i the write of step i − 1:
 * M_k0 = ∏_(j<k) a_j,      M_ki = b_(i−1) ∏_(i ≤ j < k) a_j.
 */
export function mixingMatrix(terms: readonly Pick<Terms, 'a' | 'b'>[], unit: number): Mat {
  const size = terms.length + 1
  return Array.from({ length: size }, (_, k) =>
    fill(size).map((_, i) => {
      if (i > k) return 0
      let weight = i === 0 ? 1 : at(at(terms, i - 1).b, unit)
      for (let j = i; j < k; j++) weight *= at(at(terms, j).a, unit)
      return weight
    }),
  )
}

/** The largest rank of the blocks on and below the diagonal, M[k.., ..k]: 1 for every gated carrier of one state per unit. */
export function semiseparableRank(m: Mat, tolerance = 1e-10): number {
  let largest = 0
  for (let k = 0; k < m.length; k++)
    largest = Math.max(
      largest,
      rank(
        m.slice(k).map((row) => row.slice(0, k + 1)),
        tolerance,
      ),
    )
  return largest
}

/** By elimination with full pivoting, relative to the largest element. */
function rank(m: Mat, tolerance: number): number {
  const rows = m.map((row) => [...row])
  const scale = Math.max(...rows.flat().map(Math.abs))
  let found = 0
  for (;;) {
    let best: [number, number, number] = [0, 0, 0]
    for (let i = found; i < rows.length; i++)
      for (const [j, x] of at(rows, i).entries()) if (Math.abs(x) > best[2]) best = [i, j, Math.abs(x)]
    const [p, q, size] = best
    if (!(size > tolerance * scale)) return found
    const pivot = at(rows, p)
    rows[p] = at(rows, found)
    rows[found++] = pivot
    for (const row of rows.slice(found)) {
      const factor = at(row, q) / at(pivot, q)
      for (let j = 0; j < row.length; j++) row[j] = at(row, j) - factor * at(pivot, j)
    }
  }
}

/** One unit's start and writes, the vector that M multiplies. */
export function writesOf(start: Vec, terms: readonly Terms[], unit: number): Vec {
  return [at(start, unit), ...terms.map(({ v }) => at(v, unit))]
}
