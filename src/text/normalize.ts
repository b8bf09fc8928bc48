// normalize: one spelling for what is one text.
import { checkText } from './check.js'

/** Stands in symbols for "no space here"; a text that holds it gets `■` instead. */
export const JOINER = '￭'

/**
 * One way to write what can be written in several, so that equal texts are equal strings:
 *
 * 1. lone surrogates, which are no Unicode, become U+FFFD; what cannot be seen and joins nothing (U+00AD, U+200B, U+2060, U+FEFF) is left out;
 * 2. canonical composition (NFC): `e` and a combining accent become `é`;
 * 3. spaces of any kind (no-break, narrow, thin, line ends, tabs), one or several, become one space; none at the ends;
 * 4. `‘ ’ ‚ ‛ ʼ` and a grave or acute accent standing alone become `'`, `“ ” „ ‟` become `"`; `« »` stay, with or without spaces within;
 * 5. `￭` (U+FFED), which `WordTokenizer` uses as a mark, becomes `■`, as with OpenNMT.
 *
 * `normalize(normalize(x))` is `normalize(x)`.
 *
 * ```ts
 * console.log(text.normalize('«\u00a0L’e\u0301te\u0301\u202f!\u00a0»\n'))   // « L'été ! »
 * ```
 */
export function normalize(text: string): string {
  return checkText(text, 'normalize')
    .replace(/\p{Surrogate}/gu, '\ufffd')
    .replace(/[\u00ad\u200b\u2060\ufeff]/g, '')
    .normalize('NFC')
    .replace(/[‘’‚‛ʼ`´]/g, "'")
    .replace(/[“”„‟]/g, '"')
    .replaceAll(JOINER, '■')
    .replace(/\s+/g, ' ')
    .trim()
}
