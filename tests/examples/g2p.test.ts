// The main job with a small budget: it learns, reports and saves; its data are what they claim to be.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { models } from 'quarterturn'
import { describe, expect, it } from 'vitest'
import { partOf, readDictionary } from '../../examples/g2p/dictionary.js'
import { countTokens, g2p } from '../../examples/g2p/g2p.js'
import { report } from '../../examples/g2p/report.js'

describe('the dictionary', () => {
  const split = readDictionary()
  const all = [...split.training, ...split.validation, ...split.test]

  it('has every word in one part, with all its variants', () => {
    expect(new Set(all.map(({ word }) => word)).size).toBe(all.length)
    expect(all.length).toBeGreaterThan(120_000)
    for (const part of ['training', 'validation', 'test'] as const)
      expect(split[part].every(({ word }) => partOf(word) === part)).toBe(true)
    expect(split.test.length / all.length).toBeCloseTo(0.06, 2)
    expect(split.training.find(({ word }) => word === 'tomato')?.pronunciations.map((p) => p.join(' '))).toEqual([
      'T AH M EY T OW',
      'T AH M AA T OW',
    ])
  })

  it('has phonemes without stress marks and comments', () => {
    const phonemes = new Set(all.flatMap(({ pronunciations }) => pronunciations.flat()))
    expect(phonemes.size).toBe(39)
    for (const phoneme of phonemes) expect(phoneme).toMatch(/^[A-Z]{1,2}$/)
  })

  it('counts as tokens what the networks read', () => {
    expect(
      countTokens([
        {
          word: 'cat',
          pronunciations: [
            ['K', 'AE', 'T'],
            ['K', 'AH', 'T'],
          ],
        },
      ]),
    ).toBe(2 * (3 + 3 + 1))
  })
})

describe('the job', () => {
  it('learns, reports on words it has not seen, and leaves a model that loads', async () => {
    const said: string[] = []
    const result = await g2p({
      tokens: 150_000,
      width: 64,
      testWords: 200,
      beam: 2,
      seed: 2,
      progress: false,
      say: (line) => said.push(line),
    })
    expect(said.join('\n')).toMatch(/200 for the test/)
    expect(Math.abs(result.tokens / 150_000 - 1)).toBeLessThan(0.02)
    expect(result.loss).toBeLessThan(3.3) // ln 41 = 3.71 for guessing; the frequencies of phonemes alone give 3.3
    expect(result.greedy.symbols).toBeLessThan(1)
    expect(result.answers.every(({ entry }) => partOf(entry.word) === 'test')).toBe(true)
    const text = report(result, { seed: 2, bold: (line) => line })
    expect(text).toMatch(/this model, greedy +\d\.\d{3} +\d+\.\d % +\d+\.\d %/)
    expect(/A dozen of them\n([\s\S]*?)\n\n/.exec(text)![1]!.split('\n')).toHaveLength(12)
    expect(text).toMatch(/And some that no dictionary has\n {2}quarterturn {3}[A-Z]/)

    const folder = await mkdtemp(join(tmpdir(), 'quarterturn-g2p-'))
    await result.model.save(folder)
    const loaded = await models.EncoderDecoder.load(folder)
    expect(await loaded.decode([[...'seabright']])).toEqual(await result.model.decode([[...'seabright']]))
    await rm(folder, { recursive: true })
  })

  it('stops when its time is up', async () => {
    const result = await g2p({ minutes: 0.02, width: 64, testWords: 20, seed: 1, progress: false })
    expect(result.seconds).toBeLessThan(30)
    expect(result.tokens).toBeLessThan(3_000_000)
    expect(result.tokens).toBeGreaterThan(0)
  })
})
