// Text cut into symbols, and put together again.
import { checkArray, checkText } from './check.js'

/**
 * The words of a text, in lower case: runs of letters (with the apostrophes and hyphens within them) and of digits, and every other mark by itself.
 *
 * ```ts
 * text.words("It isn't 3.5!")   // ['it', "isn't", '3', '.', '5', '!']
 * ```
 */
export function words(text: string): string[] {
  return (
    checkText(text, 'words')
      .toLowerCase()
      .match(/\p{L}[\p{L}\p{M}]*(?:['’-]\p{L}[\p{L}\p{M}]*)*|\p{N}+|[^\s\p{L}\p{N}]/gu) ?? []
  )
}

/** The characters of a text: its code points. */
export function characters(text: string): string[] {
  return [...checkText(text, 'characters')]
}

/** Words joined by spaces, marks joined to the word before them. */
export function joinWords(symbols: readonly string[]): string {
  for (const symbol of checkArray(symbols, 'joinWords', 'an array of strings')) checkText(symbol, 'joinWords')
  return symbols
    .join(' ')
    .replace(/ ([.,;:!?)\]}%’”])/g, '$1')
    .replace(/([([{“]) /g, '$1')
}
