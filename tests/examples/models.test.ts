// The examples of the ten-line models with a small budget: each beats the naive baseline that it prints beside itself.
import { describe, expect, it } from 'vitest'
import { readBrown, splitTexts } from '../../examples/brown/corpus.js'
import { genres } from '../../examples/brown/genres.js'
import { letters } from '../../examples/brown/letters.js'
import { mileage } from '../../examples/cars/mileage.js'
import { cities } from '../../examples/weather/cities.js'
import { forecast } from '../../examples/weather/forecast.js'

const small = { seed: 1, progress: false } as const

describe('weather', () => {
  it('two weeks of weather tell the city', async () => {
    const said: string[] = []
    const { accuracy, naive } = await cities({ ...small, say: (line) => said.push(line) })
    expect(naive).toBeGreaterThan(0.6)
    expect(accuracy).toBeGreaterThan(naive + 0.08)
    expect(said.join('\n')).toMatch(/100 of 2015 for the test\nfound: this model \d+\.\d %/)
  })

  it('the temperatures of a week are foretold better than by the last day or the last week', async () => {
    const said: string[] = []
    const { error, naive, weekly } = await forecast({ ...small, say: (line) => said.push(line) })
    expect(naive).toBeLessThan(weekly)
    expect(error).toBeLessThan(0.92 * naive)
    expect(error).toBeGreaterThan(2) // better than that would be too good to be true
    expect(said.at(-1)).toMatch(/^the first week of 2016: (-?\d+ °C(, )?){7}$/)
  })
})

describe('cars', () => {
  it('the mileage of a car is told better than by the mean', async () => {
    const { error, naive } = await mileage(small)
    expect(error).toBeLessThan(naive / 3)
  })
})

describe('the Brown corpus', () => {
  it('has whole texts in one part, of words without tags', () => {
    const texts = readBrown()
    expect(texts).toHaveLength(425)
    expect(texts[0]?.sentences[0]?.slice(0, 5)).toEqual(['The', 'Fulton', 'County', 'Grand', 'Jury'])
    const { training, test } = splitTexts(texts)
    const names = new Set(training.map(({ name }) => name))
    expect(test.some(({ name }) => names.has(name))).toBe(false)
    expect(test.length + training.length).toBe(texts.length)
  })

  it('genres are told better than by naming the most frequent one', async () => {
    const { accuracy, naive } = await genres({ ...small, passages: 2000, epochs: 2 })
    expect(accuracy).toBeGreaterThan(naive + 0.08)
  })

  it('letters are foretold better than by their frequencies', async () => {
    const said: string[] = []
    const { bits, frequencies } = await letters({
      ...small,
      texts: 6,
      width: 96,
      epochs: 3,
      say: (line) => said.push(line),
    })
    expect(bits).toBeLessThan(frequencies - 0.4)
    expect(said.at(-1)).toMatch(/^The morning was/)
  })
})
