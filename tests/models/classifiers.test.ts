// SequenceClassifier and TextClassifier: padding has no say, units of the data are learnt, and a saved one answers the same.
import { manualSeed, models, nn, text, train } from 'quarterturn'
import { describe, expect, it } from 'vitest'
import { inFolder } from './saved.js'

const wave = (step: number, length: number, start = 0): number[][] =>
  Array.from({ length }, (_, t) => [1000 + 300 * Math.sin(step * (t + start)), 0.001 * t])
const waves = Array.from({ length: 96 }, (_, i) => ({
  series: wave(i % 2 ? 0.5 : 1.1, 12 + (i % 7), i),
  label: i % 2 ? 'slow' : 'fast',
}))

describe('SequenceClassifier', () => {
  it('learns series of different lengths in raw units; saved and loaded it answers the same', async () => {
    manualSeed(3)
    const model = models.SequenceClassifier.of(waves, { width: 16 })
    expect(model.labels).toEqual(['fast', 'slow'])
    await train.fit(model, model.loader(waves, { seed: 1 }), { epochs: 30, progress: false })
    const fresh = [wave(0.5, 15, 1000), wave(1.1, 9, 1000)]
    const answers = await model.predict(fresh)
    expect(answers.map(({ label }) => label)).toEqual(['slow', 'fast'])
    for (const { label, probability, probabilities } of answers) {
      expect(probabilities[label]).toBe(probability)
      expect(Object.values(probabilities).reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 5)
    }
    await inFolder(async (folder) => {
      await model.save(folder)
      expect(await (await models.SequenceClassifier.load(folder)).predict(fresh)).toEqual(answers)
    })
  })

  it('the answer for a series does not depend on longer ones beside it', async () => {
    const model = models.SequenceClassifier.of(waves, { width: 8, numLayers: 2 })
    const [alone] = await model.predict([wave(1, 5)])
    const [beside] = await model.predict([wave(1, 5), wave(1, 40)])
    expect(beside?.probability).toBeCloseTo(alone?.probability as number, 5)
  })

  it('refuses what does not fit', () => {
    const model = models.SequenceClassifier.of(waves)
    expect(() => model.loader([{ series: wave(1, 3), label: 'none' }])).toThrow(/fast, slow/)
    expect(() => model.predict([[[1, 2, 3]]])).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
    expect(() => model.predict([[]])).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
    expect(() => models.SequenceClassifier.of([])).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
    expect(() => new models.SequenceClassifier({ inputs: 1, labels: ['one'] })).toThrow(/two different/)
    const moments = { mean: [0], deviation: [0] }
    expect(() => new models.SequenceClassifier({ inputs: 1, labels: ['a', 'b'], moments })).toThrow(/deviations > 0/)
  })
})

describe('TextClassifier', () => {
  const colours = ['red', 'green', 'blue', 'yellow']
  const animals = ['dog', 'cat', 'horse', 'fish']
  const texts = Array.from({ length: 128 }, (_, i) => ({
    text: `The ${(i % 2 ? colours : animals)[i % 4]} ${'thing '.repeat(i % 5)}is here.`,
    label: i % 2 ? 'colour' : 'animal',
  }))

  it('learns; saved and loaded it answers the same, also for words it has never seen', async () => {
    manualSeed(4)
    const model = models.TextClassifier.of(texts, { width: 16, embedding: 16 })
    await train.fit(model, model.loader(texts, { seed: 1 }), { epochs: 12, progress: false })
    const fresh = ['A green thing!', 'the horse is HERE', 'zygote']
    const answers = await model.predict(fresh)
    expect(answers.slice(0, 2).map(({ label }) => label)).toEqual(['colour', 'animal'])
    await inFolder(async (folder) => {
      await model.save(folder)
      expect(await (await models.TextClassifier.load(folder)).predict(fresh)).toEqual(answers)
    })
  })

  it('hides some words in training, and none in use', async () => {
    const model = models.TextClassifier.of(texts, { width: 8, embedding: 8, dropout: 0 })
    const batch = async (): Promise<number> => {
      for await (const each of model.loader(texts, { batch: 128, shuffle: false }))
        return model.loss(each as never).loss.item()
      return Number.NaN
    }
    expect(await batch()).not.toBe(await batch())
    model.eval()
    expect(await batch()).toBe(await batch())
  })

  it('refuses a text without a word, and a vocabulary that knows no unknown', () => {
    const model = models.TextClassifier.of(texts)
    expect(() => model.predict(['  '])).toThrow(/no word/)
    const vocabulary = new text.Vocabulary(['a'])
    expect(() => new models.TextClassifier({ vocabulary, labels: ['a', 'b'] })).toThrow(/<UNK>/)
    expect(model).toBeInstanceOf(nn.Module)
  })
})
