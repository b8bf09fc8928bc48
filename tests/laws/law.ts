// What a law is held to: its residual is printed, and must stay below a bound.
import { expect } from 'vitest'

/** Prints the residual of the identity `id`, and fails unless it is at most `bound`. */
export function law(id: string, says: string, residual: number, bound: number, beside = ''): void {
  console.info(
    `${id.padEnd(4)} ${says.padEnd(86)} ${residual.toExponential(1).padStart(9)}  ≤ ${bound}${beside && `  ${beside}`}`,
  )
  expect(residual, `${id}: ${says}`).toBeLessThanOrEqual(bound)
}
