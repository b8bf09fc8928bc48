// Weight norm and spectral norm: what they keep, what they hold at 1; weight tying and freezing in training.
import { grad, manualSeed, nn, normal, optim, type Tensor, tensor, type Variable } from 'quarterturn'
import { beforeEach, describe, expect, test } from 'vitest'
import { expectClose } from '../tolerances.js'

beforeEach(() => void manualSeed(3))
const f64 = { dtype: 'float64' } as const
const code = (name: string) => expect.objectContaining({ code: name })
const numbers = async (x: Tensor): Promise<number[]> => Array.from((await x.data()) as Float64Array)

describe('weightNorm', () => {
  test('leaves the layer as it computes, and its direction orthogonal to the gradient', async () => {
    const layer = new nn.Linear(3, 4, f64)
    const x = normal([5, 3], 0, 1, f64)
    const before = await numbers(layer.forward(x))
    const old = layer.weight
    nn.weightNorm(layer)
    expectClose(await numbers(layer.forward(x)), before, 'float64', 'output')
    const [g, v] = ['original0', 'original1'].map((key) =>
      layer.namedParameters().get(`parametrizations.weight.${key}`),
    ) as [Variable, Variable]
    expect(v).toBe(old)
    expect([g.shape, v.shape]).toEqual([
      [4, 1],
      [4, 3],
    ])
    const gradient = grad(layer.forward(x).square().sum(), [v]).get(v)
    expectClose(await numbers(gradient.mul(v).sum(1)), [0, 0, 0, 0], 'float64', 'v · gradient', 100) // sums of large terms
    expect(layer.summary([1, 3])).toContain('20')
  })

  test('refuses what has no such parameter, and a second time', () => {
    expect(() => nn.weightNorm(new nn.ReLU())).toThrow('ReLU.weight must be a Variable of at least two axes, got none')
    expect(() => nn.weightNorm(new nn.LayerNorm(3))).toThrow(code('ERR_ARGUMENT'))
    expect(() => nn.weightNorm(nn.weightNorm(new nn.Linear(2, 2)))).toThrow(code('ERR_ARGUMENT'))
    expect(() => nn.weightNorm(new nn.Linear(2, 2), { dim: 2 })).toThrow(code('ERR_SHAPE'))
  })
})

describe('spectralNorm', () => {
  test('holds the largest singular value at 1, and its vectors still in eval mode', async () => {
    const layer = new nn.Linear(4, 3, { bias: false, ...f64 })
    layer.weight.assign(
      tensor(
        [
          [3, 0, 0, 0],
          [0, 2, 0, 0],
          [0, 0, 1, 0],
        ],
        f64,
      ),
    )
    nn.spectralNorm(layer, { iterations: 100 })
    expectClose(await numbers(layer.weight), [1, 0, 0, 0, 0, 2 / 3, 0, 0, 0, 0, 1 / 3, 0], 'float64', 'weight')
    layer.eval()
    const before = await Promise.all([...layer.namedBuffers().values()].map(numbers))
    layer.forward(normal([2, 4], 0, 1, f64))
    expect(await Promise.all([...layer.namedBuffers().values()].map(numbers))).toEqual(before)
    expect([...layer.namedBuffers().keys()]).toEqual(['_u', '_v'].map((key) => `parametrizations.weight.0.${key}`))
  })

  test('trains through several reads before one gradient', async () => {
    const layer = nn.spectralNorm(new nn.Linear(4, 4, f64))
    const x = normal([3, 4], 0, 1, f64)
    const loss = layer.forward(layer.forward(x)).square().sum()
    const gradients = grad(loss, layer.parameters())
    new optim.SGD(layer.parameters(), { lr: 0.01 }).step(gradients)
    expect(await layer.forward(layer.forward(x)).square().sum().item()).toBeLessThan(await loss.item())
  })
})

describe('tying and freezing', () => {
  class Tied extends nn.Module {
    embed = new nn.Embedding(5, 3, f64)
    head = Object.assign(new nn.Linear(3, 5, { bias: false, ...f64 }), { weight: this.embed.weight })
    forward(words: Tensor): Tensor {
      return this.head.forward(this.embed.forward(words).tanh())
    }
  }

  test('a Variable at two places gets the sum of both gradients, is stepped once, and stays one', async () => {
    const model = new Tied()
    const words = tensor([0, 3, 3], { dtype: 'int64' })
    const targets = tensor([1, 4, 2], { dtype: 'int64' })
    expect([...model.namedParameters().keys()]).toEqual(['embed.weight'])
    const untied = new Tied()
    const other = new nn.Linear(3, 5, { bias: false, ...f64 })
    untied.loadStateDict(model.stateDict())
    other.weight.assign(model.embed.weight)
    const apart = nn.functional.crossEntropy(other.forward(untied.embed.forward(words).tanh()), targets)
    const parts = grad(apart, [untied.embed.weight, other.weight])
    const expected = await numbers(parts.get(untied.embed.weight).add(parts.get(other.weight)))
    const tied = grad(nn.functional.crossEntropy(model.forward(words), targets), model.parameters())
    expectClose(await numbers(tied.get(model.embed.weight)), expected, 'float64', 'gradient')
    const before = await numbers(model.embed.weight)
    new optim.SGD(model.parameters(), { lr: 0.5 }).step(tied)
    const after = before.map((w, i) => w - 0.5 * (expected[i] as number))
    expectClose(await numbers(model.head.weight), after, 'float64', 'after a step')
    model.to('float32')
    expect(model.head.weight).toBe(model.embed.weight)
  })

  test('frozen layers stay as they are while the rest trains, weight decay and momentum included, and thaw', async () => {
    const model = new nn.Sequential(new nn.Linear(3, 4), new nn.Tanh(), new nn.Linear(4, 1))
    const first = model.at(0) as nn.Linear
    const optimizer = new optim.AdamW(model.parameters(), { lr: 0.1, weightDecay: 0.5 })
    const x = normal([6, 3])
    const step = (): void => {
      const trained = model.parameters().filter((parameter) => parameter.requiresGrad)
      optimizer.step(grad(model.forward(x).square().mean(), trained))
    }
    for (const parameter of first.parameters()) parameter.requiresGrad = false
    const [frozen, free] = [await first.weight.toArray(), await (model.at(2) as nn.Linear).weight.toArray()]
    for (let i = 0; i < 3; i++) step()
    expect(await first.weight.toArray()).toEqual(frozen)
    expect(await (model.at(2) as nn.Linear).weight.toArray()).not.toEqual(free)
    for (const parameter of first.parameters()) parameter.requiresGrad = true
    step()
    expect(await first.weight.toArray()).not.toEqual(frozen)
    expect(await optimizer.stateDict().get('steps')?.toArray()).toEqual([1, 1, 4, 4])
  })
})
