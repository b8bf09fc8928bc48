// readPairs: sentences and what they become, from one file of two columns or two files of equally many lines.
import { ArgumentError, DataError } from '../errors.js'
import { told } from '../told.js'
import { strictLines } from './lines.js'
import { isStream, type Source } from './source.js'

/** A text and what it becomes. */
export interface TextPair {
  source: string
  target: string
  /** What it was taken from: a verse, a document, a speaker. */
  group?: string
}

/** Files of which line i of one belongs to line i of the others. */
export interface AlignedFiles {
  source: Source
  target: Source
  /** Names the groups. */
  group?: Source
}

export interface ReadPairsOptions {
  /** What is done with a pair that has an empty side (nothing but white space). @default 'error' */
  empty?: 'error' | 'skip'
}

export interface TextPairs {
  pairs: TextPair[]
  /** Lines that were passed over with `empty: 'skip'`. */
  skipped: number
}

const op = 'readPairs'

/**
 * Reads pairs of texts: a file with a tab between source and target, and a third column, if there is one, that names the group; or two files of equally many lines.
 *
 * ```ts
 * const file = new TextEncoder().encode('the king\tle roi\tmark.1\nthe sea\tla mer\tmark.2\n')
 * const { pairs } = await data.readPairs(file)
 * console.log(pairs[1])   // { source: 'the sea', target: 'la mer', group: 'mark.2' }
 * const aligned = { source: new TextEncoder().encode('the king\n'), target: new TextEncoder().encode('le roi\n') }
 * console.log((await data.readPairs(aligned)).pairs.length)   // 1
 * ```
 *
 * Texts are UTF-8; they are kept as they are but for white space at both ends (`text.normalize` does more). Quotes are ordinary characters, and columns after the
 * third are passed over. Files are read piece by piece, off the JavaScript thread; what is kept are the pairs. A line of white space alone is an empty pair, except at
 * the end of a file.
 *
 * @throws DataError (`ERR_DATA`) with `line`: for bytes that are not UTF-8 (`column` is the byte), a line without a tab, an empty side, and, with the counts of
 * both, files of different numbers of lines; FileError (`ERR_IO`) where a file cannot be read; ArgumentError for other sources and options.
 */
export async function readPairs(source: Source | AlignedFiles, options: ReadPairsOptions = {}): Promise<TextPairs> {
  const { empty = 'error' } = (options ?? {}) as ReadPairsOptions
  if (empty !== 'error' && empty !== 'skip') throw wrong('empty', "'error' or 'skip'", empty)
  const result: TextPairs = { pairs: [], skipped: 0 }
  const add: Add = (line, columns, name) => {
    const [source = '', target = '', group] = columns.map((text) => text.trim())
    const side = source === '' ? 'source' : target === '' ? 'target' : undefined
    if (side === undefined) result.pairs.push({ source, target, ...(group === undefined ? {} : { group }) })
    else if (empty === 'skip') result.skipped++
    else {
      const message = `${op}: ${name}line ${line}: the ${side} is empty; empty: 'skip' passes such lines over`
      throw new DataError(message, { op, line, expected: `a ${side}`, got: 'nothing' })
    }
  }
  if (isAligned(source)) await readAligned(source, add)
  else await readColumns(source, add)
  return result
}

/** Takes a pair as `[source, target]` or `[source, target, group]`. */
type Add = (line: number, columns: readonly string[], name: string) => void

async function readColumns(source: Source, add: Add): Promise<void> {
  const name = nameOf(source, '')
  let line = 0
  let blank = 0
  for await (const text of strictLines(source, op)) {
    line++
    if (text.trim() === '') {
      blank++ // at the end of a file it is no pair
      continue
    }
    for (; blank > 0; blank--) add(line - blank, [], name)
    const columns = text.split('\t', 3)
    if (columns.length < 2) {
      const message = `${op}: ${name}line ${line}: there is no tab between a source and a target: '${told(text)}'`
      throw new DataError(message, { op, line, expected: 'a tab', got: 'none' })
    }
    add(line, columns, name)
  }
}

async function readAligned({ source, target, group }: AlignedFiles, add: Add): Promise<void> {
  const sources = group === undefined ? [source, target] : [source, target, group]
  const names = sources.map((each, i) => nameOf(each, `the ${['source', 'target', 'group'][i]}: `))
  const passes = sources.map((each) => strictLines(each, op)[Symbol.asyncIterator]())
  const rows: string[][] = []
  try {
    for (;;) {
      const next = await Promise.all(passes.map((pass) => pass.next()))
      if (next.some(({ done }) => done)) {
        const rest = next.map(async ({ done }, i) => (done ? 0 : 1 + (await count(passes[i] as AsyncIterator<string>))))
        const counts = (await Promise.all(rest)).map((more) => rows.length + more)
        if (new Set(counts).size > 1) throw misaligned(names, counts, rows)
        break
      }
      rows.push(next.map(({ value }) => value as string))
    }
  } finally {
    await Promise.all(passes.map((pass) => pass.return?.(undefined)))
  }
  for (const [i, row] of rows.entries()) add(i + 1, row, names[0] as string)
}

async function count(lines: AsyncIterator<string>): Promise<number> {
  let found = 0
  while (!(await lines.next()).done) found++
  return found
}

/** Says both counts, the line that has no partner and, if there is one, the first line that is empty on one side alone: there a line may have been lost. */
function misaligned(names: readonly string[], counts: readonly number[], rows: readonly string[][]): DataError {
  const told = names.map((name, i) => `${name}${counts[i]} lines`).join(', ')
  const line = rows.length + 1
  const lost = rows.findIndex((row) => new Set(row.map((text) => text.trim() === '')).size > 1)
  const hint = lost < 0 ? '' : `; the first line that is empty on one side alone is ${lost + 1}`
  const message = `${op}: files of different numbers of lines: ${told}; line ${line} has no partner${hint}`
  return new DataError(message, { op, line, expected: 'equally many lines', got: counts.join(', ') })
}

function isAligned(source: Source | AlignedFiles): source is AlignedFiles {
  return typeof source === 'object' && source !== null && !isStream(source) && 'source' in source && 'target' in source
}

function nameOf(source: Source, otherwise: string): string {
  return typeof source === 'string' || source instanceof URL ? `${source}: ` : otherwise
}

function wrong(name: string, expected: string, got: unknown): ArgumentError {
  return new ArgumentError(`${op}: ${name} must be ${expected}, got ${told(got)}`, { op, expected, got: told(got) })
}
