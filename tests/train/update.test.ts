// What becomes of gradients in fit: groups of batches are one batch, clipping is the Gradients' own, averages of weights are used, kept and resumed.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { data, grad, loadCheckpointFile, manualSeed, nn, optim, type Tensor, tensor, train } from 'quarterturn'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { adamW, digest, fit, loader, loss, Net, type Points } from './spiral.js'

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

type Options = Partial<train.FitOptions<Net, Points & { step: number }>>

/** A linear model in float64: what is equal on paper is equal to rounding. */
class Line extends nn.Module {
  map = new nn.Linear(3, 2, { dtype: 'float64' })
  forward(x: Tensor): Tensor {
    return this.map.forward(x)
  }
}
const rows = 72
const x = Array.from({ length: rows }, (_, i) => [Math.sin(i), Math.cos(2 * i), Math.sin(3 * i + 1)])
const y = x.map(([a = 0, b = 0, c = 0]) => [a - b, b + 2 * c])

async function line(batch: number, options: Partial<train.FitOptions<Line, { x: Tensor; y: Tensor }>>) {
  manualSeed(2)
  const model = new Line()
  const pairs = new data.Loader({ x, y }, { batch, dtypes: { x: 'float64', y: 'float64' } })
  await train.fit(model, pairs, {
    loss: (model, { x, y }) => model.forward(x).sub(y).square().mean(),
    optimizer: optim.sgd({ lr: 0.1, momentum: 0.9 }),
    progress: false,
    epochs: 2,
    ...options,
  })
  return [...(await model.map.weight.data()), ...(await (model.map.bias as Tensor).data())].map(Number)
}

function expectClose(got: readonly number[], expected: readonly number[]): void {
  expect(got.length).toBe(expected.length)
  for (const [i, value] of got.entries()) expect(Math.abs(value - (expected[i] as number))).toBeLessThan(1e-13)
}

test('accumulate: 4 batches of 8 are one batch of 32, with a last group that is smaller', async () => {
  // 72 rows: groups of 32, 32 and 8.
  expectClose(await line(8, { accumulate: 4 }), await line(32, {}))
})

test('a batch that is smaller than the others counts by its rows', async () => {
  // Batches of 20, 20, 20, 12 in one group: a plain mean of gradients would differ.
  expectClose(await line(20, { accumulate: 4 }), await line(72, {}))
})

test('a clipped group is clipped as the one batch would be', async () => {
  expectClose(await line(8, { accumulate: 4, clipNorm: 0.01 }), await line(32, { clipNorm: 0.01 }))
})

test('the optimizer steps once per group, also for the last one of an epoch; schedules go by its steps', async () => {
  const rates: number[] = []
  const options: Options = {
    accumulate: 4,
    optimizer: optim.adamW({
      lr: (step) => {
        rates.push(step)
        return 0.01
      },
    }),
  }
  await fit(new Net(), options)
  // 13 batches: groups of 4, 4, 4 and 1.
  expect(Math.max(...rates)).toBe(3)
})

test('a run that was stopped within a group of batches and resumed has the bits of one that was not', async () => {
  const options = (path: string): Options => ({ epochs: 2, accumulate: 4, checkpoints: path, ema: { decay: 0.9 } })
  manualSeed(1)
  const whole = new Net()
  const history = await fit(whole, options(folder()))
  for (const at of [1, 2, 4, 12, 13, 15]) {
    const path = folder()
    const stop = new AbortController()
    let steps = 0
    const counted: Options['loss'] = (model, batch) => {
      if (++steps === at) stop.abort()
      return loss(model, batch)
    }
    manualSeed(1)
    await expect(fit(new Net(), { ...options(path), loss: counted, signal: stop.signal })).rejects.toMatchObject({
      code: 'ERR_ABORTED',
    })
    manualSeed(99)
    const resumed = new Net()
    expect([at, await fit(resumed, { ...options(path), resume: 'auto' }, loader({ seed: 3 }))]).toEqual([at, history])
    expect([at, await digest(resumed)]).toEqual([at, await digest(whole)])
  }
})

test('clipValue is Gradients.clipByValue', async () => {
  const fitted = new Net()
  const looped = new Net()
  looped.loadStateDict(fitted.stateDict())
  const plain: Options['loss'] = (model, { x, y }) => nn.functional.crossEntropy(model.eval().forward(x), y)
  await fit(fitted, { loss: plain, clipValue: 0.01 })
  const optimizer = adamW(looped.parameters())
  looped.eval()
  for await (const { x, y } of loader()) {
    const value = nn.functional.crossEntropy(looped.forward(x), y)
    optimizer.step(grad(value, looped.parameters()).clipByValue(0.01))
  }
  expect(await digest(fitted)).toBe(await digest(looped))
})

test('ema: averages are validated, kept in checkpoints and left in the model; they equal optim.EMA by hand', async () => {
  const path = folder()
  const fitted = new Net()
  const looped = new Net()
  looped.loadStateDict(fitted.stateDict())
  const plain = (model: Net, { x, y }: Points) => nn.functional.crossEntropy(model.eval().forward(x), y)
  const seen: number[] = []
  const average = new optim.EMA(looped.parameters(), { decay: 0.9, warmup: true })
  const { epochs } = await fit(fitted, {
    loss: plain,
    ema: { decay: 0.9, warmup: true },
    validation: loader({ batch: 200 }),
    checkpoints: path,
    callbacks: { onEpochEnd: async () => void seen.push(...((await fitted.first.data()) as Float32Array)) },
  })
  const optimizer = adamW(looped.parameters())
  for await (const batch of loader()) {
    optimizer.step(grad(plain(looped, batch), looped.parameters()))
    average.update()
  }
  // Between epochs the model has the weights that are trained.
  expect(seen).toEqual([...((await looped.first.data()) as Float32Array)])
  average.copyTo()
  expect(await digest(fitted)).toBe(await digest(looped))
  for await (const batch of loader({ batch: 200 })) {
    expect(epochs[0]?.validationLoss).toBeCloseTo((await plain(looped, batch).item()) as number, 6)
  }
  const loaded = new Net()
  const file = await train.loadWeights(loaded, path)
  expect(await digest(loaded)).toBe(await digest(looped))
  const { tensors } = await loadCheckpointFile(file)
  expect([...tensors.keys()]).toContain('trained.first')
})

test('a resumed run goes on from its averages and from the weights behind them, and has the history of a whole one', async () => {
  const options = (path: string): Options => ({
    checkpoints: path,
    ema: { decay: 0.95 },
    validation: loader({ seed: 9 }),
    earlyStopping: { patience: 100, restoreBest: true },
  })
  manualSeed(1)
  const whole = new Net()
  const history = await fit(whole, { ...options(folder()), epochs: 4 })
  const path = folder()
  manualSeed(1)
  await fit(new Net(), { ...options(path), epochs: 2 })
  const resumed = new Net()
  expect(await fit(resumed, { ...options(path), epochs: 4, resume: 'auto' })).toEqual(history)
  expect(await digest(resumed)).toBe(await digest(whole))
})

test('a checkpoint without averages is not gone on from with ema, and nothing changes', async () => {
  const path = folder()
  await fit(new Net(), { checkpoints: path })
  const model = new Net()
  const before = await digest(model)
  const again = fit(model, { checkpoints: path, epochs: 2, resume: 'auto', ema: {} })
  await expect(again).rejects.toMatchObject({ code: 'ERR_CHECKPOINT', message: expect.stringContaining('average.0') })
  expect(await digest(model)).toBe(before)
})

test('a gradient that is not finite costs its whole group where steps are skipped', async () => {
  const model = new Net()
  const before = await digest(model)
  const bad: Options['loss'] = (net, batch) =>
    batch.step % 4 === 1 ? loss(net, batch).mul(tensor(Number.NaN)) : loss(net, batch)
  const { epochs } = await fit(model, { loss: bad, accumulate: 13, notFinite: 'skip' })
  expect(epochs[0]?.skipped).toBe(3)
  expect(await digest(model)).toBe(before)
})

test('options out of their domain are refused at once', async () => {
  const refused: [Options, string][] = [
    [{ accumulate: 0 }, 'accumulate'],
    [{ accumulate: 1.5 }, 'accumulate'],
    [{ accumulate: 'four' as never }, 'accumulate'],
    [{ clipValue: 0 }, 'clipValue'],
    [{ clipValue: Number.NaN }, 'clipValue'],
    [{ clipValue: 1, clipNorm: 1 }, 'clipValue'],
    [{ ema: { decay: 2 } }, 'decay'],
    [{ ema: 0.9 as never }, 'EMA'],
    [{ ema: null as never }, 'EMA'],
  ]
  for (const [options, name] of refused) {
    const model = new Net()
    await expect(fit(model, options)).rejects.toMatchObject({
      name: expect.stringMatching(/ArgumentError|OutOfRangeError/),
      message: expect.stringContaining(name),
    })
    // The model is free: a run that was refused does not have it.
    await fit(model, {})
  }
})
