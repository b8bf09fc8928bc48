// The sets of `aeon`: where `npm run corpus:ucr` has put them, they are the published ones; accuracies are those of the official split.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { CLASSIFIERS, published, readSet, SETS, setsFolder } from '../../examples/ucr/sets.js'

const folder = mkdtempSync(join(tmpdir(), 'quarterturn-sets-'))
afterAll(() => rmSync(folder, { recursive: true }))

test('an accuracy is that of resample 0, by the whole name of a set', async () => {
  for (const name of CLASSIFIERS)
    writeFileSync(join(folder, `${name}_accuracy.csv`), 'Resamples:,0,1\nGunPointAge,0.1,0.2\nGunPoint,0.75,0.5\n')
  expect(await published('GunPoint', folder)).toEqual(new Map(CLASSIFIERS.map((name) => [name, 0.75])))
  expect((await published('Gun', folder)).size).toBe(0)
})

/** Series to learn from and for the test, dimensions, steps, classes. */
const sizes: Readonly<Record<string, number[]>> = {
  ACSF1: [100, 100, 1, 1460, 10],
  ArrowHead: [36, 175, 1, 251, 3],
  GunPoint: [50, 150, 1, 150, 2],
  ItalyPowerDemand: [67, 1029, 1, 24, 2],
  OSULeaf: [200, 242, 1, 427, 6],
  BasicMotions: [40, 40, 6, 100, 4],
  JapaneseVowels: [270, 370, 12, 29, 9],
  PickupGestureWiimoteZ: [50, 50, 1, 361, 10],
}

describe.skipIf(!existsSync(join(setsFolder(), 'GunPoint')))('unpacked', () => {
  test.each(SETS)(
    '%s has the published sizes, and its series are normalised if they have one dimension',
    async (name) => {
      const { train, test: held } = await readSet(name)
      const [n, dimensions, steps] = train.series.shape
      expect([n, held.labels.length, dimensions, steps, train.classes.length]).toEqual(sizes[name])
      const first = train.series.data.subarray(0, train.lengths[0])
      const mean = first.reduce((sum, value) => sum + value, 0) / first.length
      expect(Math.abs(mean) < 1e-5).toBe(dimensions === 1)
    },
  )
})
