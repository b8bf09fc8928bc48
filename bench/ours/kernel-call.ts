// Our side of kernels/call: the median time, in µs, of one LSTM layer without gradients and the await of its last state. 128x1x128.
import { nn, noGrad, scope } from 'quarterturn'
import { options, quantile, serve, spread } from './common.js'

const [T, B, H] = [128, 1, 128]
const CALLS = 1000

options()
const x = spread([B, T, H], 1, 1)
const weights = {
  weightIh: spread([4 * H, H], 2, 0.05),
  weightHh: spread([4 * H, H], 3, 0.05),
  biasIh: spread([4 * H], 4, 0.05),
  biasHh: spread([4 * H], 5, 0.05),
}

async function call(): Promise<void> {
  using h = scope(() => noGrad(() => nn.functional.lstm(x, undefined, weights).state.h))
  await h.data()
}

async function measure(): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < CALLS; i++) {
    const begin = performance.now()
    await call()
    times.push((performance.now() - begin) * 1000)
  }
  return quantile(times, 0.5)
}

for (let i = 0; i < CALLS / 10; i++) await call() // V8 compiles what is hot, the kernel packs its weights
await serve({ measure })
