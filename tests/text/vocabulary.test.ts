// Vocabulary: numbering, unknown symbols, the way to JSON and back.
import { text } from 'quarterturn'
import { describe, expect, it } from 'vitest'

const { Vocabulary, EOS_ID, PAD_ID, UNK } = text

describe('Vocabulary', () => {
  it('numbers symbols after <PAD> and <EOS>', () => {
    const letters = new Vocabulary([...'abc'])
    expect(letters.size).toBe(5)
    expect(letters.encode([...'cab'])).toEqual([4, 2, 3])
    expect([PAD_ID, EOS_ID].map((id) => letters.symbols[id])).toEqual(['<PAD>', '<EOS>'])
  })

  it('stops decoding at the first <EOS> and leaves <PAD> out', () => {
    expect(new Vocabulary([...'abc']).decode([0, 4, 2, 1, 3])).toEqual(['c', 'a'])
  })

  it('collects the symbols of sequences in an order that does not depend on theirs', () => {
    expect(Vocabulary.of(['ba', 'cb']).toJSON()).toEqual(['a', 'b', 'c'])
    expect(Vocabulary.of(['cb', 'ba']).toJSON()).toEqual(['a', 'b', 'c'])
  })

  it('names an unknown symbol, or reads it as <UNK> where there is one', () => {
    expect(() => new Vocabulary(['a']).encode(['é'])).toThrow(/"é" is not among the 1 symbols/)
    expect(new Vocabulary(['a', UNK]).encode(['é', 'a'])).toEqual([3, 2])
  })

  it('refuses symbols that are empty, repeated or numbers outside', () => {
    expect(() => new Vocabulary([''])).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
    expect(() => new Vocabulary(['a', 'a'])).toThrow(/given twice/)
    expect(() => new Vocabulary(['<EOS>'])).toThrow(/given twice/)
    expect(() => new Vocabulary(['a']).decode([3])).toThrow(/not within 0 … 2/)
  })

  it('comes back from JSON as it was', () => {
    const letters = new Vocabulary([...'xyz'])
    expect(new Vocabulary(JSON.parse(JSON.stringify(letters))).symbols).toEqual(letters.symbols)
  })
})
