// WordTokenizer: words, numbers and marks, from which the text comes back; and the two plain ways to cut a text.
import { ArgumentError } from '../errors.js'
import { told } from '../told.js'
import { checkArray, checkText } from './check.js'
import { JOINER, normalize } from './normalize.js'

/** Cuts texts into symbols and puts them together again. */
export interface Tokenizer {
  tokenize(text: string): string[]
  /** `detokenize(tokenize(text))` is the text, as far as the class says. */
  detokenize(symbols: readonly string[]): string
  /** What `tokenizerFrom` makes the same tokenizer of. */
  toJSON(): TokenizerJSON
}

export type TokenizerJSON =
  | { kind: 'words'; language?: Language; lowercase: boolean }
  | { kind: 'characters' }
  | { kind: 'spaces' }

export type Language = 'en' | 'fr'

export interface WordTokenizerOptions {
  /** Whose short forms are words of their own: `do n't`, `it 's`; `l' eau`, `qu' il`, `dit -il`, `a -t-il`. Without it apostrophes and hyphens within words stay. */
  language?: Language
  /** Whether texts are read in lower case. @default false */
  lowercase?: boolean
}

/** Numbers with their points and commas; words with the apostrophes and hyphens within; a mark, or several of one kind. */
const PARTS = /\p{N}+(?:[.,]\p{N}+)*|[\p{L}\p{M}\p{N}]+(?:['-][\p{L}\p{M}\p{N}]+)*|([^\s\p{L}\p{M}\p{N}])\1*/gu

/** What is cut off the front of words and off their ends, by language. */
const CLITICS: Readonly<Record<Language, { front?: RegExp; end: RegExp }>> = {
  en: { end: /(?:n't|'(?:s|re|ve|m|ll|d))$/i },
  fr: {
    front: /^(?:(?:lors|puis|jus|quoi)?qu|[cdjlmnst])'(?=.)/i,
    end: /-(?:t-(?:ils?|elles?|on)|je|tu|ils?|elles?|on|nous|vous|ce|la|les?|lui|leur|moi|toi|y|en)$/i,
  },
}

/** A part of a text without spaces, and whether, where it follows another part, the mark of that is its own. */
interface Part {
  text: string
  own: boolean
}

/**
 * Words, numbers and marks as symbols. `￭` says where there was no space, so the text comes back from them: `detokenize(tokenize(x))` is `normalize(x)` (in lower
 * case with `lowercase`) for every string. The mark goes with the mark of punctuation, or with the short form, so that words are the same symbols wherever they
 * stand; between two words (`3` and `kg` in `3kg`) the first has it.
 *
 * ```ts
 * const french = new text.WordTokenizer({ language: 'fr' })
 * const symbols = french.tokenize('L’eau, dit-il, « monte » !')
 * console.log(symbols.join('|'))   // L'￭|eau|￭,|dit|￭-il|￭,|«|monte|»|!
 * console.log(french.detokenize(symbols))   // L'eau, dit-il, « monte » !
 * ```
 *
 * An empty text has no symbols. Scripts without spaces (Chinese, Japanese, Thai) are not cut into words: `BytePairEncoding` is for them.
 *
 * @throws ArgumentError (`ERR_ARGUMENT`) for another language than `'en'` and `'fr'`, and for what is not text.
 */
export class WordTokenizer implements Tokenizer {
  readonly language: Language | undefined
  readonly lowercase: boolean

  constructor(options: WordTokenizerOptions = {}) {
    const { language, lowercase = false } = options ?? {}
    if (language !== undefined && language !== 'en' && language !== 'fr')
      throw wrong('language', "'en' or 'fr'", language)
    if (typeof lowercase !== 'boolean') throw wrong('lowercase', 'true or false', lowercase)
    this.language = language
    this.lowercase = lowercase
  }

  /** The text that comes back from its symbols. */
  normalize(text: string): string {
    return normalize(this.lowercase ? checkText(text, 'WordTokenizer').toLowerCase() : text)
  }

  tokenize(text: string): string[] {
    const symbols: string[] = []
    for (const chunk of this.normalize(checkText(text, 'WordTokenizer.tokenize')).split(' ')) {
      const parts = [...chunk.matchAll(PARTS)].flatMap(([part]) => this.#cut(part))
      for (const [i, part] of parts.entries()) {
        const before = i > 0 && part.own ? JOINER : ''
        const next = parts[i + 1]
        symbols.push(`${before}${part.text}${next !== undefined && !next.own ? JOINER : ''}`)
      }
    }
    return symbols
  }

  detokenize(symbols: readonly string[]): string {
    let text = ''
    let joined = true
    for (const symbol of checkArray(symbols, 'WordTokenizer.detokenize', 'an array of symbols')) {
      checkText(symbol, 'WordTokenizer.detokenize')
      if (!joined && !symbol.startsWith(JOINER)) text += ' '
      text += symbol.replaceAll(JOINER, '')
      joined = symbol.endsWith(JOINER)
    }
    return text
  }

  toJSON(): TokenizerJSON {
    const { language, lowercase } = this
    return { kind: 'words', ...(language === undefined ? {} : { language }), lowercase }
  }

  /** A word without its short forms, and these. */
  #cut(part: string): Part[] {
    if (!/^[\p{L}\p{M}\p{N}]/u.test(part)) return [{ text: part, own: true }]
    const clitics = this.language === undefined ? undefined : CLITICS[this.language]
    const front = clitics?.front?.exec(part)?.[0] ?? ''
    const rest = part.slice(front.length)
    const end = clitics?.end.exec(rest)?.[0] ?? ''
    const word = rest.slice(0, rest.length - end.length)
    const parts = [front, word].filter((text) => text !== '').map((text) => ({ text, own: false }))
    return end === '' ? parts : [...parts, { text: end, own: word !== '' }]
  }
}

/** Each code point a symbol: letters. `detokenize(tokenize(x))` is x. */
export const letters: Tokenizer = Object.freeze({
  tokenize: (text: string) => [...checkText(text, 'letters.tokenize')],
  detokenize: (symbols: readonly string[]) => texts(symbols, 'letters.detokenize').join(''),
  toJSON: () => ({ kind: 'characters' }) as const,
})

/** What stands between spaces: phonemes, or text that was cut before. `detokenize(tokenize(x))` is x with single spaces. */
export const spaced: Tokenizer = Object.freeze({
  tokenize: (text: string) =>
    checkText(text, 'spaced.tokenize')
      .split(/\s+/)
      .filter((symbol) => symbol !== ''),
  detokenize: (symbols: readonly string[]) => texts(symbols, 'spaced.detokenize').join(' '),
  toJSON: () => ({ kind: 'spaces' }) as const,
})

/** The tokenizer that `toJSON` described. @throws ArgumentError for anything else. */
export function tokenizerFrom(json: TokenizerJSON): Tokenizer {
  const { kind } = (json ?? {}) as TokenizerJSON
  if (kind === 'words') return new WordTokenizer(json as WordTokenizerOptions)
  if (kind === 'characters') return letters
  if (kind === 'spaces') return spaced
  throw wrong('kind', "'words', 'characters' or 'spaces'", kind)
}

function texts(symbols: readonly string[], op: string): readonly string[] {
  for (const symbol of checkArray(symbols, op, 'an array of symbols')) checkText(symbol, op)
  return symbols
}

function wrong(name: string, expected: string, got: unknown): ArgumentError {
  const details = { op: 'WordTokenizer', expected, got: told(got) }
  return new ArgumentError(`WordTokenizer: ${name} must be ${expected}, got ${details.got}`, details)
}
