// Trials: a rate that trains, a model that can or cannot learn one batch; model, data and mode are as before.
import { manualSeed, memory, nn, optim, type Tensor, train } from 'quarterturn'
import { beforeEach, expect, test } from 'vitest'
import { adamW, digest, fit, loader, loss, Net, type Points, quiet } from './spiral.js'

beforeEach(() => {
  manualSeed(1)
})

test('findLearningRate sweeps evenly on a logarithmic scale, and its suggestion trains better than its ends', async () => {
  const model = new Net()
  const before = await digest(model)
  const batches = loader()
  const state = batches.state()
  const sgd = { loss, optimizer: optim.sgd({ lr: 1 }), seed: 3 }
  const { suggestion, points } = await train.findLearningRate(model, batches, {
    ...sgd,
    from: 1e-5,
    to: 100,
    steps: 80,
  })
  expect(await digest(model)).toBe(before)
  expect([batches.state(), model.training]).toEqual([state, true])
  expect(points[0]!.lr).toBe(1e-5)
  for (const [i, { lr }] of points.entries()) expect(lr / (1e-5 * 1e7 ** (i / 79))).toBeCloseTo(1, 12)
  expect(suggestion).toBeGreaterThan(1e-4)
  expect(suggestion).toBeLessThan(30)
  const trained = async (lr: number): Promise<number> => {
    const copy = new Net()
    copy.loadStateDict(model.stateDict())
    return (await fit(copy, { epochs: 3, optimizer: optim.sgd({ lr }) })).epochs.at(-1)!.loss
  }
  const [good, small, large] = [await trained(suggestion as number), await trained(1e-5), await trained(100)]
  expect(good).toBeLessThan(small)
  expect(good).toBeLessThan(large)
})

test('findLearningRate ends where the loss diverges, or is not finite', async () => {
  const square = (net: Net, { x }: Points): Tensor => net.forward(x).square().mean()
  const options = { loss: square, optimizer: optim.sgd({ lr: 1 }), from: 1e-3, to: 1e9, steps: 60 }
  const { points } = await train.findLearningRate(new Net(), loader(), options)
  expect(points.length).toBeGreaterThan(5)
  expect(points.length).toBeLessThan(60)
  const lowest = Math.min(...points.map(({ smooth }) => smooth))
  for (const { smooth } of points) expect(smooth).toBeLessThanOrEqual(4 * lowest)
})

test('overfitOneBatch: a sound model learns it, one whose head is cut off does not', async () => {
  const model = new Net()
  const before = await digest(model)
  const batches = loader()
  const state = batches.state()
  const found = await train.overfitOneBatch(model, batches, { loss, optimizer: adamW, steps: 300, seed: 1 })
  expect([found.learned, found.losses.length]).toEqual([true, 300])
  expect(await digest(model)).toBe(before)
  expect(batches.state()).toEqual(state)
  class Cut extends Net {
    override forward(x: Tensor): Tensor {
      return super.forward(x).detach().add(this.firstBias.mean())
    }
  }
  const cut = await train.overfitOneBatch(new Cut(), loader(), { loss, optimizer: adamW, unused: 'zeros', steps: 100 })
  expect(cut.learned).toBe(false)
})

test('trials leave no tensors, and say what is wrong', async () => {
  const model = new Net()
  const optimizer = optim.sgd({ lr: 1e-3 })
  await train.findLearningRate(model, loader(), { loss, optimizer, steps: 20 })
  const batches = loader()
  const before = memory().tensors
  for (let i = 0; i < 3; i++) {
    await train.findLearningRate(model, batches, { loss, optimizer, steps: 20 })
    await train.overfitOneBatch(model, batches, { loss, optimizer, steps: 5 })
  }
  globalThis.gc?.()
  expect(memory().tensors - before).toBeLessThan(40)
  const rejects = (trial: Promise<unknown>, code: string) => expect(trial).rejects.toMatchObject({ code })
  await rejects(train.findLearningRate(model, loader(), { ...quiet, from: 1, to: 1 }), 'ERR_ARGUMENT')
  await rejects(train.findLearningRate(model, loader(), { ...quiet, steps: 3 }), 'ERR_ARGUMENT')
  await rejects(train.findLearningRate(model, loader(), {}), 'ERR_ARGUMENT')
  await rejects(train.findLearningRate(model, [], { loss, optimizer }), 'ERR_ARGUMENT')
  await rejects(train.overfitOneBatch(model, [], { loss, optimizer }), 'ERR_ARGUMENT')
  await rejects(train.findLearningRate(model, loader(), { loss: (() => 3) as never, optimizer }), 'ERR_ARGUMENT')
  const [copy, start] = [new Net(), model.stateDict()]
  copy.loadStateDict(start)
  const running = fit(model, { epochs: 3 })
  for (const trial of [train.findLearningRate, train.overfitOneBatch])
    await rejects(trial(model, batches, { loss, optimizer }), 'ERR_BUSY')
  await running
  await fit(copy, { epochs: 3 })
  expect(await digest(model)).toBe(await digest(copy))
  expect(
    await train.overfitOneBatch(new nn.Linear(2, 2), loader(), {
      loss: (m, { x, y }) => nn.functional.crossEntropy(m.forward(x), y),
      optimizer,
      steps: 2,
    }),
  ).toMatchObject({ learned: false })
})
