// recipe2015 and what goes with it: rates by step, groups of decay, plain means of weights, statistics for them, parts of batches.
import { data, manualSeed, models, nn, normal, optim, type Tensor, tensor, train, Variable } from 'quarterturn'
import { describe, expect, it } from 'vitest'
import { numbersOf } from '../../parity/checkOp.js'
import { expectClose } from '../../tolerances.js'

const code = (name: string) => expect.objectContaining({ code: name })
const parameters = () => [new Variable(normal([2, 3])), new Variable(normal([3]))]
const rateOf = (recipe: models.Recipe2015): ((step: number) => number) => {
  const { lr } = recipe.optimizer(parameters())
  if (typeof lr !== 'function') throw new Error('the rate is no schedule')
  return lr
}

describe('recipe2015', () => {
  it('has the rates of the paper, and those of its warm-up', () => {
    const recipe = models.recipe2015({ length: 391 }, { warmup: 400 })
    const rate = rateOf(recipe)
    const at = [0, 399, 400, 31_999, 32_000, 47_999, 48_000, 63_999, 64_000]
    const expected = [0.01, 0.01, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001, 0]
    for (const [i, step] of at.entries()) expect(rate(step)).toBeCloseTo(expected[i] as number, 12)
    expect(recipe.epochs).toBe(Math.ceil(64_000 / 391))
    const [{ options }] = recipe.optimizer(parameters()).groups as unknown as [{ options: optim.SGDOptions }]
    expect([options.momentum, options.weightDecay, options.nesterov]).toEqual([0.9, 1e-4, false])
  })

  it('shortened, keeps its proportions; one cycle and cosine end near nothing', () => {
    const step = rateOf(models.recipe2015({ length: 10 }, { epochs: 4 }))
    expect([step(19), step(20), step(30)].map((x) => Math.round(x * 1e6))).toEqual([100_000, 10_000, 1000])
    for (const schedule of ['oneCycle', 'cosine'] as const) {
      const rate = rateOf(models.recipe2015({ length: 10 }, { epochs: 10, schedule, lr: 0.4 }))
      expect(Math.max(...Array.from({ length: 100 }, (_, i) => rate(i)))).toBeCloseTo(0.4, 6)
      expect(rate(99)).toBeLessThan(4e-4)
    }
  })

  it('counts steps of the optimizer where several batches make one', () => {
    const recipe = models.recipe2015({ length: 10 }, { epochs: 6, accumulate: 4 })
    const rate = rateOf(recipe)
    expect([recipe.epochs, recipe.accumulate]).toEqual([6, 4])
    // 3 steps an epoch, the last of 2 batches.
    expect([8, 9, 14, 17, 18].map((step) => Math.round(rate(step) * 1e6))).toEqual([100_000, 10_000, 1000, 1000, 0])
    const stopped: number[] = []
    const { onStep } = models.recipe2015({ length: 10 }, { steps: 5, accumulate: 4 }).callbacks
    for (let totalSteps = 1; totalSteps <= 20; totalSteps++)
      onStep?.({ totalSteps } as never, { stop: () => stopped.push(totalSteps) } as never)
    expect(stopped[0]).toBe(18)
  })

  it('stops at its last step, and spares norms and biases if asked', async () => {
    manualSeed(1)
    const model = new models.ResNet({ labels: ['a', 'b'], depth: 8, width: 2, channels: 1 })
    const images = { data: new Uint8Array(12 * 64).map((_, i) => (i * 37) % 200), shape: [12, 1, 8, 8] }
    const loader = model.loader({ images, labels: Array.from({ length: 12 }, (_, i) => i % 2) }, { batch: 4 })
    const recipe = models.recipe2015(loader, { steps: 3, accumulate: 2, decay: 'weights', schedule: 'cosine' })
    const groups = recipe
      .optimizer(model.parameters())
      .groups.map(({ options }) => (options as optim.SGDOptions).weightDecay)
    expect(groups).toEqual([1e-4, 0])
    const history = await train.fit(model, loader, {
      ...recipe,
      ema: { equal: true, after: 2 },
      progress: false,
    })
    expect(history.epochs.length).toBeLessThanOrEqual(2)
    expect(Number.isFinite(history.epochs[0]?.loss)).toBe(true)
  })

  it('refuses what does not fit', () => {
    const loader = { length: 10 }
    for (const options of [
      { steps: 5, epochs: 1 },
      { epochs: 0 },
      { schedule: 'square' },
      { decay: 'none' },
      { schedule: 'oneCycle', warmup: 5 },
    ])
      expect(() => models.recipe2015(loader, options as never)).toThrow(code('ERR_ARGUMENT'))
    expect(() => models.recipe2015(undefined as never)).toThrow(code('ERR_ARGUMENT'))
  })
})

describe('averages', () => {
  it('equal: the plain mean of what came after the first updates', async () => {
    const variable = new Variable(tensor([0], { dtype: 'float64' }))
    const average = new optim.EMA([variable], { equal: true, after: 2 })
    for (const value of [10, 20, 1, 2, 6]) {
      variable.assign(tensor([value], { dtype: 'float64' }))
      average.update()
    }
    expectClose(await numbersOf(average.use(() => variable.clone())), [3], 'float64', 'mean of 1, 2, 6')
    expect(() => new optim.EMA([variable], { after: -1 })).toThrow(code('ERR_ARGUMENT'))
  })

  it('refreshStatistics gives running statistics as the mean over batches, and leaves modes and momenta', async () => {
    manualSeed(3)
    const net = new nn.Sequential(new nn.BatchNorm1d(2), new nn.Dropout(0.5)).eval()
    const [norm] = net as unknown as [nn.BatchNorm1d]
    const batches = [normal([16, 2], 3, 2), normal([16, 2], -1, 1)]
    await train.refreshStatistics(net, batches, (model, x) => model.forward(x))
    const means = (await Promise.all(batches.map((x) => numbersOf(x.mean(0))))) as [number[], number[]]
    expectClose(
      await numbersOf(norm.runningMean as Tensor),
      [0, 1].map((i) => ((means[0][i] as number) + (means[1][i] as number)) / 2),
      'float32',
      'means',
    )
    const variances = (await Promise.all(batches.map((x) => numbersOf(x.variance(0))))) as [number[], number[]]
    expectClose(
      await numbersOf(norm.runningVar as Tensor),
      [0, 1].map((i) => ((variances[0][i] as number) + (variances[1][i] as number)) / 2),
      'float32',
      'variances',
    )
    expect([norm.momentum, norm.training, net.training]).toEqual([0.1, false, false])
    await expect(train.refreshStatistics(net, 3 as never, () => 0)).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  })

  it('refreshStatistics drops nothing at random, and is in force only while a batch is computed', async () => {
    manualSeed(3)
    const net = new nn.Sequential(new nn.Dropout(0.5), new nn.BatchNorm1d(2))
    const norm = net.modules().find((module) => module instanceof nn.BatchNorm1d) as nn.BatchNorm1d
    const x = normal([16, 2], 3, 2)
    const seen: unknown[] = []
    async function* batches() {
      for (let i = 0; i < 2; i++) {
        seen.push([norm.training, norm.momentum])
        yield x
      }
    }
    await train.refreshStatistics(net.train(), batches(), (model, input) => model.forward(input))
    expectClose(await numbersOf(norm.runningMean as Tensor), await numbersOf(x.mean(0)), 'float32', 'means')
    expect(net.modules().every(({ training }) => training)).toBe(true)
    await train.refreshStatistics(net.eval(), batches(), (model, input) => model.forward(input))
    expect(seen.slice(2)).toEqual([
      [false, 0.1],
      [false, 0.1],
    ])
    const later = train.refreshStatistics(net, [x], async (model, input) => model.forward(input))
    await expect(later).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  })

  it('decayGroups parts by axes, and leaves no empty group', () => {
    const [matrix, vector] = parameters() as [Variable, Variable]
    expect(optim.decayGroups([vector, matrix])).toEqual([
      { parameters: [matrix] },
      { parameters: [vector], weightDecay: 0 },
    ])
    expect(optim.decayGroups([vector])).toEqual([{ parameters: [vector], weightDecay: 0 }])
    expect(() => optim.decayGroups([1] as never)).toThrow(code('ERR_ARGUMENT'))
  })

  it('groups go with gradients gathered over parts of a batch', async () => {
    manualSeed(2)
    const loader = new data.Loader(
      {
        x: [
          [1, 2],
          [3, 4],
          [5, 6],
          [7, 8],
        ],
        y: [0, 1, 0, 1],
      },
      { batch: 2, dtypes: { x: 'float32' } },
    )
    const net = new nn.Sequential(new nn.Linear(2, 2))
    const history = await train.fit(net, loader, {
      loss: (model, { x, y }) => nn.functional.crossEntropy(model.forward(x), y),
      optimizer: (all) => new optim.SGD(optim.decayGroups(all), { lr: 0.1, weightDecay: 0.1 }),
      accumulate: 2,
      progress: false,
    })
    expect(history.epochs).toHaveLength(1)
  })
})
