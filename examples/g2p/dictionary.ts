// The CMU pronouncing dictionary as pairs of letters and phonemes, split by word into training, validation and test.
import { dictionary } from 'cmu-pronouncing-dictionary'

/** A word and all its pronunciations, the first one being the dictionary's first. */
export interface Entry {
  word: string
  /** Phonemes in the ARPAbet without stress marks: `['S', 'IY', 'B', 'R', 'AY', 'T']`. */
  pronunciations: string[][]
}

export interface Split {
  training: Entry[]
  validation: Entry[]
  test: Entry[]
}

const WORD = /^[a-z']+$/
const VARIANT = /\(\d+\)$/

/**
 * The words of letters and apostrophes (99 % of all), with stress marks and editors' comments removed, and pronunciations that differ by stress
 * alone merged. 6 % of the words are for the test and 2 % for validation; a word is always wholly in one part, with all its variants.
 */
export function readDictionary(): Split {
  const entries = new Map<string, Entry>()
  for (const [key, value] of Object.entries(dictionary)) {
    const word = key.replace(VARIANT, '')
    if (!WORD.test(word)) continue
    const phonemes = value
      .replace(/\s*#.*$/, '')
      .replace(/\d/g, '')
      .split(' ')
    const entry = entries.get(word) ?? { word, pronunciations: [] }
    entries.set(word, entry)
    if (!entry.pronunciations.some((known) => known.join(' ') === phonemes.join(' ')))
      entry.pronunciations.push(phonemes)
  }
  const split: Split = { training: [], validation: [], test: [] }
  for (const entry of entries.values()) split[partOf(entry.word)].push(entry)
  return split
}

/** The part that a word belongs to: the same in every run and every version of the dictionary. */
export function partOf(word: string): keyof Split {
  const bucket = hash(word) % 100
  return bucket < 6 ? 'test' : bucket < 8 ? 'validation' : 'training'
}

/** FNV-1a, 32 bits, followed by the finaliser of MurmurHash3, because FNV's low bits are weak for short words. */
function hash(text: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
