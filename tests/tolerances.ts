// How close results must be to the expected ones: one table for every test. A test that needs more says by what factor, and why.

import type { DType } from 'quarterturn'
import { expect } from 'vitest'

/** |actual − expected| ≤ atol + rtol · |expected|. Expected values are computed in float64; integers and booleans are exact. */
export const tolerances: { readonly [D in DType]: { readonly rtol: number; readonly atol: number } } = {
  float64: { rtol: 1e-11, atol: 1e-12 },
  float32: { rtol: 2e-5, atol: 2e-6 },
  bfloat16: { rtol: 2e-2, atol: 2e-2 },
  float16: { rtol: 4e-3, atol: 4e-3 },
  int64: { rtol: 0, atol: 0 },
  int32: { rtol: 0, atol: 0 },
  uint8: { rtol: 0, atol: 0 },
  bool: { rtol: 0, atol: 0 },
}

/** Finite differences in float64: central, with this step along a direction of entries of size about 1. */
export const finiteDifference = { step: 1e-5, rtol: 1e-6, atol: 1e-7 }

/** Fails, naming the worst element, unless every element is within the tolerance of `dtype` times `loose`. */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  dtype: DType,
  what: string,
  loose = 1,
): void {
  expect(actual.length, `${what}: number of elements`).toBe(expected.length)
  const { rtol, atol } = tolerances[dtype]
  let worst = -1
  let excess = 1
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i] as number
    const e = expected[i] as number
    if (Object.is(a, e) || a === e) continue
    const ratio = Math.abs(a - e) / (loose * (atol + rtol * Math.abs(e)))
    if (!(ratio <= excess)) {
      worst = i
      excess = ratio
      if (Number.isNaN(ratio)) break
    }
  }
  if (worst >= 0) {
    expect.fail(
      `${what}: element ${worst} is ${actual[worst]}, expected ${expected[worst]} (${excess.toPrecision(3)} times the tolerance of ${dtype})`,
    )
  }
}
