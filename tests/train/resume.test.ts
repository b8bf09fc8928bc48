// Checkpoints: written when they should be, the last few kept, and a resumed run equals one that was never interrupted, bit for bit.
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { data, loadCheckpointFile, manualSeed, nn, type Tensor, tensor, train, Variable, zeros } from 'quarterturn'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { digest, fit, loader, loss, Net, type Points, quiet } from './spiral.js'

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
const names = async (path: string): Promise<string[]> =>
  (await readdir(path)).filter((name) => name.startsWith('checkpoint-')).sort()
const name = (step: number): string => `checkpoint-${String(step).padStart(9, '0')}.safetensors`
const hashOf = async (path: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex')

type Options = Partial<train.FitOptions<Net, Points & { step: number }>>

/** What every run here has: 13 steps per epoch, validation that is shuffled too, the best weights kept. */
const common = (path: string): Options => ({
  epochs: 3,
  checkpoints: path,
  keep: 100,
  validation: loader({ seed: 9 }),
  earlyStopping: { patience: 100, restoreBest: true },
})

/** Runs until step `at` of training or of validation, then stops as an abort does. */
async function interrupted(options: Options, at: number, training = true, batches = loader()): Promise<void> {
  manualSeed(1)
  const stop = new AbortController()
  let step = 0
  const counted: Options['loss'] = (model, batch) => {
    if (model.training === training && ++step === at) stop.abort(new Error('enough'))
    return loss(model, batch)
  }
  await expect(fit(new Net(), { ...options, loss: counted, signal: stop.signal }, batches)).rejects.toMatchObject({
    code: 'ERR_ABORTED',
  })
}

test('a checkpoint after each epoch and after every so many steps; the last ones are kept', async () => {
  const path = folder()
  const seen: string[] = []
  const options: Options = {
    epochs: 3,
    checkpoints: path,
    checkpointEvery: 5,
    callbacks: { onCheckpoint: ({ path }) => void seen.push(path.split('/').at(-1) as string) },
  }
  await fit(new Net(), options)
  expect(seen).toEqual([5, 10, 13, 15, 20, 25, 26, 30, 35, 39].map(name))
  expect(await names(path)).toEqual([30, 35, 39].map(name))
})

test('a run that was stopped at any step and resumed has the file, weights and history of one that was not', async () => {
  const whole = folder()
  const reference = new Net()
  const history = await fit(reference, common(whole))
  for (const at of [1, 6, 12, 13, 14, 26, 27, 38]) {
    const path = folder()
    await interrupted(common(path), at)
    manualSeed(99) // what the new process has of its own must not matter
    const model = new Net()
    const resumed = await fit(model, { ...common(path), seed: 1234, resume: 'auto' }, loader({ seed: 77 }))
    expect([at, resumed]).toEqual([at, history])
    expect([at, await digest(model)]).toEqual([at, await digest(reference)])
    expect([at, await hashOf(join(path, name(39)))]).toEqual([at, await hashOf(join(whole, name(39)))])
  }
})

test('a run that was stopped while validating validates again, and trains on no batch twice', async () => {
  const whole = folder()
  const history = await fit(new Net(), common(whole))
  for (const at of [1, 5, 13, 14, 39]) {
    const path = folder()
    await interrupted(common(path), at, false)
    expect([at, await fit(new Net(), { ...common(path), resume: 'auto' })]).toEqual([at, history])
    expect([at, await hashOf(join(path, name(39)))]).toEqual([at, await hashOf(join(whole, name(39)))])
  }
  const batches: (Points & { step: number })[] = []
  for await (const batch of loader({ shuffle: false })) batches.push(batch)
  const stateless = async (path: string, at?: number) => {
    const run = { checkpoints: path, epochs: 2, validation: batches, resume: 'auto' }
    if (at !== undefined) await interrupted(run, at, false, batches as never)
    return fit(new Net(), run, batches as never)
  }
  manualSeed(1)
  expect(await stateless(folder())).toEqual(await stateless(folder(), 3))
})

test('any checkpoint of a run can be gone on from, in a folder of its own', async () => {
  const whole = folder()
  const history = await fit(new Net(), { ...common(whole), checkpointEvery: 4 })
  for (const step of [4, 12, 13, 16, 36]) {
    const path = folder()
    expect(await fit(new Net(), { ...common(path), checkpointEvery: 4, resume: join(whole, name(step)) })).toEqual(
      history,
    )
    expect(await hashOf(join(path, name(39)))).toBe(await hashOf(join(whole, name(39))))
  }
})

test('data without a state are passed over up to where they were', async () => {
  const batches: (Points & { step: number })[] = []
  for await (const batch of loader({ shuffle: false })) batches.push(batch)
  const run = (model: Net, options: Options) => train.fit(model, batches, { ...quiet, epochs: 2, ...options })
  const reference = new Net()
  const start = reference.stateDict()
  await run(reference, {})
  const path = folder()
  const stop = new AbortController()
  const model = new Net()
  model.loadStateDict(start)
  let steps = 0
  const counting: Options['loss'] = (net, batch) => {
    if (++steps === 18) stop.abort()
    return loss(net, batch)
  }
  await expect(run(model, { checkpoints: path, loss: counting, signal: stop.signal })).rejects.toMatchObject({
    code: 'ERR_ABORTED',
  })
  const resumed = new Net()
  await run(resumed, { checkpoints: path, resume: 'auto' })
  expect(await digest(resumed)).toBe(await digest(reference))
})

test('a finished run that is resumed ends at once with its history; more epochs go on', async () => {
  const path = folder()
  const first = new Net()
  const history = await fit(first, common(path))
  const again = new Net()
  expect(await fit(again, { ...common(path), resume: 'auto' })).toEqual(history)
  expect(await digest(again)).toBe(await digest(first))
  const more = await fit(new Net(), { ...common(path), epochs: 5, resume: 'auto' })
  expect(more.epochs.slice(0, 3)).toEqual(history.epochs)
  manualSeed(1)
  expect(more.epochs).toEqual((await fit(new Net(), { ...common(folder()), epochs: 5 })).epochs)
})

test('resume: auto starts where there is nothing; without it a folder in use is refused', async () => {
  const path = folder()
  const options = { epochs: 1, checkpoints: path }
  await fit(new Net(), { ...options, resume: 'auto' })
  await expect(fit(new Net(), options)).rejects.toMatchObject({
    code: 'ERR_CHECKPOINT',
    message: expect.stringContaining("resume: 'auto'"),
  })
  await expect(fit(new Net(), { resume: folder() })).rejects.toMatchObject({
    code: 'ERR_IO',
    message: expect.stringContaining('ENOENT'),
  })
  await expect(fit(new Net(), { resume: root })).rejects.toMatchObject({ code: 'ERR_CHECKPOINT' })
})

test('an older checkpoint is not gone on from among the newer ones', async () => {
  const path = folder()
  await fit(new Net(), { epochs: 2, checkpoints: path })
  await expect(fit(new Net(), { epochs: 2, checkpoints: path, resume: join(path, name(13)) })).rejects.toMatchObject({
    code: 'ERR_CHECKPOINT',
    message: expect.stringContaining('beyond'),
  })
})

test('a checkpoint of another model or other data changes nothing', async () => {
  class Wider extends Net {
    extra = new Variable(zeros([3]))
  }
  const path = folder()
  await fit(new Net(), { epochs: 1, checkpoints: path })
  const model = new Wider()
  const before = await digest(model)
  const batches = loader()
  await expect(fit(model, { epochs: 2, checkpoints: path, resume: 'auto' }, batches)).rejects.toMatchObject({
    code: 'ERR_CHECKPOINT',
    message: expect.stringContaining('extra'),
  })
  expect(await digest(model)).toBe(before)
  expect(batches.state()).toEqual(loader().state())
  await expect(
    fit(new Net(), { epochs: 2, checkpoints: path, resume: 'auto' }, loader({ batch: 20 })),
  ).rejects.toMatchObject({ code: 'ERR_CHECKPOINT' })
})

test('the weights in a checkpoint load by their own keys', async () => {
  const path = folder()
  const model = new Net()
  await fit(model, { epochs: 1, checkpoints: path })
  const { tensors, metadata } = await loadCheckpointFile(join(path, name(13)))
  const weights = new Map(
    [...tensors]
      .filter(([key]) => key.startsWith('model.'))
      .map(([key, value]): [string, Tensor] => [key.slice(6), value]),
  )
  const other = new Net()
  other.loadStateDict(weights)
  expect(await digest(other)).toBe(await digest(model))
  expect(JSON.parse(metadata.run as string)).toMatchObject({ step: 13, position: 0, data: { epoch: 1, position: 0 } })
})

test('buffers and modules within modules are part of a checkpoint', async () => {
  class Counting extends Net {
    parts = { calls: new nn.Buffer(zeros([])) }
    override forward(x: Tensor): Tensor {
      if (this.training) this.parts.calls.assign(this.parts.calls.add(1))
      return super.forward(x)
    }
  }
  const path = folder()
  const counted = { epochs: 1, checkpoints: path, resume: 'auto' }
  await fit(new Counting(), counted)
  const model = new Counting()
  await fit(model, { ...counted, epochs: 2 })
  expect(await model.parts.calls.item()).toBe(26)
})

test('an epoch whose loss is not a number is the same after resuming', async () => {
  const path = folder()
  const infinite: Options['loss'] = (model, batch) => {
    return model.training ? loss(model, batch) : tensor(batch.step === 0 ? Number.NaN : 1)
  }
  const options = { checkpoints: path, validation: loader({ batch: 200 }), loss: infinite }
  const { epochs } = await fit(new Net(), { ...options, epochs: 1 })
  expect(epochs[0]!.validationLoss).toBeNaN()
  expect((await fit(new Net(), { ...options, epochs: 2, resume: 'auto' })).epochs[0]).toEqual(epochs[0])
})

test('a run leaves its loader at the start of the next epoch', async () => {
  const batches = new data.Loader(
    {
      x: [
        [0.5, 2],
        [3, 4],
      ],
      y: [0, 1],
    },
    { batch: 1, shuffle: true, seed: 1 },
  )
  await fit(new Net(), {}, batches as never)
  expect(batches.state()).toMatchObject({ epoch: 1, position: 0 })
})
