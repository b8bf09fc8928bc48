// LanguageModel: it learns what follows, writes it, by characters and by words; a saved one writes the same.
import { manualSeed, models, text, train } from 'quarterturn'
import { describe, expect, it } from 'vitest'
import { inFolder } from './saved.js'

const verse = 'one two three four five, six seven eight. '.repeat(30)

describe('LanguageModel', () => {
  it.each(['character', 'word'] as const)('by %ss: learns, writes, and is the same when loaded', async (unit) => {
    manualSeed(5)
    const model = models.LanguageModel.of(verse, { unit, width: 48, numLayers: 1, dropout: 0 })
    const history = await train.fit(model, model.loader(verse, { batch: 8, length: 24, seed: 1 }), {
      epochs: unit === 'word' ? 60 : 25,
      clipNorm: 1,
      progress: false,
    })
    expect(history.best?.loss).toBeLessThan(0.3)
    const [next] = await model.predict(unit === 'word' ? 'one two' : 'one two thre')
    expect(next?.symbol).toBe(unit === 'word' ? 'three' : 'e')
    const written = await model.generate('one two three', { length: unit === 'word' ? 6 : 24, temperature: 0 })
    expect(written.trim()).toBe(unit === 'word' ? 'four five, six seven eight' : 'four five, six seven ei')
    const drawn = await model.generate('one', { seed: 3, length: 30 })
    expect(await model.generate('one', { seed: 3, length: 30 })).toBe(drawn)
    await inFolder(async (folder) => {
      await model.save(folder)
      expect(await (await models.LanguageModel.load(folder)).generate('one', { seed: 3, length: 30 })).toBe(drawn)
    })
  })

  it('never writes what stands for the unknown, and ends where a text ends', async () => {
    manualSeed(6)
    const names = ['anna', 'hanna', 'johanna']
    const model = models.LanguageModel.of(names, { width: 32, numLayers: 1, dropout: 0 })
    await train.fit(model, model.loader(Array(20).fill(names).flat(), { length: 16, batch: 8 }), {
      epochs: 40,
      progress: false,
    })
    expect(await model.generate('joh', { temperature: 0 })).toBe('anna')
    const symbols = (await model.predict('zzz', { top: 50 })).map(({ symbol }) => symbol)
    expect(symbols).not.toContain(text.UNK)
    expect(symbols).not.toContain(text.PAD)
    expect(symbols).toHaveLength(model.vocabulary.size - 2)
  })

  it('the last row is filled up, and the filling does not count', async () => {
    const model = models.LanguageModel.of('abcabc', { width: 8, numLayers: 1, dropout: 0 })
    const shapes: unknown[] = []
    for await (const { symbols } of model.loader('abcabc', { batch: 1, length: 4, shuffle: false }))
      shapes.push(await symbols.toArray())
    const [a, b, c] = model.vocabulary.encode([...'abc'])
    expect(shapes).toEqual([[[a, b, c, a, b]], [[b, c, 1, 0, 0]]])
  })

  it('refuses what does not fit', async () => {
    const model = models.LanguageModel.of('abc')
    await expect(model.generate('a', { temperature: -1 })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
    await expect(model.generate('a', { length: 0 })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
    await expect(model.predict('a', { top: 0 })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
    expect(() => model.loader('')).toThrow(/no text/)
    expect(() => models.LanguageModel.of('abc', { unit: 'line' as 'word' })).toThrow(/'character' or 'word'/)
    expect(() => new models.LanguageModel({ vocabulary: new text.Vocabulary(['a']) })).toThrow(/<UNK>/)
  })
})
