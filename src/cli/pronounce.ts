// quarterturn pronounce: what a trained model makes of words.
import { styleText } from 'node:util'
import type { Hypothesis } from '../models/index.js'
import { type Command, count, Failure, UsageError } from './command.js'

export const pronounce: Command = {
  summary: 'pronounce words with a trained model',
  positionals: 'MODEL-FOLDER WORD...',
  options: {
    beam: { type: 'string', short: 'b' },
    all: { type: 'boolean', short: 'a' },
    json: { type: 'boolean' },
  },
  describe: {
    beam: 'hypotheses kept by beam search; 1 is greedy (default 4)',
    all: 'show every hypothesis, best first, with its probability',
    json: 'one JSON object per word',
  },
  notes: [
    '`npm start` trains such a model and saves it in models/g2p.',
    'Example: quarterturn pronounce models/g2p seabright',
  ].join('\n'),

  async run(args, terminal) {
    const [folder, ...words] = args.positionals
    if (folder === undefined)
      throw new UsageError('pronounce: name the folder of a model, then words\nTry: quarterturn pronounce --help')
    if (words.length === 0)
      throw new UsageError(`pronounce: name at least one word after ${folder}\nTry: quarterturn pronounce --help`)
    const beam = count(args, 'beam', 4)
    const { EncoderDecoder } = await import('../models/index.js') // the engine is loaded only by commands that use it
    const model = await EncoderDecoder.load(folder)
    const widest = model.target.size - 1
    if (beam > widest) throw new UsageError(`pronounce: --beam must be at most ${widest} for this model, got ${beam}`)
    const letters = words.map((word) => [...word.toLowerCase()])
    for (const [i, word] of words.entries()) checkWord(word, letters[i] as string[], model.source)
    const found = await model.decode(letters, { beam })
    const width = Math.max(...words.map((word) => word.length))
    for (const [i, word] of words.entries()) {
      const hypotheses = found[i] as Hypothesis[]
      if (args.values.json === true) terminal.out(`${json(word, hypotheses)}\n`)
      else if (args.values.all === true)
        for (const each of hypotheses)
          terminal.out(`${word.padEnd(width)}  ${percent(each)}  ${each.symbols.join(' ')}\n`)
      else
        terminal.out(
          `${terminal.color ? styleText('bold', word.padEnd(width)) : word.padEnd(width)}  ${hypotheses[0]?.symbols.join(' ') ?? ''}\n`,
        )
    }
    return 0
  },
}

function checkWord(
  word: string,
  letters: readonly string[],
  known: { has(symbol: string): boolean; toJSON(): string[] },
): void {
  if (letters.length === 0) throw new UsageError('pronounce: a word is empty')
  const odd = letters.find((letter) => !known.has(letter))
  if (odd === undefined) return
  throw new Failure(
    `pronounce: ${JSON.stringify(odd)} in ${JSON.stringify(word)} is not among the letters that the model knows: ${known.toJSON().join(' ')}`,
  )
}

function percent({ logProbability }: Hypothesis): string {
  return `${(100 * Math.exp(logProbability)).toFixed(1).padStart(5)} %`
}

function json(word: string, hypotheses: readonly Hypothesis[]): string {
  const pronunciations = hypotheses.map(({ symbols, logProbability, ended }) => ({
    phonemes: symbols,
    logProbability,
    ended,
  }))
  return JSON.stringify({ word, pronunciations })
}
