// Words are cut where a reader would cut them, and put together again.
import { text } from 'quarterturn'
import { expect, it } from 'vitest'

it.each([
  ["It isn't 3.5!", ['it', "isn't", '3', '.', '5', '!']],
  ['Ünï-code — “x”', ['ünï-code', '—', '“', 'x', '”']],
  ['l’eau, 東京', ['l’eau', ',', '東京']],
  [' \n', []],
])('%s', (input, expected) => {
  expect(text.words(input)).toEqual(expected)
})

it('joins words and marks', () => {
  expect(text.joinWords(['so', ',', 'he', '(', 'she', ')', 'said', '!'])).toBe('so, he (she) said!')
})

it('characters are code points', () => {
  expect(text.characters('a𝄞')).toEqual(['a', '𝄞'])
})

it('the most frequent words make a vocabulary', () => {
  const vocabulary = text.Vocabulary.frequent(
    [
      ['b', 'a', 'b'],
      ['c', 'a', '<EOS>', '<UNK>'],
    ],
    { size: 2, minCount: 2 },
  )
  expect(vocabulary.toJSON()).toEqual(['<UNK>', 'a', 'b'])
  expect(vocabulary.encode(['c', 'b'])).toEqual([2, 4])
  expect(() => text.Vocabulary.frequent([], { size: 0 })).toThrow(/size/)
  expect(() => text.Vocabulary.frequent([], { minCount: 1.5 })).toThrow(/minCount/)
})
