// engine/loop-delay: how late a 10 ms timer is while `fit` runs steps of half a second: 99th percentile over 20 s, in ms.
import { setTimeout as sleep } from 'node:timers/promises'
import { options, quantile, serve } from './common.js'
import { slowTraining } from './slow-training.js'

const PERIOD_MS = 10
const TOTAL_MS = 20_000

options()
const training = await slowTraining()

async function measure(): Promise<number> {
  const late: number[] = []
  await training.during(async () => {
    const end = performance.now() + TOTAL_MS
    while (performance.now() < end) {
      const begin = performance.now()
      await sleep(PERIOD_MS)
      late.push(performance.now() - begin - PERIOD_MS)
    }
  })
  return quantile(late, 0.99)
}

await serve({ about: `quarterturn, steps of ${Math.round(training.stepMs)} ms`, measure })
