// The studies of residual networks and of series with a budget of a fraction of a second: every variant runs and is reported.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { depth } from '../../examples/residual/depth.js'
import { digits } from '../../examples/residual/digits.js'
import { first, readDigits } from '../../examples/residual/images.js'
import { lesions } from '../../examples/residual/lesions.js'
import { savings } from '../../examples/residual/savings.js'
import { shortcuts } from '../../examples/residual/shortcuts.js'
import { runStudy, type Study } from '../../examples/study/study.js'
import { CLASSIFIERS, SETS } from '../../examples/ucr/sets.js'
import { series } from '../../examples/ucr/study.js'

const folder = mkdtempSync(join(tmpdir(), 'quarterturn-residual-'))
afterAll(() => rmSync(folder, { recursive: true }))

const few = { seconds: 0.02, batch: 16, rows: 64, width: 4 }

it.each<[string, () => Study, string, number]>([
  ['residual-digits', () => digits({ ...few, depth: 8 }) as Study, 'test accuracy, %', 1],
  ['residual-depth', () => depth({ ...few, seconds: 0.01 }) as Study, 'effective rank before', 20],
  ['residual-shortcuts', () => shortcuts({ ...few, depth: 8 }) as Study, 'test error, %', 9],
  ['residual-lesions', () => lesions({ ...few, depth: 14, tested: 32, paths: 1 }) as Study, 'parameters', 3],
])('%s: every variant runs and is reported', async (name, make, measure, variants) => {
  const runs = await runStudy(make(), { seeds: 1, folder })
  expect(Object.keys(runs)).toHaveLength(variants)
  for (const run of Object.values(runs)) expect(run[1]?.[measure]).toBeGreaterThan(0)
  expect(readFileSync(join(folder, `${name}.md`), 'utf8')).toMatch(/\| .* ± /)
})

it('savings: reversible blocks keep less than blocks that keep all', async () => {
  const study = savings({ ...few, depth: 8, images: 4, channels: 8 })
  const runs = await runStudy(study, { seeds: 1, folder })
  const kept = (name: string): number => {
    const curve = runs[name]?.[1]?.['MB kept by a training step']
    return Array.isArray(curve) ? (curve.at(-1) as number) : Number.NaN
  }
  expect(kept('reversible blocks')).toBeLessThan(kept('the same, kept'))
})

it('series: every set is learnt, beside what is published for it', async () => {
  for (const classifier of CLASSIFIERS)
    writeFileSync(
      join(folder, `${classifier}_accuracy.csv`),
      `dataset,0\n${SETS.map((set) => `${set},0.9`).join('\n')}\n`,
    )
  const lines = Array.from({ length: 12 }, (_, i) =>
    [i % 2, ...Array.from({ length: 16 }, (__, t) => Math.sin((i % 2 ? 0.4 : 1.2) * t + i))].join('\t'),
  ).join('\n')
  for (const set of SETS) {
    mkdirSync(join(folder, set))
    for (const part of ['TRAIN', 'TEST']) writeFileSync(join(folder, set, `${set}_${part}.tsv`), lines)
  }
  const runs = await runStudy(series({ epochs: 2, width: 2 }, folder), { seeds: 1, folder })
  expect(Object.keys(runs)).toEqual([...SETS])
  for (const run of Object.values(runs)) {
    expect(run[1]?.['InceptionTime, %']).toBe(90)
    expect(run[1]?.['ResNet1d, %']).toBeGreaterThanOrEqual(0)
  }
})

it('digits of 14 × 14 are the means of 2 × 2 pixels; the first rows are the first', async () => {
  const [whole, half] = [await readDigits(28), await readDigits(14)]
  expect(whole.training.images.shape).toEqual([60_000, 1, 28, 28])
  expect(half.test.images.shape).toEqual([10_000, 1, 14, 14])
  const at = (y: number, x: number): number => whole.test.images.data[28 * y + x] as number
  expect(half.test.images.data[14 * 7 + 7]).toBe(Math.round((at(14, 14) + at(14, 15) + at(15, 14) + at(15, 15)) / 4))
  expect(first(half.test, 3).labels).toEqual(half.test.labels.slice(0, 3))
})
