// Our side of data/loader: shuffled batches of windows over [rows, width] float32, one batch per step, whose sum is read.
import { data } from 'quarterturn'
import { hashed, options, serve } from './common.js'

interface Sizes {
  rows: number
  width: number
  past: number
  future: number
  batch: number
}

const { rows, width, past, future, batch } = options() as unknown as Sizes
const all = hashed(rows * width, 0, 1)
const columns = Array.from({ length: width }, (_, c): [string, Float32Array] => [
  `c${c}`,
  Float32Array.from({ length: rows }, (_, row) => all[row * width + c] as number),
])
const loader = data
  .windows(data.Table.of(Object.fromEntries(columns)), { past, future, batch, scale: 'none', seed: 1 })
  .loader()
let batches = loader[Symbol.asyncIterator]()

async function step(): Promise<number> {
  let next = await batches.next()
  if (next.done) {
    batches = loader[Symbol.asyncIterator]()
    next = await batches.next()
  }
  const { past: x, future: y } = next.value as data.Batch<{ past: data.Rows; future: data.Rows }>
  const sum = x.sum().add(y.sum())
  x.dispose()
  y.dispose()
  return (await sum.item()) as number
}

await serve({ step })
