// Training by the JavaScript path: the losses of the native path, the same bits every time, and gradients that are slopes.
import { grad, nn, optim, tensor, type Variable } from 'quarterturn'
import * as js from 'quarterturn/js'
import { beforeEach, describe, expect, test } from 'vitest'
import { numbersOf } from '../parity/checkOp.js'
import { expectEqual, numbers, recurrentPairs, rowPairs, share } from './pairs.js'

const [B, T, I, H] = [4, 6, 3, 8]
const STEPS = 10

beforeEach(() => js.manualSeed(7))

const optimizers: Record<
  string,
  [own: (p: js.Parameters) => js.Optimizer, native: (p: Variable[]) => { step(g: ReturnType<typeof grad>): void }]
> = {
  SGD: [(p) => new js.SGD(p, { lr: 0.1 }), (p) => new optim.SGD(p, { lr: 0.1 })],
  'SGD with momentum': [
    (p) => new js.SGD(p, { lr: 0.05, momentum: 0.9, weightDecay: 0.01 }),
    (p) => new optim.SGD(p, { lr: 0.05, momentum: 0.9, weightDecay: 0.01 }),
  ],
  'SGD of Nesterov': [
    (p) => new js.SGD(p, { lr: 0.05, momentum: 0.9, nesterov: true }),
    (p) => new optim.SGD(p, { lr: 0.05, momentum: 0.9, nesterov: true }),
  ],
  AdamW: [(p) => new js.AdamW(p, { lr: 0.01 }), (p) => new optim.AdamW(p, { lr: 0.01 })],
  Adam: [(p) => new js.AdamW(p, { lr: 0.01, weightDecay: 0 }), (p) => new optim.Adam(p, { lr: 0.01 })],
}

class Last extends nn.Module {
  constructor(
    readonly body: nn.LSTM,
    readonly head: nn.Linear,
  ) {
    super()
  }

  forward(x: ReturnType<typeof tensor>) {
    return this.head.forward(this.body.forward(x).output.select(1, -1))
  }
}

describe.each(Object.entries(optimizers))('ten steps of %s', (_, [own, native]) => {
  test.each(Object.entries(recurrentPairs(I, H)))('%s has the losses of the native path', async (_, pair) => {
    const last = new js.LastStep()
    const width = pair.js.forward(new Float32Array(B * T * I), [B, T, I]).length / (B * T)
    const head = new js.Linear(width, 2)
    const model = new js.Sequential(pair.js, last, head)
    const module = new Last(pair.nn as nn.LSTM, new nn.Linear(width, 2))
    share(pair.js, module.body)
    share(head, module.head)
    const x = numbers(B * T * I, 1, 1.5)
    const y = numbers(B * 2, 2)
    const losses: number[] = []
    const expected: number[] = []

    const loss = new js.MSELoss()
    const optimizer = own(model.parameters())
    for (let step = 0; step < STEPS; step++) {
      losses.push(loss.forward(model.forward(x, [B, T, I]), y))
      model.backward(loss.backward())
      optimizer.step()
    }
    const parameters = module.parameters()
    const nativeOptimizer = native(parameters)
    for (let step = 0; step < STEPS; step++) {
      const error = nn.functional.mseLoss(module.forward(tensor(x, { shape: [B, T, I] })), tensor(y, { shape: [B, 2] }))
      nativeOptimizer.step(grad(error, parameters))
      expected.push((await numbersOf(error))[0] as number)
    }
    expectEqual(losses, expected, 'losses')
    expect(losses.at(-1)).toBeLessThan(losses[0] as number)
  })
})

test('a classifier of symbols, with an embedding, a norm, blocks along depth and cross entropy', async () => {
  const layers = [
    new js.Embedding(7, 6),
    new js.GRU(6, 5, { numLayers: 2 }),
    new js.LayerNorm(5),
    new js.Highway(5, { layers: 2 }),
    new js.ResidualMLP(5, 9),
    new js.Linear(5, 7),
  ]
  const model = new js.Sequential(...layers)
  const symbols = Int32Array.from(numbers(B * T, 3), (x) => Math.floor((x + 1) * 3.5) % 7)
  const targets = Int32Array.from(numbers(B * T, 4), (x) => Math.floor((x + 1) * 3.5) % 7)

  const [embed, rnn, norm, highway, block, head] = [
    new nn.Embedding(7, 6),
    new nn.GRU(6, 5, { numLayers: 2 }),
    new nn.LayerNorm(5),
    new nn.Highway(5, { layers: 2 }),
    new nn.ResidualMLP(5, 9),
    new nn.Linear(5, 7),
  ]
  const modules = [embed, rnn, norm, highway, block, head]
  for (const [i, module] of modules.entries()) share(layers[i] as js.Layer, module)
  const parameters = modules.flatMap((module) => module.parameters())
  const optimizer = new optim.AdamW(parameters, { lr: 0.01 })
  const [x, y] = [symbols, targets].map((ids) => tensor([...ids], { shape: [B, T], dtype: 'int64' }))
  const expected: number[] = []
  for (let step = 0; step < STEPS; step++) {
    const { output } = rnn.forward(embed.forward(x as never))
    const logits = head.forward(block.forward(highway.forward(norm.forward(output))))
    const error = nn.functional.crossEntropy(logits, y as never)
    optimizer.step(grad(error, parameters))
    expected.push((await numbersOf(error))[0] as number)
  }

  const loss = new js.CrossEntropyLoss()
  const own = new js.AdamW(model.parameters(), { lr: 0.01 })
  const losses: number[] = []
  for (let step = 0; step < STEPS; step++) {
    losses.push(loss.forward(model.forward(symbols, [B, T]), model.outputShape, targets))
    model.backward(loss.backward())
    own.step()
  }
  expectEqual(losses, expected, 'losses')
})

test('without the gradient of the input the others are the same', () => {
  const model = new js.Sequential(new js.GRU(I, H, { numLayers: 2, bidirectional: true }), new js.Linear(2 * H, 2))
  const single = new js.Linear(I, 2)
  for (const layer of [model, single]) {
    const x = numbers(B * T * I)
    const gradients = [true, false].map((needed) => {
      const dy = numbers(layer.forward(x, [B, T, I]).length, 2)
      layer.backward(dy, needed)
      const all = [...layer.parameters().values()].map(({ grad }) => [...grad])
      for (const { grad } of layer.parameters().values()) grad.fill(0)
      return all
    })
    expect(gradients[1]).toEqual(gradients[0])
    expect(gradients[0]?.flat().some((g) => g !== 0)).toBe(true)
  }
})

test('clipping scales gradients as the native one', async () => {
  const layer = new js.Linear(I, H)
  const module = new nn.Linear(I, H)
  share(layer, module)
  const x = numbers(B * I)
  const dy = numbers(B * H, 2, 5)
  layer.forward(x, [B, I])
  layer.backward(dy)
  const output = module.forward(tensor(x, { shape: [B, I] }))
  const gradients = grad(output, module.parameters(), { gradient: tensor(dy, { shape: [B, H] }) }).clipByNorm(0.5)
  expect(js.clipGradNorm(layer.parameters(), 0.5)).toBeGreaterThan(1)
  for (const [key, variable] of module.namedParameters())
    expectEqual((layer.parameters().get(key) as js.Parameter).grad, await numbersOf(gradients.get(variable)), key)
})

test('two runs are equal bit by bit, and other seeds are other runs', () => {
  const run = (seed: number): number[] => {
    js.manualSeed(seed)
    const model = new js.Sequential(
      new js.LSTM(I, H, { bidirectional: true }),
      new js.LastStep(),
      new js.Linear(2 * H, 1),
    )
    const loss = new js.MSELoss()
    const optimizer = new js.AdamW(model.parameters())
    const losses: number[] = []
    for (let step = 0; step < 20; step++) {
      losses.push(loss.forward(model.forward(numbers(B * T * I), [B, T, I]), numbers(B)))
      model.backward(loss.backward())
      optimizer.step()
    }
    return [...losses, ...[...model.parameters().values()].flatMap(({ data }) => [...data])]
  }
  expect(run(5)).toEqual(run(5))
  expect(run(6)).not.toEqual(run(5))
})

test('starts are within their bounds and fill them', () => {
  const { data } = new js.Linear(16, 400).weight
  const [low, high] = [Math.min(...data), Math.max(...data)]
  expect(low).toBeGreaterThanOrEqual(-0.25)
  expect(high).toBeLessThan(0.25)
  expect(Math.min(-low, high)).toBeGreaterThan(0.249)
  const rows = new js.Embedding(100, 100).weight.data
  const mean = rows.reduce((sum, x) => sum + x, 0) / rows.length
  const variance = rows.reduce((sum, x) => sum + x * x, 0) / rows.length
  expect(Math.abs(mean)).toBeLessThan(0.05)
  expect(Math.abs(variance - 1)).toBeLessThan(0.05)
})

/**
 * Sums are float64, but what is kept is float32: a step of 1/64 is far above that rounding, and Richardson's extrapolation of it and of half of it
 * leaves an error of its fourth power. ReLU and `positive` have kinks, and no slope there.
 */
test.each(
  Object.entries({ ...recurrentPairs(I, 5), ...rowPairs(I, 5) }).filter(
    ([name]) => !/ReLU|positive|^Highway$/.test(name),
  ),
)('%s: gradients are slopes', (_, { js: layer, width }) => {
  const shape = [2, 3, width]
  const x = numbers(6 * width, 1)
  const weights = numbers(layer.forward(x, shape).length, 2)
  const value = (): number => layer.forward(x, shape).reduce((sum, y, i) => sum + y * (weights[i] as number), 0)
  value()
  const dx = layer.backward(weights).slice()
  for (const [key, data, slopes] of [
    ['input', x, dx] as const,
    ...[...layer.parameters()].map(([key, { data, grad }]) => [key, data, grad.slice()] as const),
  ]) {
    const direction = numbers(data.length, 5)
    const start = data.slice()
    const along = (step: number): number => {
      for (let i = 0; i < data.length; i++) data[i] = (start[i] as number) + step * (direction[i] as number)
      const found = value()
      data.set(start)
      return found
    }
    const central = (step: number): number => (along(step) - along(-step)) / (2 * step)
    const slope = (4 * central(1 / 64) - central(1 / 32)) / 3
    const expected = slopes.reduce((sum, g, i) => sum + g * (direction[i] as number), 0)
    expect(Math.abs(slope - expected), `${key}: ${slope} and ${expected}`).toBeLessThan(
      2e-4 * Math.max(1, Math.abs(slope)),
    )
  }
})
