// Edit distance against known values and its laws; error rates against the best reference.
import fc from 'fast-check'
import { text } from 'quarterturn'
import { describe, expect, it } from 'vitest'

const { editDistance, errorRates } = text

describe('editDistance', () => {
  it.each([
    ['kitten', 'sitting', 3],
    ['', 'abc', 3],
    ['abc', '', 3],
    ['flaw', 'lawn', 2],
    ['same', 'same', 0],
  ])('%s → %s is %i', (a, b, distance) => {
    expect(editDistance([...a], [...b])).toBe(distance)
  })

  it('is a metric', () => {
    const word = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 8 })
    fc.assert(
      fc.property(word, word, word, (a, b, c) => {
        const ab = editDistance(a, b)
        expect(ab).toBe(editDistance(b, a))
        expect(ab === 0).toBe(a.join() === b.join())
        expect(editDistance(a, c)).toBeLessThanOrEqual(ab + editDistance(b, c))
      }),
    )
  })
})

describe('errorRates', () => {
  it('counts each answer against its best reference', () => {
    const rates = errorRates([
      { hypothesis: [...'AB'], references: [[...'XYZW'], [...'AB']] }, // right, by its second reference
      { hypothesis: [...'ABC'], references: [[...'AXC'], [...'XYZ']] }, // one of three wrong
    ])
    expect(rates.symbols).toBeCloseTo(1 / 5, 12)
    expect(rates.sequences).toBe(1 / 2)
  })

  it('exceeds 1 where too much is written', () => {
    expect(errorRates([{ hypothesis: [...'AAAA'], references: [['A']] }]).symbols).toBe(3)
  })
})
