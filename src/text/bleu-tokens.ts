// How BLEU cuts a line into tokens: the tokenisations of NIST's mteval scripts, as published scores use them. Not for models: `words` is.

/** `'13a'`: mteval-v13a; `'intl'`: mteval-v14's international one; `'char'`: every character; `'none'`: at white space. */
export type BleuTokenizer = '13a' | 'intl' | 'char' | 'none'

// White space as Python's `str.split` has it: unlike JavaScript's `\s` with the four separators of ASCII and without the byte order mark.
const SPACE = '[\\p{White_Space}\\u001c-\\u001f]+'
const SPACES = new RegExp(SPACE, 'u')
const ENDING = new RegExp(`${SPACE}$`, 'u')

/** The pieces between runs of white space. */
export function split(line: string): string[] {
  const pieces = line.split(SPACES)
  if (pieces[0] === '') pieces.shift()
  if (pieces.at(-1) === '') pieces.pop()
  return pieces
}

/** The tokens of a line, white space at its end taken away first. */
export function bleuTokens(line: string, tokenizer: BleuTokenizer): string[] {
  return split(rules[tokenizer](line.replace(ENDING, '')))
}

/** The line with spaces between its tokens. */
const rules: { readonly [Name in BleuTokenizer]: (line: string) => string } = {
  // ASCII alone: marks such as « and ’ stay with their words.
  '13a': (line) =>
    ` ${unescaped(line.replaceAll('<skipped>', '').replaceAll('-\n', '').replaceAll('\n', ' '))} `
      .replace(/([{-~[-` -&(-+:-@/])/gu, ' $1 ')
      .replace(/([^0-9])([.,])/gu, '$1 $2 ')
      .replace(/([.,])([^0-9])/gu, ' $1 $2')
      .replace(/([0-9])(-)/gu, '$1 $2 '),
  // A mark at the end of the line after a digit stays with it: so has mteval-v14, which is followed here.
  intl: (line) =>
    line
      .replace(/(\P{N})(\p{P})/gu, '$1 $2 ')
      .replace(/(\p{P})(\P{N})/gu, ' $1 $2')
      .replace(/(\p{S})/gu, ' $1 '),
  char: (line) => [...line].join(' '),
  none: (line) => line,
}

function unescaped(line: string): string {
  return line.replaceAll('&quot;', '"').replaceAll('&amp;', '&').replaceAll('&lt;', '<').replaceAll('&gt;', '>')
}
