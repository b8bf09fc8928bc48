// The labelled series that ship with PyPI `aeon`, their official split, and the accuracies that the same package says were published for them.
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { data } from 'quarterturn'

/** Sets whose series have several dimensions, whose levels and sizes tell classes apart. */
const MULTIVARIATE: readonly string[] = ['BasicMotions', 'JapaneseVowels']

/** Sets of the UCR and UEA archives in version 1.6.0 that have a part for training and one for the test. */
export const SETS: readonly string[] = [
  ...['ACSF1', 'ArrowHead', 'GunPoint', 'ItalyPowerDemand', 'OSULeaf'],
  ...['PickupGestureWiimoteZ', ...MULTIVARIATE],
]

/** Classifiers whose accuracies on the archive are in the package. */
export const CLASSIFIERS: readonly string[] = ['InceptionTime', 'HC2', 'FreshPRINCE', 'WEASEL-2.0']

/** Where the files are: `ucr` in the cache folder. */
export function setsFolder(): string {
  const { QUARTERTURN_CACHE, XDG_CACHE_HOME } = process.env
  return join(QUARTERTURN_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'quarterturn'), 'ucr')
}

/** A set that `npm run corpus:ucr` unpacked, each series of one dimension normalised by itself, shorter ones filled up with zeros. */
export function readSet(name: string, folder = setsFolder()): Promise<data.UcrSplit> {
  return data.readUcrSplit(join(folder, name), { normalize: !MULTIVARIATE.includes(name), padding: 0 })
}

/** Accuracies on the official split (resample 0), by classifier; those that the package has. */
export async function published(name: string, folder = setsFolder()): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  for (const classifier of CLASSIFIERS) {
    const text = await readFile(join(folder, `${classifier}_accuracy.csv`), 'utf8')
    const row = text.split(/\r?\n/).find((line) => line.startsWith(`${name},`))
    if (row !== undefined) found.set(classifier, Number(row.split(',')[1]))
  }
  return found
}
