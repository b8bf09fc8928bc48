// engine/await: the median time of an `await` of one operation, in µs.
import { ones } from 'quarterturn'
import { options, quantile, serve } from './common.js'

const AWAITS = 10_000

options()
const x = ones([1])

async function measure(): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < AWAITS; i++) {
    const begin = performance.now()
    await x.neg().item()
    times.push((performance.now() - begin) * 1000)
  }
  return quantile(times, 0.5)
}

await measure() // V8 compiles what is hot
await serve({ measure })
