// Principal components against NumPy (fixtures/pca.json, by pca.py) and their laws.
import { readFileSync } from 'node:fs'
import { ArgumentError, data, normal, ShapeError, tensor } from 'quarterturn'
import { describe, expect, it } from 'vitest'
import { expectClose } from '../tolerances.js'

interface Case {
  name: string
  x: number[][]
  components: number[][]
  explainedVariance: number[]
  explainedVarianceRatio: number[]
  mean: number[]
  projected: number[][]
}

const { cases } = JSON.parse(readFileSync(new URL('fixtures/pca.json', import.meta.url), 'utf8')) as { cases: Case[] }
const keys = ['components', 'explainedVariance', 'explainedVarianceRatio', 'mean', 'projected'] as const

describe.each(cases)('$name', (expected) => {
  it.each(['float64', 'float32'] as const)('%s', async (dtype) => {
    const found = data.pca(tensor(expected.x, { dtype }), { components: expected.components.length })
    for (const key of keys) {
      const values = await found[key].data()
      // The values are sums over all points; float32 loses a digit where the singular values are close.
      expectClose(values, (expected[key] as number[]).flat(), dtype, key, dtype === 'float32' ? 20 : 1)
    }
    expect(found.projected.shape).toEqual([expected.x.length, expected.components.length])
  })
})

describe('pca', () => {
  it('projects onto orthonormal directions; all of them give the points back', async () => {
    const x = normal([40, 6], 3, 2, { dtype: 'float64' })
    const { components, projected, mean, explainedVarianceRatio } = data.pca(x, { components: 6 })
    const eye = await components.matmul(components.transpose(0, 1)).data()
    expectClose(
      eye,
      Array.from({ length: 36 }, (_, i) => (i % 7 === 0 ? 1 : 0)),
      'float64',
      'V·Vᵀ',
    )
    expectClose(await projected.matmul(components).add(mean).data(), await x.data(), 'float64', 'x', 10)
    expect(Number(await explainedVarianceRatio.sum().item())).toBeCloseTo(1, 12)
  })

  it('gives each component the sign of its largest entry, whichever way the points lie', async () => {
    for (const sign of [1, -1]) {
      const x = tensor(
        [
          [0, 0],
          [sign, -3 * sign],
        ],
        { dtype: 'float64' },
      )
      const [a, b] = await data.pca(x, { components: 1 }).components.data()
      expect([a, b].map((value) => (value as number) * Math.sqrt(10))).toEqual([
        expect.closeTo(-1, 12),
        expect.closeTo(3, 12),
      ])
    }
  })

  it('refuses what has no components', () => {
    expect(() => data.pca(tensor([1, 2, 3]))).toThrow(ShapeError)
    expect(() => data.pca(tensor([[1, 2, 3]]))).toThrow(ShapeError)
    for (const components of [0, 3, 1.5]) expect(() => data.pca(normal([5, 2]), { components })).toThrow(ArgumentError)
  })
})
