// The matrix product, which is nearly all of the time, and what goes around it. Everything is row by row and contiguous.

import type { Parameter } from './parameter.js'
import { scratch } from './workspace.js'

/** Elements of b that stay in the first-level cache while all rows of a go past: 16 KB. */
const BLOCK = 4096

/**
 * c += a·bᵀ: a [m, k], b [n, k], c [m, n].
 *
 * Sums of a row are taken in float64 registers, eight at a time (2 rows × 4 columns): six loads for eight products, and nothing is stored
 * within the loop. Loops that go along c instead load and store it for every product, and take 1.5 to 2 times as long.
 */
export function addProduct(c: Float32Array, a: Float32Array, b: Float32Array, m: number, n: number, k: number): void {
  const columns = Math.max(4, Math.floor(BLOCK / Math.max(1, k)) & ~3)
  for (let from = 0; from < n; from += columns) {
    const to = Math.min(n, from + columns)
    let i = 0
    for (; i + 1 < m; i += 2) twoRows(c, a, b, i, from, to, n, k)
    if (i < m) oneRow(c, a, b, i, from, to, n, k)
  }
}

function twoRows(
  c: Float32Array,
  a: Float32Array,
  b: Float32Array,
  i: number,
  from: number,
  to: number,
  n: number,
  k: number,
): void {
  const a0 = i * k
  const a1 = a0 + k
  const c0 = i * n
  const c1 = c0 + n
  let j = from
  for (; j + 3 < to; j += 4) {
    const b0 = j * k
    const b1 = b0 + k
    const b2 = b1 + k
    const b3 = b2 + k
    let s00 = 0
    let s01 = 0
    let s02 = 0
    let s03 = 0
    let s10 = 0
    let s11 = 0
    let s12 = 0
    let s13 = 0
    for (let l = 0; l < k; l++) {
      const x = a[a0 + l] as number
      const y = a[a1 + l] as number
      const p = b[b0 + l] as number
      const q = b[b1 + l] as number
      const r = b[b2 + l] as number
      const s = b[b3 + l] as number
      s00 += x * p
      s01 += x * q
      s02 += x * r
      s03 += x * s
      s10 += y * p
      s11 += y * q
      s12 += y * r
      s13 += y * s
    }
    const u = c0 + j
    const v = c1 + j
    c[u] = (c[u] as number) + s00
    c[u + 1] = (c[u + 1] as number) + s01
    c[u + 2] = (c[u + 2] as number) + s02
    c[u + 3] = (c[u + 3] as number) + s03
    c[v] = (c[v] as number) + s10
    c[v + 1] = (c[v + 1] as number) + s11
    c[v + 2] = (c[v + 2] as number) + s12
    c[v + 3] = (c[v + 3] as number) + s13
  }
  for (; j < to; j++) {
    c[c0 + j] = (c[c0 + j] as number) + dot(a, a0, b, j * k, k)
    c[c1 + j] = (c[c1 + j] as number) + dot(a, a1, b, j * k, k)
  }
}

/** The last of an odd number of rows, and all of a batch of one. */
function oneRow(
  c: Float32Array,
  a: Float32Array,
  b: Float32Array,
  i: number,
  from: number,
  to: number,
  n: number,
  k: number,
): void {
  const a0 = i * k
  const c0 = i * n
  let j = from
  for (; j + 3 < to; j += 4) {
    const b0 = j * k
    const b1 = b0 + k
    const b2 = b1 + k
    const b3 = b2 + k
    let s0 = 0
    let s1 = 0
    let s2 = 0
    let s3 = 0
    for (let l = 0; l < k; l++) {
      const x = a[a0 + l] as number
      s0 += x * (b[b0 + l] as number)
      s1 += x * (b[b1 + l] as number)
      s2 += x * (b[b2 + l] as number)
      s3 += x * (b[b3 + l] as number)
    }
    const u = c0 + j
    c[u] = (c[u] as number) + s0
    c[u + 1] = (c[u + 1] as number) + s1
    c[u + 2] = (c[u + 2] as number) + s2
    c[u + 3] = (c[u + 3] as number) + s3
  }
  for (; j < to; j++) c[c0 + j] = (c[c0 + j] as number) + dot(a, a0, b, j * k, k)
}

function dot(a: Float32Array, at: number, b: Float32Array, from: number, k: number): number {
  let sum = 0
  for (let l = 0; l < k; l++) sum += (a[at + l] as number) * (b[from + l] as number)
  return sum
}

/** out [columns, rows] = aᵀ for a [rows, columns], eight rows at a time, so that what is written is contiguous too. */
export function transpose(out: Float32Array, a: Float32Array, rows: number, columns: number): void {
  let i = 0
  for (; i + 7 < rows; i += 8) {
    for (let j = 0; j < columns; j++) {
      const at = j * rows + i
      for (let l = 0; l < 8; l++) out[at + l] = a[(i + l) * columns + j] as number
    }
  }
  for (; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = a[i * columns + j] as number
}

/** Each of the rows of y [rows, n] becomes the bias [n], absent: zeros. */
export function fillRows(y: Float32Array, bias: Float32Array | undefined, rows: number, n: number): void {
  if (bias === undefined) y.fill(0, 0, rows * n)
  else for (let row = 0; row < rows; row++) y.set(bias, row * n)
}

/** y = x·Wᵀ + b: x [rows, k], W [n, k], b [n] (absent: zeros), y [rows, n]. */
export function affine(
  y: Float32Array,
  x: Float32Array,
  weight: Float32Array,
  bias: Float32Array | undefined,
  rows: number,
  n: number,
  k: number,
): void {
  fillRows(y, bias, rows, n)
  addProduct(y, x, weight, rows, n, k)
}

/** The gradients of `affine` for its parameters, added to what they have: dW += dyᵀ·x, db += Σ dy. */
export function affineGradients(
  dy: Float32Array,
  x: Float32Array,
  weight: Float32Array,
  bias: Float32Array | undefined,
  rows: number,
  n: number,
  k: number,
): void {
  const dyT = scratch.left.room(n * rows)
  const xT = scratch.right.room(k * rows)
  transpose(dyT, dy, rows, n)
  transpose(xT, x, rows, k)
  addProduct(weight, dyT, xT, n, k, rows)
  if (bias === undefined) return
  for (let j = 0; j < n; j++) {
    let sum = 0
    for (let row = j * rows; row < (j + 1) * rows; row++) sum += dyT[row] as number
    bias[j] = (bias[j] as number) + sum
  }
}

/** The gradient of `affine` for its input, added to dx [rows, k]: dx += dy·W. */
export function addInputGradient(
  dx: Float32Array,
  dy: Float32Array,
  weight: Float32Array,
  rows: number,
  n: number,
  k: number,
): void {
  const weightT = scratch.left.room(n * k)
  transpose(weightT, weight, n, k)
  addProduct(dx, dy, weightT, rows, k, n)
}

/** `affine` by parameters. */
export function affineOf(
  y: Float32Array,
  x: Float32Array,
  weight: Parameter,
  bias: Parameter | undefined,
  rows: number,
): void {
  const [n, k] = weight.shape as [number, number]
  affine(y, x, weight.data, bias?.data, rows, n, k)
}

/** `affineGradients` and `addInputGradient` by parameters; dx must hold zeros, or what is to be added to, and is not computed where absent. */
export function affineBackward(
  dx: Float32Array | undefined,
  dy: Float32Array,
  x: Float32Array,
  weight: Parameter,
  bias: Parameter | undefined,
  rows: number,
): void {
  const [n, k] = weight.shape as [number, number]
  affineGradients(dy, x, weight.grad, bias?.grad, rows, n, k)
  if (dx !== undefined) addInputGradient(dx, dy, weight.data, rows, n, k)
}
