// engine/loop-delay: how late a 10 ms timer is while `fit` runs steps of half a second: 99th percentile over 20 s, in ms.
// engine/loop-delay-full, `part: 'full'`: the same with all cores at work, whatever number of threads was asked for; it fails where they were not.
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { setThreads } from 'quarterturn'
import { options, quantile, serve } from './common.js'
import { slowTraining } from './slow-training.js'

const PERIOD_MS = 10
const TOTAL_MS = 20_000
/** Of the time of all cores, what counts as full load: the rest is what an optimizer step and a turn of the loader leave free. */
const FULL = 0.8

const full = options().part === 'full'
const cores = availableParallelism()
if (full) setThreads(cores)
const training = await slowTraining()

async function measure(): Promise<number> {
  const late: number[] = []
  await training.during(async () => {
    const before = process.cpuUsage()
    const start = performance.now()
    const end = start + TOTAL_MS
    while (performance.now() < end) {
      const begin = performance.now()
      await sleep(PERIOD_MS)
      late.push(performance.now() - begin - PERIOD_MS)
    }
    const { user, system } = process.cpuUsage(before)
    const load = (user + system) / 1000 / (performance.now() - start) / cores
    if (full && load < FULL)
      throw new Error(
        `the training took ${(100 * load).toFixed(0)} % of ${cores} cores: this is no full load, or others are at work`,
      )
  })
  return quantile(late, 0.99)
}

await serve({ about: `quarterturn, steps of ${Math.round(training.stepMs)} ms`, measure })
