// Scores, perplexity, rescoring, ensembles and sentence vectors against what the forward pass says; and what is refused.
import { manualSeed, models, noGrad, type Tensor, tensor, text } from 'quarterturn'
import { beforeEach, describe, expect, it } from 'vitest'
import { letters, small, sounds } from './variants.js'

let model: models.EncoderDecoder
beforeEach(() => {
  manualSeed(4)
  model = small({ attention: 'multiplicative' }, { initRange: 1 })
})

const int64 = (rows: number[][]): Tensor => tensor(rows, { dtype: 'int64' })
const sources = ['abc', 'd', 'ca', 'ddddd'].map((word) => [...word])
const targets = ['A', 'BCD', '', 'DA'].map((word) => [...word])

/** Σ log p of the target's symbols and of `<EOS>`. */
async function logProbability(writer: { forward: models.EncoderDecoder['forward'] }, row: number): Promise<number> {
  const ids = [...sounds.encode(targets[row]!), text.EOS_ID]
  const logits = noGrad(() => writer.forward(int64([letters.encode(sources[row]!)]), int64([ids])))
  const logp = ((await logits.logSoftmax(-1).toArray()) as number[][][])[0]!
  return ids.reduce((sum, id, t) => sum + logp[t]![id]!, 0)
}

it('scores are log-probabilities, whatever is in the batch', async () => {
  const scores = await model.score(sources, targets)
  for (const [row, value] of scores.entries()) expect(value).toBeCloseTo(await logProbability(model, row), 4)
  expect(await model.score([], [])).toEqual([])
})

it('perplexity is e to the mean cross entropy per symbol', async () => {
  let [sum, symbols] = [0, 0]
  for (const row of sources.keys()) {
    sum += await logProbability(model, row)
    symbols += targets[row]!.length + 1
  }
  const pairs = sources.map((source, row) => ({ source, target: targets[row]! }))
  expect(await model.perplexity(pairs)).toBeCloseTo(Math.exp(-sum / symbols), 3)
  const smoothed = small({ attention: 'multiplicative', labelSmoothing: 0.5 }).loadStateDict(model.stateDict())
  expect(await smoothed.perplexity(pairs)).toBeCloseTo(Math.exp(-sum / symbols), 3)
})

it('rescoring averages the two scores and puts the best first', async () => {
  const nBest = [['A', 'B', 'AB'], ['D']].map((list, i) =>
    list.map((word, k) => ({ symbols: [...word], score: -k - i, from: 'smt' })),
  )
  const rescored = await model.rescore(sources.slice(0, 2), nBest)
  expect(rescored.map((list) => list.length)).toEqual([3, 1])
  for (const [i, list] of rescored.entries()) {
    for (const { symbols, score, logProbability: own, from } of list) {
      const given = nBest[i]!.find((each) => each.symbols.join() === symbols.join())!
      expect(own).toBeCloseTo((await model.score([sources[i]!], [symbols]))[0]!, 5)
      expect(score).toBeCloseTo((own + given.score) / 2, 6)
      expect(from).toBe('smt')
    }
    expect(list.map(({ score }) => score)).toEqual(list.map(({ score }) => score).sort((a, b) => b - a))
  }
  const [theirs] = await model.rescore(sources.slice(0, 1), nBest.slice(0, 1), { weight: 0 })
  expect(theirs!.map(({ symbols }) => symbols.join(''))).toEqual(['A', 'B', 'AB'])
})

it('sentence vectors are h and c of every layer after the last symbol, without padding', async () => {
  const vectors = (await model.sentenceVector(sources).toArray()) as number[][]
  for (const [row, source] of sources.entries()) {
    const { state } = model.encode(int64([letters.encode(source)]))
    const parts = await Promise.all(['h0', 'c0', 'h1', 'c1'].map((part) => state[part]!.toArray()))
    const expected = (parts as number[][][]).flatMap(([values]) => values!)
    for (const [i, value] of expected.entries()) expect(vectors[row]![i]).toBeCloseTo(value, 5)
  }
})

describe('Ensemble', () => {
  const others = () => [
    model,
    small({ cell: 'gru', reversed: false }, { initRange: 1 }),
    small({ cell: 'transformer' }),
  ]

  it('averages distributions', async () => {
    const all = others()
    const both = new models.Ensemble(all)
    const [source, target] = [int64([letters.encode('abc')]), int64([[2, 4, 1]])]
    const each = await Promise.all(all.map((one) => one.forward(source, target).softmax(-1).toArray()))
    const mean = (await both.forward(source, target).exp().toArray()) as number[][][]
    for (const t of [0, 1, 2])
      for (let k = 0; k < sounds.size; k++)
        expect(mean[0]![t]![k]).toBeCloseTo(
          (each as number[][][][]).reduce((sum, one) => sum + one[0]![t]![k]! / 3, 0),
          5,
        )
  })

  it('decodes what its scores say', async () => {
    const both = new models.Ensemble(others())
    const found = await both.decode(sources, { beam: 3, maxLength: 12 })
    let ended = 0
    for (const [row, list] of found.entries())
      for (const each of list.filter((one) => one.ended)) {
        ended++
        expect(each.logProbability).toBeCloseTo((await both.score([sources[row]!], [each.symbols]))[0]!, 4)
      }
    expect(ended).toBeGreaterThan(0)
  })

  it('of one model is that model', async () => {
    const one = new models.Ensemble([model])
    const [alone, same] = [await model.decode(sources, { beam: 2 }), await one.decode(sources, { beam: 2 })]
    expect(same.map(([best]) => best!.symbols)).toEqual(alone.map(([best]) => best!.symbols))
    expect(await one.perplexity([{ source: ['a'], target: ['B'] }])).toBeCloseTo(
      await model.perplexity([{ source: ['a'], target: ['B'] }]),
      5,
    )
  })

  it('refuses models that do not belong together', () => {
    const odd = new models.EncoderDecoder({ source: letters, target: letters, width: 8 })
    for (const list of [[], [model, odd], [model, 3], 'x'])
      expect(() => new models.Ensemble(list as never)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  })
})

const bad: [string, Record<string, unknown>][] = [
  ['a cell that there is not', { cell: 'rnn' }],
  ['a carrier that there is not', { cell: { alongTime: 'abacus' } }],
  ['an attention that there is not', { attention: 'hard' }],
  ['a Transformer with another attention', { cell: 'transformer', attention: 'additive' }],
  ['a Transformer whose heads do not divide its width', { cell: 'transformer', heads: 3 }],
  ['a Transformer in both directions', { cell: 'transformer', bidirectional: true }],
  ['a stack in both directions', { cell: { alongTime: 'lstm' }, bidirectional: true }],
  ['a stack without biases', { cell: { alongTime: 'lstm' }, bias: false }],
  ['both directions, reversed', { bidirectional: true, reversed: true }],
  ['both directions of an odd width', { bidirectional: true, width: 15 }],
  ['one table for two vocabularies', { tied: 'all' }],
  ['width 0', { width: 0 }],
  ['dropout 1', { dropout: 1 }],
  ['label smoothing below 0', { labelSmoothing: -0.1 }],
  ['initRange 0', { initRange: 0 }],
  ['half a source', { maxSource: 1.5 }],
]

describe('refuses', () => {
  it.each(bad)('%s', (_, options) => {
    expect(() => small(options as never)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  })

  it('a source over the limit, naming its row, wherever sources go', async () => {
    const limited = small({ maxSource: 3 })
    const over = [[...'abc'], [...'abcd']]
    const refused = { code: 'ERR_RANGE', message: expect.stringContaining('source 1') }
    await expect(limited.decode(over)).rejects.toMatchObject(refused)
    await expect(limited.score(over, over)).rejects.toMatchObject(refused)
    expect(() => limited.sentenceVector(over)).toThrow(expect.objectContaining(refused))
    expect(() => limited.loader(over.map((source) => ({ source, target: ['A'] })))).toThrow(
      expect.objectContaining(refused),
    )
    expect(await limited.decode([[...'abc']])).toHaveLength(1)
  })

  it('an empty source, wherever sources go', async () => {
    const refused = { code: 'ERR_ARGUMENT', message: expect.stringContaining('source 0 is empty') }
    await expect(model.score([[]], [['A']])).rejects.toMatchObject(refused)
    expect(() => model.sentenceVector([[]])).toThrow(expect.objectContaining(refused))
    expect(() => model.loader([{ source: [], target: ['A'] }])).toThrow(expect.objectContaining(refused))
  })

  it('lists that do not fit each other, attention that there is none, weights outside 0 … 1', async () => {
    const refused = { code: 'ERR_ARGUMENT' }
    await expect(model.score([['a']], [])).rejects.toMatchObject(refused)
    await expect(model.rescore([['a']], [])).rejects.toMatchObject(refused)
    await expect(model.rescore([['a']], [[{ symbols: ['A'], score: 0 }]], { weight: 2 })).rejects.toMatchObject(refused)
    await expect(model.rescore([['a']], [[{ symbols: ['A'], score: Number.NaN }]])).rejects.toMatchObject(refused)
    await expect(model.perplexity([])).rejects.toMatchObject(refused)
    await expect(small({}).decode([['a']], { attention: true })).rejects.toMatchObject(refused)
    await expect(model.decode([['a']], { prefix: [] })).rejects.toMatchObject(refused)
    expect(() => model.loss({ source: int64([[2]]), target: int64([[1]]) }, { per: 'batch' as never })).toThrow(
      expect.objectContaining(refused),
    )
  })
})
