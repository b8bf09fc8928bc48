// Initial values: the distributions, by bounds and moments, and that the ambient generator decides them.
import { manualSeed, nn, type Tensor, Variable } from 'quarterturn'
import { beforeEach, describe, expect, test } from 'vitest'
import { expectClose } from '../tolerances.js'

const { init } = nn
beforeEach(() => void manualSeed(6))
const numbers = async (x: Tensor | undefined): Promise<number[]> => Array.from((await x?.data()) as Float32Array)

/** Fails unless mean, deviation and the fourth moment are within five standard errors of the distribution's, and uniform ones within bounds. */
async function distributed(x: Tensor | undefined, kind: 'uniform' | 'normal', std: number): Promise<void> {
  const values = await numbers(x)
  const n = values.length
  expect(n).toBeGreaterThan(5_000)
  const moment = (k: number): number => values.reduce((sum, v) => sum + (v / std) ** k, 0) / n
  const [second, fourth, eighth] = kind === 'uniform' ? [1, 9 / 5, 9] : [1, 3, 105]
  expect(Math.abs(moment(1))).toBeLessThan(5 / Math.sqrt(n))
  expect(Math.abs(moment(2) - second)).toBeLessThan(5 * Math.sqrt((fourth - 1) / n))
  expect(Math.abs(moment(4) - fourth)).toBeLessThan(5 * Math.sqrt((eighth - fourth ** 2) / n))
  if (kind === 'uniform') {
    const bound = std * Math.sqrt(3)
    const largest = values.reduce((most, v) => Math.max(most, Math.abs(v)), 0)
    expect(largest).toBeLessThanOrEqual(bound * (1 + 1e-6))
    expect(largest).toBeGreaterThan(bound * 0.99)
  }
}

describe('defaults of layers are those of torch', () => {
  const uniform = (bound: number): number => bound / Math.sqrt(3)

  test('Linear: weight and bias uniform on ±1/√I', async () => {
    const layer = new nn.Linear(16, 6_000)
    await distributed(layer.weight, 'uniform', uniform(1 / 4))
    await distributed(layer.bias, 'uniform', uniform(1 / 4))
  })

  test('Embedding: normal', async () => {
    await distributed(new nn.Embedding(100, 80).weight, 'normal', 1)
  })

  test.each([nn.LSTM, nn.GRU, nn.RNN])('recurrent: everything uniform on ±1/√H', async (Layer) => {
    const layer = new Layer(50, 120, { numLayers: 2 })
    await distributed(layer.weights[0]?.weightIh, 'uniform', uniform(1 / Math.sqrt(120)))
    await distributed(layer.weights[1]?.weightHh, 'uniform', uniform(1 / Math.sqrt(120)))
    expect(Math.max(...(await numbers(layer.weights[0]?.biasHh)).map(Math.abs))).toBeGreaterThan(0.95 / Math.sqrt(120))
  })

  test('Conv2d: weight and bias uniform on ±1/√(C/groups·h·w)', async () => {
    const layer = new nn.Conv2d(8, 6_000, [3, 2], { groups: 2 })
    await distributed(layer.weight, 'uniform', uniform(1 / Math.sqrt(24)))
    await distributed(layer.bias, 'uniform', uniform(1 / Math.sqrt(24)))
  })

  test('norms: ones and zeros', async () => {
    for (const layer of [new nn.LayerNorm(3), new nn.BatchNorm2d(3)]) {
      expect(await numbers(layer.weight)).toEqual([1, 1, 1])
      expect(await numbers(layer.bias)).toEqual([0, 0, 0])
    }
  })
})

describe('init', () => {
  test('gives Variables with the deviations of their papers', async () => {
    expect(init.uniform([2])).toBeInstanceOf(Variable)
    await distributed(init.normal([100, 100], 0, 0.3), 'normal', 0.3)
    await distributed(init.kaimingUniform([50, 20, 3, 3], { nonlinearity: 'relu' }), 'uniform', Math.sqrt(2 / 180))
    await distributed(init.kaimingNormal([100, 80], { mode: 'fanOut', nonlinearity: 'tanh' }), 'normal', 5 / 3 / 10)
    await distributed(init.xavierUniform([100, 60], { gain: 2 }), 'uniform', 2 * Math.sqrt(2 / 160))
    await distributed(init.xavierNormal([100, 60]), 'normal', Math.sqrt(2 / 160))
    expect(await numbers(init.constant([2], 7))).toEqual([7, 7])
    expect(() => init.xavierUniform([3])).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
    expect(() => init.gain('selu' as never)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  })

  test.each([
    [40, 40],
    [30, 90],
    [90, 30],
    [1, 8],
    [12, 2, 3],
  ])('orthogonal: rows or columns are orthonormal, %j', async (...shape: number[]) => {
    const [rows, columns] = [shape[0] as number, shape.slice(1).reduce((a, b) => a * b, 1)]
    const w = init
      .orthogonal(
        shape.filter((n) => n !== undefined),
        { gain: 3, dtype: 'float64' },
      )
      .reshape([rows, columns])
    const gram = rows <= columns ? w.matmul(w.transpose()) : w.transpose().matmul(w)
    const n = Math.min(rows, columns)
    expectClose(
      await numbers(gram),
      Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 9 : 0)),
      'float64',
      'WᵀW',
      10,
    )
  })

  test('the ambient generator decides: equal seeds give equal models, and nothing else does', async () => {
    const draw = async (seed: number): Promise<number[]> => {
      manualSeed(seed)
      return numbers(new nn.Sequential(new nn.Linear(3, 3), new nn.Linear(3, 3)).parameters()[2])
    }
    expect(await draw(1)).toEqual(await draw(1))
    expect(await draw(1)).not.toEqual(await draw(2))
  })
})
