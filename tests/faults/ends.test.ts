// Every way in which a run may end before its time, as docs/training.md tells them: what remains, and that it can be gone on from.
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { manualSeed, train } from 'quarterturn'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { runModule } from '../child.js'
import { digest, fit, loader, loss, Net, quiet } from '../train/spiral.js'

let root: string
let count = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'quarterturn-'))
})
afterAll(() => rm(root, { recursive: true }))
beforeEach(() => {
  manualSeed(1)
})
const folder = (): string => join(root, `run ${++count}`)

const EPOCHS = 40

/** Weights and history of a run that nothing interrupts. */
async function whole(): Promise<unknown[]> {
  manualSeed(1)
  const model = new Net()
  const { epochs } = await fit(model, { epochs: EPOCHS, validation: loader({ seed: 9 }) })
  return [await digest(model), epochs]
}

/** Goes on from what another end has left. */
async function goneOn(path: string): Promise<unknown[]> {
  expect((await readdir(path)).filter((name) => name.startsWith('checkpoint-')).length).toBeGreaterThan(0)
  manualSeed(99)
  const model = new Net()
  const options = { epochs: EPOCHS, validation: loader({ seed: 9 }), checkpoints: path, resume: 'auto' }
  const { epochs } = await fit(model, options)
  return [await digest(model), epochs]
}

const started = (path: string): train.TrainingRun =>
  train.start(new Net(), loader(), { ...quiet, epochs: EPOCHS, validation: loader({ seed: 9 }), checkpoints: path })

test('leaving the loop over events saves; the run can be gone on from', async () => {
  const path = folder()
  const run = started(path)
  for await (const event of run) if (event.type === 'epoch' && event.epoch === 3) break
  expect((await run.history).ended).toBe('stopped')
  expect(await goneOn(path)).toEqual(await whole())
})

test('a throw in the loop over events, and run.stop(), save as well', async () => {
  const [path, other] = [folder(), folder()]
  const run = started(path)
  const watching = (async () => {
    for await (const event of run) if (event.type === 'checkpoint') throw new Error('mine')
  })()
  await expect(watching).rejects.toThrow('mine')
  await run.history
  manualSeed(1)
  const second = started(other)
  setTimeout(() => second.stop(), 60)
  expect((await second.history).ended).toBe('stopped')
  const wanted = await whole()
  expect(await goneOn(path)).toEqual(wanted)
  expect(await goneOn(other)).toEqual(wanted)
})

test('an abort saves, wherever it comes', async () => {
  const wanted = await whole()
  // 13 batches of training, 13 of validation.
  for (const at of [2, 20, 27]) {
    const path = folder()
    manualSeed(1)
    const stop = new AbortController()
    let calls = 0
    const options: Parameters<typeof fit>[1] = {
      epochs: EPOCHS,
      validation: loader({ seed: 9 }),
      checkpoints: path,
      signal: stop.signal,
      loss: (model, batch) => {
        if (++calls === at) stop.abort()
        return loss(model, batch)
      },
    }
    await expect(fit(new Net(), options)).rejects.toMatchObject({ code: 'ERR_ABORTED' })
    expect([at, await goneOn(path)]).toEqual([at, wanted])
  }
})

test('a callback that throws saves; the run can be gone on from', async () => {
  const path = folder()
  const callbacks: train.Callbacks = {
    onEpochEnd: ({ epoch }) => {
      if (epoch === 4) throw new Error('mine')
    },
  }
  await expect(
    fit(new Net(), { epochs: EPOCHS, validation: loader({ seed: 9 }), checkpoints: path, callbacks }),
  ).rejects.toMatchObject({ code: 'ERR_CALLBACK' })
  expect(await goneOn(path)).toEqual(await whole())
})

/** A run in a process of its own, with `more` beside it; it prints what came of it. */
const program = (path: string, more = ''): string => `
  import { data, dropout, manualSeed, nn, optim, setThreads, train } from 'quarterturn'
  setThreads(1)
  manualSeed(1)
  class Net extends nn.Module {
    first = new nn.Linear(2, 64)
    second = new nn.Linear(64, 2)
    forward(x) { return this.second.forward(dropout(this.first.forward(x).tanh(), 0.2)) }
  }
  const x = Array.from({ length: 300 }, (_, i) => [Math.sin(i), Math.cos(3 * i)])
  const loader = new data.Loader({ x, y: x.map((_, i) => i % 2) }, { batch: 4, shuffle: true, seed: 3 })
  const fitting = train.fit(new Net(), loader, {
    loss: (model, { x, y }) => nn.functional.crossEntropy(model.forward(x), y), optimizer: optim.adamW({ lr: 1e-3 }),
    epochs: 12, seed: 5, progress: false, checkpoints: ${JSON.stringify(path)}, checkpointEvery: 40, resume: 'auto',
    callbacks: { onCheckpoint: ({ totalSteps }) => { if (totalSteps === 80) setTimeout(() => { ${more} }, 5) } },
  })
  console.log(JSON.stringify((await fitting).epochs))
`

test('process.exit, an uncaught throw and an unhandled rejection keep their exit codes; the last checkpoint stays', {
  timeout: 120_000,
}, async () => {
  const { stdout: wanted } = await runModule(program(folder()))
  expect(JSON.parse(wanted).length).toBe(12)
  const ends: [more: string, code: number][] = [
    ['process.exit(7)', 7],
    ["throw new Error('mine')", 1],
    ["Promise.reject(new Error('mine'))", 1],
  ]
  for (const [more, code] of ends) {
    const path = folder()
    expect(await runModule(program(path, more))).toMatchObject({ code, signal: null, stdout: '' })
    expect(await runModule(program(path))).toMatchObject({ code: 0, stdout: wanted, stderr: '' })
  }
})

test('a worker that is terminated takes its run along, and nothing else', async () => {
  const path = folder()
  const { code, stdout, stderr } = await runModule(`
    import { Worker } from 'node:worker_threads'
    import { existsSync, readdirSync } from 'node:fs'
    import { tensor } from 'quarterturn'
    const worker = new Worker(${JSON.stringify(program(path))}, { eval: true, execArgv: ['--input-type=module'] })
    worker.on('error', (error) => console.log(error))
    const path = ${JSON.stringify(path)}
    while (!(existsSync(path) && readdirSync(path).some((name) => name.endsWith('80.safetensors'))))
      await new Promise((go) => setTimeout(go, 2))
    await worker.terminate()
    console.log(await tensor([1, 2]).sum().item())
  `)
  expect([code, stdout, stderr]).toEqual([0, '3\n', ''])
})

test('nobody takes the events, or even the history: the run ends by itself, and so does the process', async () => {
  const { code, stdout, stderr } = await runModule(`
    import { data, nn, optim, train } from 'quarterturn'
    const loader = () => new data.Loader({ x: [[0.5, 2]], y: [0] }, { batch: 1 })
    const run = () => train.start(new nn.Linear(2, 2), loader(), {
      loss: (model, { x, y }) => nn.functional.crossEntropy(model.forward(x), y), optimizer: optim.sgd({ lr: 1e-3 }), epochs: 3,
      callbacks: { onEnd: () => console.log('end') },
    })
    run()
    const forgotten = run()[Symbol.asyncIterator]()
    await forgotten.next()
  `)
  expect([code, stdout, stderr]).toEqual([0, 'end\nend\n', ''])
})
