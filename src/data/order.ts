// The order in which a loader visits its rows: shuffled, cut into batches, bucketed by length. Pure functions of a generator's counters.
import type { Generator } from '../tensor/random.js'

/** Sequences are sorted by length within pools of this many batches, so that batches differ from epoch to epoch. */
const BATCHES_PER_POOL = 100

/** The batches of one epoch: `rows` in order, batch k being `rows[starts[k]] … rows[starts[k + 1] - 1]`. */
export interface Order {
  readonly rows: Int32Array
  readonly starts: Int32Array
}

export interface OrderOptions {
  rows: number
  batch: number
  dropLast: boolean
  /** Draws the shuffle; absent for the order of the rows. */
  generator?: Generator | undefined
  /** Lengths that rows are bucketed by, the most important first: a batch holds rows of near-equal lengths. */
  keys?: readonly Int32Array[] | undefined
}

export function makeOrder({ rows: n, batch, dropLast, generator, keys }: OrderOptions): Order {
  const rows = Int32Array.from({ length: n }, (_, i) => i)
  if (generator !== undefined) shuffle(rows, generator)
  if (keys !== undefined) sortPools(rows, keys, generator === undefined ? n : batch * BATCHES_PER_POOL)
  const count = batches(n, batch, dropLast)
  const starts = Int32Array.from({ length: count + 1 }, (_, k) => Math.min(k * batch, n))
  return keys === undefined || generator === undefined ? { rows, starts } : shuffleBatches(rows, starts, generator)
}

/** The number of batches of an epoch. */
export function batches(rows: number, batch: number, dropLast: boolean): number {
  return dropLast ? Math.floor(rows / batch) : Math.ceil(rows / batch)
}

/** Sorts each pool of rows by the keys, the first one first; equal rows keep their order. */
function sortPools(rows: Int32Array, keys: readonly Int32Array[], pool: number): void {
  for (let start = 0; start < rows.length; start += pool) {
    for (const key of [...keys].reverse()) countingSort(rows.subarray(start, start + pool), key)
  }
}

/** Stable, in time linear in the number of rows and the largest key. */
function countingSort(rows: Int32Array, key: Int32Array): void {
  let largest = 0
  for (const row of rows) largest = Math.max(largest, key[row] as number)
  const next = new Int32Array(largest + 2)
  for (const row of rows) next[(key[row] as number) + 1]!++
  for (let k = 1; k < next.length; k++) next[k]! += next[k - 1] as number
  const sorted = new Int32Array(rows.length)
  for (const row of rows) sorted[next[key[row] as number]!++] = row
  rows.set(sorted)
}

/** The same batches in random order. */
function shuffleBatches(rows: Int32Array, starts: Int32Array, generator: Generator): Order {
  const order = Int32Array.from({ length: starts.length - 1 }, (_, k) => k)
  shuffle(order, generator)
  const shuffled = new Int32Array(rows.length)
  const cuts = new Int32Array(starts.length)
  let at = 0
  order.forEach((from, k) => {
    const batch = rows.subarray(starts[from] as number, starts[from + 1] as number)
    shuffled.set(batch, at)
    at += batch.length
    cuts[k + 1] = at
  })
  return { rows: shuffled, starts: cuts }
}

/** Fisher–Yates: every order is equally likely (up to 2⁻³² per choice). */
export function shuffle(items: Int32Array, generator: Generator): void {
  const { keyLow, keyHigh, offset } = generator.draw(items.length)
  const block = new Uint32Array(4)
  for (let i = items.length - 1; i > 0; i--) {
    const word = (items.length - 1 - i) & 3
    if (word === 0) philox(block, keyLow, keyHigh, offset + items.length - 1 - i)
    const other = Math.floor(((block[word] as number) * (i + 1)) / 2 ** 32)
    const item = items[i] as number
    items[i] = items[other] as number
    items[other] = item
  }
}

/** One block of Philox 4×32-10 (Salmon et al. 2011, figure 2) at a 64-bit counter. */
export function philox(out: Uint32Array, keyLow: number, keyHigh: number, counter: number): void {
  let c0 = counter | 0
  let c1 = Math.floor(counter / 2 ** 32) | 0
  let c2 = 0
  let c3 = 0
  let k0 = keyLow | 0
  let k1 = keyHigh | 0
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(0xd251, 0x1f53, c0)
    const high1 = mulHigh(0xcd9e, 0x8d57, c2)
    const low0 = Math.imul(0xd2511f53, c0)
    const low1 = Math.imul(0xcd9e8d57, c2)
    c0 = high1 ^ c1 ^ k0
    c1 = low1
    c2 = high0 ^ c3 ^ k1
    c3 = low0
    k0 = (k0 + 0x9e3779b9) | 0
    k1 = (k1 + 0xbb67ae85) | 0
  }
  out[0] = c0
  out[1] = c1
  out[2] = c2
  out[3] = c3
}

/** The upper 32 bits of a · b for unsigned 32-bit numbers, the first one given in halves; every partial sum stays below 2³². */
function mulHigh(aHigh: number, aLow: number, b: number): number {
  const bHigh = b >>> 16
  const bLow = b & 0xffff
  const middle = (Math.imul(aHigh, bLow) >>> 0) + (Math.imul(aLow, bLow) >>> 16)
  const low = (Math.imul(aLow, bHigh) >>> 0) + (middle & 0xffff)
  return (Math.imul(aHigh, bHigh) + (middle >>> 16) + (low >>> 16)) | 0
}
