// Vectors and matrices as plain arrays of float64: what the reference is written in, so that it shares nothing with the library.

export type Vec = number[]
/** Rows. */
export type Mat = Vec[]

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))
export const fill = (n: number, value = 0): Vec => Array.from({ length: n }, () => value)
export const add = (a: Vec, b: Vec): Vec => a.map((x, i) => x + at(b, i))
export const mul = (a: Vec, b: Vec): Vec => a.map((x, i) => x * at(b, i))
export const sum = (a: Vec): number => a.reduce((s, x) => s + x, 0)
export const eye = (n: number): Mat => Array.from({ length: n }, (_, i) => fill(n).map((_, j) => (i === j ? 1 : 0)))

/** Element i, which is there. */
export function at<T>(list: ArrayLike<T>, i: number): T {
  return list[i] as T
}

/** M x: each row's products summed from left to right. */
export function matVec(m: Mat, x: Vec): Vec {
  return m.map((row) => {
    let s = 0
    for (let j = 0; j < row.length; j++) s += at(row, j) * at(x, j)
    return s
  })
}

export function matMul(a: Mat, b: Mat): Mat {
  const columns = transpose(b)
  return a.map((row) => matVec(columns, row))
}

export function transpose(m: Mat): Mat {
  return at(m, 0).map((_, j) => m.map((row) => at(row, j)))
}

export function matAdd(a: Mat, b: Mat): Mat {
  return a.map((row, i) => add(row, at(b, i)))
}

/** diag(d) M */
export function scaleRows(d: Vec, m: Mat): Mat {
  return m.map((row, i) => row.map((x) => x * at(d, i)))
}

/** All numbers of a nest of arrays. */
export function flat(nest: unknown): Vec {
  return (nest as unknown[]).flat(Number.POSITIVE_INFINITY) as Vec
}

/** The largest |a − b| of two nests of arrays of one shape; NaN if one is NaN or the lengths differ. */
export function apart(a: unknown, b: unknown): number {
  const [x, y] = [flat(a), flat(b)]
  if (x.length !== y.length || x.length === 0) return Number.NaN
  return x.reduce((worst, value, i) => Math.max(worst, Math.abs(value - at(y, i))), 0)
}

/** The same, relative to the largest |b|. */
export function apartRelative(a: unknown, b: unknown): number {
  return apart(a, b) / Math.max(...flat(b).map(Math.abs))
}

/** Numbers of a normal distribution from a seed: xorshift and Box–Muller. */
export class Draws {
  #state: number

  constructor(seed: number) {
    this.#state = (seed * 2654435761) >>> 0 || 1
  }

  uniform(): number {
    let x = this.#state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.#state = x >>> 0
    return (this.#state + 0.5) / 4294967296
  }

  vec(n: number, scale = 1): Vec {
    return Array.from(
      { length: n },
      () => scale * Math.sqrt(-2 * Math.log(this.uniform())) * Math.cos(2 * Math.PI * this.uniform()),
    )
  }

  mat(rows: number, columns: number, scale = 1): Mat {
    return Array.from({ length: rows }, () => this.vec(columns, scale))
  }
}
