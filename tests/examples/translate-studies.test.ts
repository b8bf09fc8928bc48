// The studies of translation and of pronunciation with a budget of seconds: they run on pairs of their own, keep their models, and report what they measured.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { pronunciation } from '../../examples/g2p/study.js'
import { runStudy, type Study } from '../../examples/study/study.js'
import { beams } from '../../examples/translate/beams.js'
import { lengths } from '../../examples/translate/lengths.js'
import { reversal } from '../../examples/translate/reversal.js'
import { successors } from '../../examples/translate/successors.js'
import { vectors } from '../../examples/translate/vectors.js'
import { verses } from '../../examples/translate/verses.js'

const folder = mkdtempSync(join(tmpdir(), 'quarterturn-studies-'))
afterAll(() => rmSync(folder, { recursive: true }))

const SUBJECTS = [
  ['the king', 'le roi'],
  ['my son', 'mon fils'],
  ['the man', "l'homme"],
  ['a servant', 'un serviteur'],
]
const VERBS = [
  ['came', 'vint'],
  ['went away', "s'en alla"],
  ['gave', 'donna'],
]
const REST = [
  ['in the night.', 'pendant la nuit.'],
  ['to the house.', 'dans la maison.'],
  ['with the others.', 'avec les autres.'],
]

beforeAll(() => {
  const lines = ['1', '41', '59'].flatMap((book) =>
    SUBJECTS.flatMap(([a, x]) =>
      VERBS.flatMap(([b, y]) =>
        REST.flatMap(([c, z], i) => {
          const [target, place] = [`${x} ${y} ${z}`, `${book}.1.${i}`]
          const words = book === '1' ? '' : book === '41' ? 'and ' : 'then '
          return [`${words}${a} ${b} ${c}`, `${words}yes ${a} ${b} ${c}`].map(
            (source) => `${source}\t${words}${target}\t${place}\n`,
          )
        }),
      ),
    ),
  )
  for (const file of ['segments-12.tsv', 'segments-20.tsv', 'verses-40.tsv'])
    writeFileSync(join(folder, file), lines.join(''))
})

const tiny = { width: 8, layers: 1, pieces: 300, seconds: 0.2, dropout: 0 }

describe('the studies of translation', () => {
  it.each<[string, () => Study, string, number]>([
    ['seq2seq-reversal', () => reversal(tiny, folder) as Study, 'perplexity', 4],
    ['seq2seq-successors', () => successors(tiny, folder) as Study, 'chrF', 16],
    ['seq2seq-verses', () => verses(tiny, folder) as Study, 'perplexity', 2],
    ['seq2seq-beams', () => beams(tiny, folder) as Study, 'BLEU', 12],
    ['seq2seq-vectors', () => vectors(tiny, folder) as Study, 'words shuffled', 3],
  ])('%s: every variant runs and is reported', async (name, make, measure, variants) => {
    const runs = await runStudy(make(), { seeds: 1, folder })
    expect(Object.keys(runs)).toHaveLength(variants)
    for (const run of Object.values(runs)) expect(run[1]?.[measure]).toBeGreaterThanOrEqual(0)
    expect(readFileSync(join(folder, `${name}.md`), 'utf8')).toMatch(/\| .* ± /)
  })

  it('keeps models: what one study has trained the next one reads', async () => {
    const kept = readdirSync(join(folder, 'models'))
    expect(kept.length).toBeGreaterThan(15)
    rmSync(join(folder, 'seq2seq-reversal.json'))
    await runStudy(reversal(tiny, folder) as Study, { seeds: 1, folder })
    expect(readdirSync(join(folder, 'models'))).toEqual(kept)
  })

  it('the order of words counts for recurrences: their vectors of the same words in another order differ', async () => {
    const { runs } = JSON.parse(readFileSync(join(folder, 'seq2seq-vectors.json'), 'utf8'))
    for (const run of Object.values(runs) as { 1: Record<string, number> }[])
      expect(run[1]['words shuffled']).toBeGreaterThan(0)
  })

  it('lengths: a point for each length, and a picture', async () => {
    const study = lengths({ symbols: 512, pieces: 20, width: 8, layers: 1, steps: 1 })
    const runs = await runStudy(study, { seeds: 1, folder })
    for (const run of Object.values(runs)) expect(run[1]?.['microseconds per symbol']).toHaveLength(7)
    expect(existsSync(join(folder, 'seq2seq-lengths.svg'))).toBe(true)
    expect(readFileSync(join(folder, 'seq2seq-lengths.md'), 'utf8')).toContain('(seq2seq-lengths.svg)')
  })
})

it('pronunciation: both systems are trained and their errors reported', async () => {
  const study = pronunciation({ width: 8, tokens: 20_000, longTokens: 20_000, testWords: 20 })
  const runs = await runStudy(study, { seeds: 1, folder })
  for (const run of Object.values(runs)) {
    expect(run[1]?.['word error, beam, %']).toBeGreaterThan(0)
    expect(run[1]?.['phoneme error, beam, %']).toBeGreaterThan(0)
  }
})
