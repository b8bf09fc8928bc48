// What a person sees after training: the figures beside published ones, and a dozen words.
import type { G2pResult } from './g2p.js'

const WORDS = 12

export interface ReportOptions {
  seed: number
  bold: (text: string) => string
}

export function report(result: G2pResult, { seed, bold }: ReportOptions): string {
  const { loss, greedy, beam, answers } = result
  const rows = [
    ['', 'loss', 'phoneme error', 'word error'],
    ['this model, greedy', loss.toFixed(3), percent(greedy.symbols), percent(greedy.sequences)],
    ['this model, beam search', '', percent(beam.symbols), percent(beam.sequences)],
    ['published, LSTMs without attention ¹', '', '5 … 8 %', '23 … 30 %'],
  ]
  const lines = [
    bold(`On ${answers.length.toLocaleString('en-US')} words that it has never seen`),
    ...table(rows, ['left', 'right', 'right', 'right']),
    '¹ Yao and Zweig 2015, arXiv 1506.00196, on the same dictionary, with wider nets, longer training and another split, so',
    '  compare with care; their best, 5.45 % and 23.55 %, is a bidirectional LSTM that is given an alignment.',
    '',
    bold('A dozen of them'),
    ...table(
      dozen(result, seed).map(({ entry, phonemes }) => {
        const right = entry.pronunciations.some((known) => known.join(' ') === phonemes.join(' '))
        return [
          entry.word,
          phonemes.join(' '),
          right ? '✓' : `✗ ${entry.pronunciations.map((known) => known.join(' ')).join(' or ')}`,
        ]
      }),
      ['left', 'left', 'left'],
    ),
    '',
    bold('And some that no dictionary has'),
    ...table(
      result.unknown.map(({ word, phonemes }) => [word, phonemes.join(' ')]),
      ['left', 'left'],
    ),
  ]
  return lines.join('\n')
}

/** Words of middling length, spread evenly through the alphabet; another seed shows others. */
function dozen({ answers }: G2pResult, seed: number): G2pResult['answers'] {
  const usual = answers.filter(({ entry }) => entry.word.length >= 5 && entry.word.length <= 11)
  const from = usual.length >= WORDS ? usual : answers
  const n = Math.min(WORDS, from.length)
  const places = Array.from({ length: n }, (_, i) => (Math.floor((i * from.length) / n) + seed * 37) % from.length)
  return places.sort((a, b) => a - b).map((place) => from[place] as G2pResult['answers'][number])
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}

function table(rows: readonly string[][], align: readonly ('left' | 'right')[]): string[] {
  const widths = align.map((_, k) => Math.max(...rows.map((row) => row[k]?.length ?? 0)))
  return rows.map((row) => {
    const cells = row.map((cell, k) =>
      align[k] === 'left' ? cell.padEnd(widths[k] as number) : cell.padStart(widths[k] as number),
    )
    return `  ${cells.join('   ')}`.trimEnd()
  })
}
