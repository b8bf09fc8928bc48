// The process of one contender: loads it, and answers what process.ts asks.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { type Checked, type Contender, type Finished, type Model, type Ran, type Request, Unable } from './contender.js'
import { loadContender } from './contenders/load.js'
import { batchOf, type Spec } from './spec.js'
import { makeTask } from './task.js'

const CHECKED_STEPS = 4
/** Of the mean loss: 0.95 of what it was and 0.05 of the new loss. */
const KEPT = 0.95

let contender: Contender
let model: Model
let spec: Spec

async function answer(request: Request): Promise<object> {
  switch (request.do) {
    case 'load':
      contender = await loadContender(request)
      return { about: contender.about }
    case 'open':
      spec = request.spec
      model = await contender.open(spec)
      return { differs: model.differs, untrained: model.untrained }
    case 'check':
      return check()
    case 'run':
      return run(request.what, request.ms)
    case 'task':
      return task(request.target, request.ms)
  }
}

async function check(): Promise<Checked> {
  const { x, y } = batchOf(spec)
  const batch = model.batch(x, y)
  const output = Array.from(await model.predict(batch))
  const losses: number[] = []
  if (model.step) for (let i = 0; i < CHECKED_STEPS; i++) losses.push(await model.step(batch))
  return { losses, output }
}

/** Steps for about so long, one at least. After each the event loop turns once, as it would between two requests of a server. */
async function run(what: 'train' | 'infer', ms: number): Promise<Ran> {
  const { x, y } = batchOf(spec)
  const batch = model.batch(x, y)
  const { step } = model
  if (what === 'train' && step === undefined) throw new Unable(model.untrained ?? 'it does not train')
  const call = what === 'train' && step ? () => step(batch) : () => model.predict(batch)
  const delay = await watch()
  let steps = 0
  const begin = performance.now()
  let now = begin
  do {
    await call()
    await turn()
    steps++
    now = performance.now()
  } while (now - begin < ms)
  return { ms: (now - begin) / steps, steps, delay: await delay() }
}

/** Trains on the real task until the mean loss is at the target, or the time is up. */
async function task(target: number, ms: number): Promise<Finished> {
  const { step } = model
  if (step === undefined) throw new Unable(model.untrained ?? 'it does not train')
  const batches = makeTask().batches.map(({ x, y }) => model.batch(x, y))
  const curve: [number, number][] = []
  const delay = await watch()
  let mean = Number.NaN
  let steps = 0
  const begin = performance.now()
  let elapsed = 0
  while (elapsed < ms && !(mean <= target)) {
    const loss = await step(batches[steps % batches.length])
    await turn()
    steps++
    mean = steps === 1 ? loss : KEPT * mean + (1 - KEPT) * loss
    elapsed = performance.now() - begin
    curve.push([elapsed / 1000, mean])
    if (!Number.isFinite(mean)) break
  }
  const every = Math.ceil(curve.length / 60)
  const thinned = curve.filter((_, i) => i % every === 0 || i === curve.length - 1)
  return { reached: mean <= target, seconds: elapsed / 1000, steps, loss: mean, delay: await delay(), curve: thinned }
}

/** Watches the event loop; the function tells how late it was since, p99 in ms. A new monitor each time: an old one would count the pause between. */
async function watch(): Promise<() => Promise<number>> {
  const monitor = monitorEventLoopDelay({ resolution: 1 })
  monitor.enable()
  await sleep(3) // its first tick
  return async () => {
    await sleep(3) // its last tick, however late
    monitor.disable()
    // A sample is the time between two ticks, which are 1 ms apart where nothing is late.
    return Math.max(0, monitor.percentile(99) / 1e6 - 1)
  }
}

process.on('message', (request: Request) => {
  answer(request).then(
    (ok) => process.send?.({ ok }),
    (error: unknown) => {
      const text = error instanceof Error ? error.message : String(error)
      process.send?.(error instanceof Unable ? { unable: text } : { error: text })
    },
  )
})
// Without its parent nobody needs it.
process.on('disconnect', () => process.exit(0))
