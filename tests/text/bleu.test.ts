// BLEU against sacreBLEU 2.6.0 (fixtures/measures.json) and the values of sacreBLEU's own tests; its laws; what it refuses.
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { ArgumentError, text } from 'quarterturn'
import { describe, expect, it } from 'vitest'
import { asTheirs, corpora } from './measures.js'

const { bleu } = text

describe.each(corpora)('$name', ({ hypotheses, references, bleu: expected }) => {
  it.each(expected)('$options', ({ options, ...theirs }) => {
    const ours = bleu(hypotheses, references, options)
    expect(Math.abs(ours.score - theirs.score)).toBeLessThan(1e-9)
    expect(Math.abs(ours.bp - theirs.bp)).toBeLessThan(1e-12)
    theirs.precisions.forEach((precision, n) => {
      expect(Math.abs((ours.precisions[n] as number) - precision), `precision of order ${n + 1}`).toBeLessThan(1e-9)
    })
    expect([ours.hypothesisLength, ours.referenceLength]).toEqual([theirs.hypothesisLength, theirs.referenceLength])
    // sacreBLEU's counts contain what add-k has added.
    if (options.smooth !== 'add-k') expect([ours.counts, ours.totals]).toEqual([theirs.counts, theirs.totals])
    expect(asTheirs(ours.signature)).toBe(theirs.signature)
  })
})

describe('the values of sacreBLEU’s own tests', () => {
  const hypotheses = ['The dog bit the man.', "It wasn't surprising.", 'The man had just bitten him.']
  const references = [
    ['The dog bit the man.', 'The dog had bit the man.'],
    ['It was not unexpected.', 'No one was surprised.'],
    ['The man bit him first.', 'The man had bitten the dog.'],
  ]
  it.each([
    ['13a', 48.530827],
    ['none', 49.1919566],
    ['intl', 43.91623493],
  ] as const)('%s', (tokenize, score) => {
    expect(bleu(hypotheses, references, { tokenize }).score).toBeCloseTo(score, 6)
  })
})

describe('bleu', () => {
  it('names its settings and the version of the package', () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
    const end = `version:quarterturn-${version}`
    expect(bleu(['a'], ['a']).signature).toBe(`nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|${end}`)
    const options = { tokenize: 'intl', smooth: 'floor', lowercase: true, effectiveOrder: true, maxOrder: 2 } as const
    expect(bleu(['a', 'b'], ['a', ['b', 'c']], options).signature).toBe(
      `nrefs:var|case:lc|eff:yes|tok:intl|smooth:floor[0.10]|order:2|${end}`,
    )
    expect(String(bleu(['a b c d e'], ['a b c d f']))).toBe(
      `BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|${end} = 66.9 80.0/75.0/66.7/50.0 (BP = 1.000 ratio = 1.000 hyp_len = 5 ref_len = 5)`,
    )
  })

  it('is 100 for what equals a reference, and no order of sentences or references changes it', () => {
    const line = fc
      .array(fc.constantFrom('a', 'b', 'c', '.', 'é'), { minLength: 4, maxLength: 9 })
      .map((w) => w.join(' '))
    const pair = fc.tuple(line, fc.array(line, { minLength: 1, maxLength: 3 }))
    fc.assert(
      fc.property(fc.array(pair, { minLength: 1, maxLength: 6 }), (pairs) => {
        const [hypotheses, references] = [pairs.map(([h]) => h), pairs.map(([, r]) => r)]
        expect(bleu(hypotheses, hypotheses).score).toBeCloseTo(100, 9)
        const { score } = bleu(hypotheses, references)
        expect(score).toBeGreaterThanOrEqual(0)
        expect(score).toBeLessThanOrEqual(100 + 1e-9)
        const turned = references.map((set) => [...set].reverse()).reverse()
        expect(bleu([...hypotheses].reverse(), turned).score).toBe(score)
      }),
    )
  })

  it.each([
    ['no sentences', [], []],
    ['two lists of different lengths', ['a'], ['a', 'b']],
    ['a sentence without references', ['a'], [[]]],
    ['what is no list', 'a', ['a']],
    ['a hypothesis that is no text', [1], ['a']],
    ['a reference that is no text', ['a'], [[null]]],
    ['an unknown tokeniser', ['a'], ['a'], { tokenize: 'zh' }],
    ['an unknown smoothing', ['a'], ['a'], { smooth: 'chen' }],
    ['orders below 1', ['a'], ['a'], { maxOrder: 0 }],
    ['a smoothing value that is no number', ['a'], ['a'], { smooth: 'floor', smoothValue: Number.NaN }],
    ['a flag that is no flag', ['a'], ['a'], { lowercase: 'yes' }],
    ['options that are no object', ['a'], ['a'], null],
  ] as unknown as [string, ...Parameters<typeof bleu>][])('refuses %s', (_, ...given) => {
    expect(() => bleu(...given)).toThrow(ArgumentError)
  })
})
