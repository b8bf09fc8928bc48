// What may steer a run: callbacks, the monitor, plateaus, the time limit, which checkpoints are kept.
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { manualSeed, optim, tensor, train } from 'quarterturn'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { digest, fit, loader, loss, Net, type Points } from './spiral.js'

type Options = Partial<train.FitOptions<Net, Points & { step: number }>>

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
const steps = async (path: string): Promise<number[]> =>
  (await readdir(path)).flatMap((name) => /^checkpoint-(\d+)/.exec(name)?.[1] ?? []).map(Number)

/** Training as usual, with the validation losses given. */
function validating(losses: readonly number[]): Options {
  let epoch = 0
  return {
    epochs: losses.length,
    validation: [{} as Points & { step: number }],
    loss: (net, batch) => (net.training ? loss(net, batch) : tensor(losses[epoch++] as number)),
  }
}

test('callbacks are told of the start, samples of steps, epochs, checkpoints and the end, in order', async () => {
  const told: string[] = []
  const note = (event: train.RunEvent): void => {
    if (event.type !== 'step') told.push(event.type)
  }
  const callbacks = { onStart: note, onStep: note, onEpochEnd: note, onCheckpoint: note, onEnd: note }
  const path = folder()
  await fit(new Net(), { epochs: 2, checkpoints: path, callbacks })
  expect(told).toEqual(['start', 'checkpoint', 'epoch', 'checkpoint', 'epoch', 'end'])
  const starts: train.StartEvent[] = []
  await fit(new Net(), {
    epochs: 3,
    checkpoints: path,
    resume: 'auto',
    callbacks: { onStart: (event) => void starts.push(event) },
  })
  expect(starts).toMatchObject([{ totalSteps: 26, resumed: join(path, 'checkpoint-000000026.safetensors') }])
  expect(starts[0]!.epochs.length).toBe(2)
})

test('a callback may change the rates of the optimizer', async () => {
  const model = new Net()
  const weights: string[] = []
  await fit(model, {
    epochs: 3,
    callbacks: {
      onEpochEnd: async (_, run) => {
        weights.push(await digest(model))
        run.optimizer.lr = 0
        for (const { options } of run.optimizer.groups) Object.assign(options, { weightDecay: 0 })
      },
    },
  })
  expect(new Set(weights).size).toBe(1)
})

test('a callback that throws leaves a checkpoint of what was done', async () => {
  const path = folder()
  const throwing = {
    onStep: () => {
      throw new Error('mine')
    },
  }
  await expect(
    fit(new Net(), { epochs: 100_000, checkpoints: path, callbacks: throwing, logs: false }),
  ).rejects.toMatchObject({ code: 'ERR_CALLBACK' })
  const [step] = (await steps(path)).slice(-1)
  expect(step).toBeGreaterThan(0)
  const epochs = Math.ceil((step as number) / 13) + 1
  const resumed = new Net()
  const history = await fit(resumed, { epochs, checkpoints: path, resume: 'auto' })
  manualSeed(1)
  const whole = new Net()
  expect(history).toEqual(await fit(whole, { epochs }))
  expect(await digest(resumed)).toBe(await digest(whole))
})

test('monitor: the best epoch, early stopping and the progress follow a metric that rises', async () => {
  const values = [1, 5, 4, 4.5, 3]
  let epoch = 0
  const { best, epochs, ended } = await fit(new Net(), {
    ...validating([5, 4, 3, 2, 1]),
    metrics: { score: () => tensor(values[epoch++] as number) },
    monitor: { metric: 'score', mode: 'max' },
    earlyStopping: { patience: 2 },
  })
  expect([best?.epoch, epochs.length, ended]).toEqual([2, 4, 'earlyStopping'])
  await expect(fit(new Net(), { monitor: { metric: 'score' } })).rejects.toMatchObject({
    code: 'ERR_ARGUMENT',
    message: expect.stringMatching(/monitor.*epoch, loss.*score/),
  })
})

const rates = (run: train.RunControl): unknown => run.optimizer.groups.map(({ options: { lr } }) => lr)

test('reduceOnPlateau lowers the rates once more than `patience` epochs bring no improvement', async () => {
  const seen: unknown[] = []
  await fit(new Net(), {
    ...validating([5, 4, 4, 4, 3.95, 4, 4, 4, 4, 4]),
    optimizer: optim.sgd({ lr: 1e-3 }),
    reduceOnPlateau: { patience: 1, factor: 0.5, threshold: 0.1, absolute: true, least: 4e-4 },
    callbacks: { onEpochEnd: (_, run) => void seen.push(rates(run)) },
  })
  expect(seen.flat()).toEqual([1e-3, 1e-3, 1e-3, 5e-4, 5e-4, 4e-4, 4e-4, 4e-4, 4e-4, 4e-4])
})

test('reduceOnPlateau watches what monitor names, and lowers each group from its own rate', async () => {
  const values = [1, 2, 2, 3]
  let epoch = 0
  const seen: unknown[] = []
  await fit(new Net(), {
    ...validating([4, 3, 2, 1]),
    metrics: { score: () => tensor(values[epoch++] as number) },
    monitor: { metric: 'score', mode: 'max' },
    optimizer: (parameters) => {
      const [first, ...rest] = parameters
      return new optim.SGD([
        { parameters: [first!], lr: 4 / 1024 },
        { parameters: rest, lr: 8 / 1024 },
      ])
    },
    reduceOnPlateau: { patience: 0, factor: 0.25 },
    callbacks: { onEpochEnd: (_, run) => void seen.push(rates(run)) },
  })
  const [before, after] = [
    [4 / 1024, 8 / 1024],
    [1 / 1024, 2 / 1024],
  ]
  expect(seen).toEqual([before, before, after, after])
})

test('a resumed run has the rates, the count of epochs and the weights of one that was not interrupted', async () => {
  const losses = [3, 3, 3, 2, 2, 2, 2, 2]
  for (const optimizer of [optim.sgd({ lr: 1e-2 }), optim.adamW({ lr: 1e-2 })]) {
    const run = async (path: string, epochs: number, from: number) => {
      manualSeed(1)
      const model = new Net()
      const reduceOnPlateau = { patience: 1, factor: 0.5 }
      const options = { ...validating(losses.slice(from)), epochs, optimizer, reduceOnPlateau }
      await fit(model, { ...options, checkpoints: path, resume: 'auto' })
      return digest(model)
    }
    const whole = await run(folder(), 8, 0)
    for (const at of [2, 3, 4, 6]) {
      const path = folder()
      await run(path, at, 0)
      expect([at, await run(path, 8, at)]).toEqual([at, whole])
    }
  }
})

test('timeLimit ends the run with a checkpoint, and a resumed run has the time anew', async () => {
  const path = folder()
  const options: Options = { epochs: 1e6, checkpoints: path, timeLimit: 0.2, resume: 'auto' }
  const first = await fit(new Net(), options)
  expect(first.ended).toBe('timeLimit')
  const [before] = (await steps(path)).slice(-1)
  const second = await fit(new Net(), options)
  expect(second.epochs.length).toBeGreaterThan(first.epochs.length)
  expect((await steps(path)).at(-1)).toBeGreaterThan(before as number)
})

test('keepBest: the checkpoints of the best epochs stay besides the newest ones, also over a resume', async () => {
  const path = folder()
  const losses = [5, 1, 4, 2, 3, 6, 7, 1.5]
  const seen: boolean[] = []
  const options = { checkpoints: path, keep: 1, keepBest: 2, resume: 'auto' }
  const callbacks: train.Callbacks = { onCheckpoint: ({ best }) => void seen.push(best) }
  await fit(new Net(), { ...validating(losses), ...options, epochs: 6, callbacks })
  expect(await steps(path)).toEqual([26, 52, 78])
  await fit(new Net(), { ...validating(losses.slice(6)), ...options, epochs: 8, callbacks })
  expect(await steps(path)).toEqual([26, 104])
  expect(seen).toEqual([true, true, false, false, false, false, false, false])
})

test('loadWeights: of the best epoch, the newest, or a file', async () => {
  const path = folder()
  const weights: string[] = []
  const model = new Net()
  const keeping = { onEpochEnd: async () => void weights.push(await digest(model)) }
  await fit(model, { ...validating([5, 1, 4, 2, 3]), checkpoints: path, keep: 2, keepBest: 2, callbacks: keeping })
  const loaded = async (...given: Parameters<typeof train.loadWeights> extends [unknown, ...infer R] ? R : never) => {
    const other = new Net()
    const from = await train.loadWeights(other, ...given)
    return [from.slice(path.length + 1), await digest(other)]
  }
  const file = (step: number) => `checkpoint-0000000${step}.safetensors`
  expect(await loaded(path)).toEqual([file(26), weights[1]])
  expect(await loaded(path, { which: 'newest' })).toEqual([file(65), weights[4]])
  expect(await loaded(join(path, file(52)))).toEqual([file(52), weights[3]])

  await rm(join(path, file(26)))
  const missing = { code: 'ERR_CHECKPOINT', message: expect.stringMatching(/best epoch, 2.*keepBest/) }
  await expect(train.loadWeights(new Net(), path)).rejects.toMatchObject(missing)
  await expect(train.loadWeights(new Net(), root)).rejects.toMatchObject({ code: 'ERR_CHECKPOINT' })
  await expect(train.loadWeights(new Net(), folder())).rejects.toMatchObject({ code: 'ERR_IO' })
})

test('loadWeights: the best weights that early stopping kept', async () => {
  const path = folder()
  const model = new Net()
  const earlyStopping = { patience: 9, restoreBest: true }
  await fit(model, { ...validating([5, 1, 4, 2, 3]), checkpoints: path, keep: 1, earlyStopping })
  const other = new Net()
  await train.loadWeights(other, path)
  expect(await digest(other)).toBe(await digest(model))
})

test('options that make no sense', async () => {
  const wrong: Record<string, unknown>[] = [
    { timeLimit: 0 },
    { timeLimit: Number.NaN },
    { keepBest: -1 },
    { monitor: {} },
    { monitor: { metric: 'loss', mode: 'up' } },
    { reduceOnPlateau: { patience: -1 } },
    { reduceOnPlateau: { factor: 1 } },
    { reduceOnPlateau: {}, optimizer: optim.sgd({ lr: () => 1e-3 }) },
    { logs: '' },
    { logs: true },
    { config: 1n },
  ]
  for (const options of wrong)
    expect([options, await fit(new Net(), options as Options).catch((error) => error.code)]).toEqual([
      options,
      'ERR_ARGUMENT',
    ])
  expect((await fit(new Net(), {}, loader())).ended).toBe('epochs')
})
