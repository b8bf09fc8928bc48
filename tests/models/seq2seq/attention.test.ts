// The two attentions: their equations written out, their gradients, and PyTorch's numbers for a model that has one.
import { grad, manualSeed, models, noGrad, normal, type Tensor, tensor, Variable } from 'quarterturn'
import { beforeEach, describe, expect, it } from 'vitest'
import { expectClose } from '../../tolerances.js'
import { small } from './variants.js'

beforeEach(() => void manualSeed(2))

const [B, L, S, H] = [2, 3, 4, 5]
const place = { dtype: 'float64' } as const
const mask = tensor(
  [
    [0, 0, 0, 0],
    [0, 0, -1e9, -1e9],
  ],
  place,
)
const kinds = { additive: models.AdditiveAttention, multiplicative: models.MultiplicativeAttention } as const

type Rows = number[][][]

describe.each(['additive', 'multiplicative'] as const)('%s attention', (kind) => {
  it('is the mean of what the encoder gave by its equation, padding left out', async () => {
    const attention = new kinds[kind](H).to('float64')
    const [query, memory] = [normal([B, L, H], 0, 1, place), normal([B, S, H], 0, 1, place)]
    const { output, weights } = noGrad(() => attention.forward(query, attention.context(memory, mask)))
    const named = Object.fromEntries(
      await Promise.all([...attention.namedParameters()].map(async ([key, value]) => [key, await value.toArray()])),
    ) as Record<string, number[][]>
    const times = (matrix: number[][], x: number[]) =>
      matrix.map((row) => row.reduce((sum, w, i) => sum + w * x[i]!, 0))
    const score = (d: number[], m: number[]): number => {
      const key = times(named['key.weight']!, m)
      if (kind === 'multiplicative') return d.reduce((sum, value, i) => sum + value * key[i]!, 0)
      const asked = times(named['query.weight']!, d)
      return key.reduce((sum, value, i) => sum + (named.v as unknown as number[])[i]! * Math.tanh(value + asked[i]!), 0)
    }
    const [d, m, given, seen] = (await Promise.all([query, memory, output, weights].map((x) => x.toArray()))) as Rows[]
    for (let b = 0; b < B; b++)
      for (let t = 0; t < L; t++) {
        const there = b === 0 ? 4 : 2
        const all = m![b]!.slice(0, there).map((row) => Math.exp(score(d![b]![t]!, row)))
        const total = all.reduce((sum, value) => sum + value, 0)
        for (let s = 0; s < S; s++) expect(seen![b]![t]![s]).toBeCloseTo(s < there ? all[s]! / total : 0, 12)
        const mean = d![b]![t]!.map((_, i) => all.reduce((sum, value, s) => sum + (value / total) * m![b]![s]![i]!, 0))
        const expected = times(named['combine.weight']!, [...mean, ...d![b]![t]!]).map(Math.tanh)
        for (let i = 0; i < H; i++) expect(given![b]![t]![i]).toBeCloseTo(expected[i]!, 12)
      }
  })

  // A single query per row without gradients, as in decoding, is a kernel of its own.
  it.each([
    ['float64', L],
    ['float32', L],
    ['float32', 1],
  ] as const)('gives the same output without the weights, in %s for %d queries', async (dtype, queries) => {
    const attention = new kinds[kind](H).to(dtype)
    const query = normal([B, queries, H], 0, 1, { dtype })
    const [whole, alone] = noGrad(() => {
      const context = attention.context(normal([B, S, H], 0, 1, { dtype }), mask.to(dtype))
      return [attention.forward(query, context).output, attention.output(query, context)]
    })
    expectClose((await alone.data()) as Float32Array, (await whole.data()) as Float32Array, dtype, 'output')
  })

  it('has the gradients of finite differences, for what it reads and every weight', async () => {
    const attention = new kinds[kind](H).to('float64')
    const query = new Variable(normal([B, L, H], 0, 1, place))
    const memory = new Variable(normal([B, S, H], 0, 1, place))
    const over = normal([B, L, H], 0, 1, place)
    const loss = (): Tensor => attention.forward(query, attention.context(memory, mask)).output.mul(over).sum()
    const variables = [query, memory, ...attention.parameters()]
    const gradients = grad(loss(), variables)
    for (const variable of variables) {
      const direction = normal(variable.shape, 0, 1, place)
      const analytic = (await gradients.get(variable).mul(direction).sum().item()) as number
      const before = noGrad(() => variable.clone())
      const at = async (step: number): Promise<number> => {
        noGrad(() => void variable.assign(before.add(direction.mul(step))))
        return (await noGrad(loss).item()) as number
      }
      const numeric = ((await at(1e-5)) - (await at(-1e-5))) / 2e-5
      noGrad(() => void variable.assign(before))
      expect(Math.abs(analytic - numeric)).toBeLessThan(1e-7 * Math.max(1, Math.abs(numeric)))
    }
  })

  it.each(['lstm', 'gru', 'minLSTM'] as const)(
    'a whole model of %s has them, too, over a padded batch',
    async (cell) => {
      const model = small({ attention: kind, cell, residual: true }, { initRange: 0.5 }).to('float64')
      const batch = {
        source: tensor(
          [
            [2, 3, 4],
            [5, 0, 0],
          ],
          { dtype: 'int64' },
        ),
        target: tensor(
          [
            [3, 2, 1],
            [4, 1, 0],
          ],
          { dtype: 'int64' },
        ),
      }
      const parameters = model.parameters()
      const gradients = grad(model.loss(batch), parameters)
      const directions = parameters.map(({ shape }) => normal(shape, 0, 1, place))
      let analytic = 0
      for (const [i, parameter] of parameters.entries())
        analytic += (await gradients.get(parameter).mul(directions[i]!).sum().item()) as number
      const move = (by: number) =>
        noGrad(() => {
          for (const [i, parameter] of parameters.entries()) parameter.assign(parameter.add(directions[i]!.mul(by)))
        })
      move(1e-6)
      const up = (await model.loss(batch).item()) as number
      move(-2e-6)
      const down = (await model.loss(batch).item()) as number
      expect((up - down) / 2e-6).toBeCloseTo(analytic, 6)
    },
  )
})
