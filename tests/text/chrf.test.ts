// chrF and chrF++ against sacreBLEU 2.6.0 (fixtures/measures.json), values by hand, and what it refuses.
import { ArgumentError, text } from 'quarterturn'
import { describe, expect, it } from 'vitest'
import { asTheirs, corpora } from './measures.js'

const { chrF } = text

describe.each(corpora)('$name', ({ hypotheses, references, chrf: expected }) => {
  it.each(expected)('$options', ({ options, ...theirs }) => {
    const ours = chrF(hypotheses, references, options)
    expect(Math.abs(ours.score - theirs.score)).toBeLessThan(1e-9)
    expect(ours.name).toBe(theirs.name)
    expect(asTheirs(ours.signature)).toBe(theirs.signature)
  })
})

describe('chrF', () => {
  it('is the F of shares of characters', () => {
    // Of ab against abc with single characters: precision 1, recall 2/3.
    expect(chrF(['ab'], ['abc'], { charOrder: 1, beta: 1 }).score).toBeCloseTo((100 * 2 * (2 / 3)) / (1 + 2 / 3), 10)
    expect(chrF(['ab'], ['abc'], { charOrder: 1 }).score).toBeCloseTo((100 * 5 * (2 / 3)) / (4 + 2 / 3), 10)
  })

  it('counts characters, not the halves of surrogate pairs', () => {
    expect(chrF(['😀'], ['😁'], { charOrder: 1 }).score).toBe(0)
  })

  it('is told in one line', () => {
    expect(String(chrF(['abc'], ['abc'], { wordOrder: 2 }))).toMatch(
      /^chrF2\+\+\|nrefs:1\|case:mixed\|eff:yes\|nc:6\|nw:2\|space:no\|version:quarterturn-\S+ = 100\.0$/,
    )
  })

  it.each([
    ['no sentences', [], []],
    ['two lists of different lengths', ['a'], ['a', 'b']],
    ['what is no text', [1], ['a']],
    ['no orders', ['a'], ['a'], { charOrder: 0 }],
    ['β = 0', ['a'], ['a'], { beta: 0 }],
    ['a flag that is no flag', ['a'], ['a'], { whitespace: 1 }],
  ] as unknown as [string, ...Parameters<typeof chrF>][])('refuses %s', (_, ...given) => {
    expect(() => chrF(...given)).toThrow(ArgumentError)
  })
})
