// quarterturn pronounce: what a trained model makes of words.
import { styleText } from 'node:util'
import type { Hypothesis } from '../models/index.js'
import { type Command, Failure, UsageError } from './command.js'
import { beamOf, checkBeam, decodingHelp, decodingOptions, modelAndRest } from './decoding.js'

export const pronounce: Command = {
  summary: 'pronounce words with a trained model',
  positionals: 'MODEL-FOLDER WORD...',
  options: decodingOptions,
  describe: decodingHelp('word', 'probability'),
  notes: [
    '`npm start` trains such a model and saves it in models/g2p.',
    'Example: quarterturn pronounce models/g2p seabright',
  ].join('\n'),

  async run(args, terminal) {
    const { folder, rest: words } = modelAndRest('pronounce', args, 'words')
    if (words.length === 0)
      throw new UsageError(`pronounce: name at least one word after ${folder}\nTry: quarterturn pronounce --help`)
    const beam = beamOf(args)
    const { EncoderDecoder } = await import('../models/index.js') // the engine is loaded only by commands that use it
    const model = await EncoderDecoder.load(folder)
    checkBeam('pronounce', beam, model.target)
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
