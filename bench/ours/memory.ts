// engine/memory: growth of resident memory, in MB, after the first ten seconds of a minute of 10,000 temporaries of 64 KB per second.
// One in a hundred is read; nothing is disposed of, and there is no scope.
import { full } from 'quarterturn'
import { options, residentMegabytes, serve } from './common.js'

const PER_TURN = 100
const TURN_MS = 10
const FLOATS = 16_384
const SETTLE_MS = 10_000
const TOTAL_MS = 60_000

options()

async function measure(): Promise<number> {
  const begin = performance.now()
  let base: number | undefined
  let most = 0
  for (let turn = 0; ; turn++) {
    const elapsed = performance.now() - begin
    if (elapsed > TOTAL_MS) break
    if (elapsed > SETTLE_MS) {
      base ??= residentMegabytes()
      most = Math.max(most, residentMegabytes())
    }
    for (let i = 0; i < PER_TURN - 1; i++) full([FLOATS], i)
    await full([FLOATS], turn).data()
    const due = begin + (turn + 1) * TURN_MS
    const left = due - performance.now()
    if (left > 0) await new Promise((resolve) => setTimeout(resolve, left))
  }
  return most - (base ?? Number.NaN)
}

await serve({ measure })
