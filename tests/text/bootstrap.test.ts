// Bootstrap intervals and paired tests against closed forms and sacreBLEU's own; curves; that all is reproducible.
import { ArgumentError, NotFiniteError, text } from 'quarterturn'
import { describe, expect, it } from 'vitest'
import { paired } from './measures.js'

const { bootstrap, CorpusScore, curve, lengthCurve, pairedBootstrap, rarityCurve, wordRanks } = text

const mean = (numbers: readonly number[]) =>
  new CorpusScore(
    numbers.map((x) => [x, 1]),
    ([sum, n]) => (sum as number) / (n as number),
  )

describe('bootstrap', () => {
  // 0 … 99 in an order that does not matter.
  const numbers = Array.from({ length: 100 }, (_, i) => (i * 37) % 100)

  it('gives the standard error and the interval of a mean', () => {
    const { score, mean: middle, deviation, low, high } = bootstrap(mean(numbers), { samples: 20_000 })
    expect(score).toBe(49.5)
    // σ/√n with σ² = (n² − 1)/12; the errors of 20,000 samples are about 0.02 (mean), 0.5 % (deviation) and 0.05 (ends).
    const error = Math.sqrt((100 ** 2 - 1) / 12 / 100)
    expect(Math.abs(middle - 49.5)).toBeLessThan(0.1)
    expect(deviation / error).toBeGreaterThan(0.98)
    expect(deviation / error).toBeLessThan(1.02)
    expect(Math.abs(low - (49.5 - 1.96 * error))).toBeLessThan(0.25)
    expect(Math.abs(high - (49.5 + 1.96 * error))).toBeLessThan(0.25)
  })

  it('draws every sentence equally often: a share of 1 in 4 sentences is binomial', () => {
    const { mean: middle, deviation } = bootstrap(mean([0, 0, 0, 1]), { samples: 40_000 })
    expect(Math.abs(middle - 0.25)).toBeLessThan(0.005)
    expect(Math.abs(deviation - Math.sqrt((0.25 * 0.75) / 4))).toBeLessThan(0.003)
  })

  it('leaves out as many samples on each side as the confidence says', () => {
    const at = (confidence: number) => bootstrap(mean(numbers), { samples: 1000, confidence })
    const [wide, narrow] = [at(0.99), at(0.5)]
    expect(wide.low).toBeLessThan(narrow.low)
    expect(wide.high).toBeGreaterThan(narrow.high)
    // Two samples: nothing can be left out.
    const two = bootstrap(mean(numbers), { samples: 2 })
    expect([two.low + two.high, two.low < two.high]).toEqual([2 * two.mean, true])
  })

  it('is the same for the same seed and another for another', () => {
    expect(bootstrap(mean(numbers))).toEqual(bootstrap(mean(numbers), { seed: 0 }))
    expect(bootstrap(mean(numbers)).mean).not.toBe(bootstrap(mean(numbers), { seed: 1 }).mean)
    expect(bootstrap(mean(numbers), { seed: 2n ** 60n }).score).toBe(49.5)
  })

  it('takes error rates: those of errorRates, with intervals', () => {
    const answers = [
      { hypothesis: [...'AB'], references: [[...'XYZW'], [...'AB']] },
      { hypothesis: [...'ABC'], references: [[...'AXC'], [...'XYZ']] },
    ]
    const [symbols, sequences] = [text.symbolErrorRate(answers), text.sequenceErrorRate(answers)]
    expect({ symbols: symbols.score, sequences: sequences.score }).toEqual(text.errorRates(answers))
    // Of the four samples of two sentences one has no error, one is 1/3 and two are 1/5.
    const { low, high, mean: middle } = bootstrap(symbols, { samples: 4000 })
    expect([low, high]).toEqual([0, 1 / 3])
    expect(Math.abs(middle - (1 / 3 + 2 / 5) / 4)).toBeLessThan(0.01)
  })

  it.each([
    ['what is no score', 3],
    ['no samples', mean([1]), { samples: 0 }],
    ['a confidence of 1', mean([1]), { confidence: 1 }],
    ['a seed below 0', mean([1]), { seed: -1 }],
  ] as unknown as [string, ...Parameters<typeof bootstrap>][])('refuses %s', (_, ...given) => {
    expect(() => bootstrap(...given)).toThrow(ArgumentError)
  })
})

describe('pairedBootstrap', () => {
  it.each(['BLEU', 'chrF2'] as const)('%s: what sacreBLEU’s --paired-bs says, to within chance', (name) => {
    const measure = name === 'BLEU' ? text.bleu : text.chrF
    const system = measure(paired.system, paired.references)
    const baseline = measure(paired.baseline, paired.references)
    const theirs = paired.results[name]
    for (const [score, { score: expected, mean: middle, ci }] of [
      [baseline, theirs[0]],
      [system, theirs[1]],
    ] as const) {
      const ours = bootstrap(score, { samples: paired.samples })
      expect(Math.abs(ours.score - expected)).toBeLessThan(1e-9)
      expect(Math.abs(ours.mean - middle)).toBeLessThan(0.1)
      expect(Math.abs((ours.high - ours.low) / 2 - ci) / ci).toBeLessThan(0.05)
    }
    const ours = pairedBootstrap(system, baseline, { samples: paired.samples })
    expect(Math.abs(ours.score - (theirs[1].score - theirs[0].score))).toBeLessThan(1e-9)
    // Counts of rare samples: about 10 of 10,000.
    expect(Math.abs(ours.pValueMoses - theirs[1].p)).toBeLessThan(0.0015)
    expect(ours.wins).toBeGreaterThan(0.99)
    expect(ours.low).toBeGreaterThan(0)
  })

  it('is the two-sided test of a mean difference', () => {
    // Differences of mean d and deviation σ over n: 2·(1 − Φ(d√n/σ)).
    const noise = Array.from({ length: 400 }, (_, i) => (((i * 149) % 400) - 199.5) / 200)
    const sigma = Math.sqrt(noise.reduce((sum, x) => sum + x * x, 0) / 400)
    const d = (1.5 * sigma) / 20
    const { pValue, pValueMoses, wins } = pairedBootstrap(mean(noise.map((x) => x + d)), mean(noise.map(() => 0)), {
      samples: 20_000,
    })
    expect(Math.abs(pValue - 0.1336)).toBeLessThan(0.01)
    expect(Math.abs(wins - 0.9332)).toBeLessThan(0.01)
    expect(pValueMoses).toBeLessThan(pValue)
  })

  it('finds nothing between a system and itself, and the same both ways round', () => {
    const [a, b] = [mean([1, 2, 3, 4, 5, 9]), mean([1, 3, 2, 4, 4, 7])]
    expect(pairedBootstrap(a, a)).toMatchObject({ score: 0, mean: 0, low: 0, high: 0, wins: 0, pValue: 1 })
    expect(pairedBootstrap(a, b).pValue).toBe(pairedBootstrap(b, a).pValue)
    expect(pairedBootstrap(a, b).low).toBe(-pairedBootstrap(b, a).high)
  })

  it('draws the same sentences for both', () => {
    const [a, b] = [mean([1, 5, 9, 2]), mean([2, 6, 10, 3])]
    const { low, high } = pairedBootstrap(a, b)
    expect([low, high]).toEqual([-1, -1])
  })

  it('refuses scores of different corpora', () => {
    expect(() => pairedBootstrap(mean([1]), mean([1, 2]))).toThrow(/same sentences, got 1 and 2/)
  })
})

describe('CorpusScore', () => {
  it('keeps its sentences: all of them give the score, a part that of the part', () => {
    const score = text.bleu(paired.system, paired.references)
    const part = [3, 7, 7, 19, 40]
    expect(score.select(paired.system.keys()).score).toBe(score.score)
    const again = text.bleu(
      part.map((i) => paired.system[i] as string),
      part.map((i) => paired.references[i] as string),
    )
    expect(score.select(part).score).toBe(again.score)
    expect(JSON.parse(JSON.stringify(score))).not.toHaveProperty('rows')
  })

  it.each([
    ['no rows', [], () => 1, ArgumentError],
    ['rows of different lengths', [[1], [1, 2]], () => 1, ArgumentError],
    ['empty rows', [[]], () => 1, ArgumentError],
    ['NaN', [[Number.NaN]], () => 1, ArgumentError],
    ['what is no function', [[1]], 3, ArgumentError],
    ['a measure that gives no number', [[0]], ([x]: number[]) => 1 / (x as number), NotFiniteError],
  ])('refuses %s', (_, rows, measure, error) => {
    expect(() => new CorpusScore(rows as number[][], measure as text.Measure)).toThrow(error)
  })
})

describe('curves', () => {
  const score = mean([10, 20, 30, 40, 50, 60])

  it('bins by equal counts, equal keys together', () => {
    const points = curve(score, [5, 1, 2, 2, 2, 9], { bins: 3 })
    expect(points.map(({ from, key, to, count, score }) => ({ from, key, to, count, score }))).toEqual([
      { from: 1, key: 7 / 4, to: 2, count: 4, score: 35 },
      { from: 5, key: 7, to: 9, count: 2, score: 35 },
    ])
    const [first] = points
    expect(first).toMatchObject({ ...bootstrap(score.select([1, 2, 3, 4])) })
    expect(curve(score, [1, 1, 1, 1, 1, 1])).toHaveLength(1)
    expect(curve(score, [1, 2, 3, 4, 5, 6], { bins: 100 }).map(({ score }) => score)).toEqual([10, 20, 30, 40, 50, 60])
  })

  it('bins by edges, the last with its upper bound; sentences outside and empty bins are left out', () => {
    const points = curve(score, [1, 2, 3, 4, 5, 6], { edges: [2, 4, 4.5, 4.9, 5] })
    expect(points.map(({ from, to, score }) => [from, to, score])).toEqual([
      [2, 3, 25],
      [4, 4, 40],
      [5, 5, 50],
    ])
  })

  it('goes by the length of the source', () => {
    const sources = [['a'], ['a', 'b', 'c'], ['a'], ['a', 'b', 'c'], ['a', 'b'], []]
    expect(lengthCurve(score, sources, { bins: 3 }).map(({ key, count }) => [key, count])).toEqual([
      [2 / 3, 3],
      [2, 1],
      [3, 2],
    ])
  })

  it('goes by the mean rank of the source’s words', () => {
    const ranks = wordRanks([['the', 'cat'], ['the', 'dog', 'cat'], ['the']])
    expect([...ranks]).toEqual([
      ['the', 1],
      ['cat', 2],
      ['dog', 3],
    ])
    const sources = [['the'], ['the', 'cat'], ['dog'], ['unseen'], [], ['cat', 'unseen']]
    expect(rarityCurve(score, sources, ranks, { bins: 6 }).map(({ key, count }) => [key, count])).toEqual([
      [0, 1],
      [1, 1],
      [1.5, 1],
      [3, 2],
      [4, 1],
    ])
  })

  it.each([
    ['keys of other sentences', [1, 2]],
    ['keys that are not finite', [1, 2, 3, 4, 5, Infinity]],
    ['no array', 3],
    ['no bins', [1, 2, 3, 4, 5, 6], { bins: 0 }],
    ['edges that do not ascend', [1, 2, 3, 4, 5, 6], { edges: [1, 3, 3] }],
    ['one edge', [1, 2, 3, 4, 5, 6], { edges: [1] }],
  ] as unknown as [string, number[], text.CurveOptions][])('refuses %s', (_, keys, options) => {
    expect(() => curve(score, keys, options)).toThrow(ArgumentError)
  })
})
