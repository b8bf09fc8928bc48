// quarterturn translate: what a trained model makes of texts, given as arguments or line by line.
import { setImmediate } from 'node:timers/promises'
import { styleText } from 'node:util'
import { QuarterturnError } from '../errors.js'
import type { Translation, Translator, WrittenText } from '../models/index.js'
import type { Codec } from '../text/index.js'
import { told } from '../told.js'
import { type Arguments, type Command, Failure, type Terminal, UsageError } from './command.js'
import { beamOf, checkBeam, decodingHelp, decodingOptions, modelAndRest } from './decoding.js'

/** Lines that are translated together, of those that are there. */
const LINES = 256
/** Of what a symbol attended to, so many are shown, and none below this share. */
const [MOST, LEAST] = [3, 0.1]

export const translate: Command = {
  summary: 'translate texts with a trained model',
  positionals: 'MODEL-FOLDER [TEXT...]',
  options: { ...decodingOptions, attention: { type: 'boolean' } },
  describe: {
    ...decodingHelp('text', 'log-probability'),
    attention: 'show what of the text each part of the translation attended to',
  },
  notes: [
    'Without a TEXT each line of the standard input is one.',
    'Examples: quarterturn translate models/en-fr "The house is small."',
    '          quarterturn translate models/en-fr < english.txt > french.txt',
  ].join('\n'),

  async run(args, terminal) {
    const { folder, rest: texts } = modelAndRest('translate', args, 'texts')
    const beam = beamOf(args)
    const models = await import('../models/index.js') // the engine is loaded only by commands that use it
    const translator = await models.Translator.load(folder)
    checkBeam('translate', beam, translator.target)
    const attention = args.values.attention === true
    if (attention && !attends(translator.model))
      throw new UsageError('translate: --attention: this model does not attend to what it reads')
    let before = 0
    for await (const block of texts.length > 0 ? [texts] : linesIn(terminal)) {
      const name = (i: number): string => `${texts.length > 0 ? 'text' : 'line'} ${before + i + 1}`
      for await (const { i, translation } of translated(translator, block, { beam, attention }, name)) {
        const text = block[i] as string
        if (translation.coverage === 0 && translation.source.length > 0)
          terminal.err(
            `quarterturn: translate: ${name(i)}: the model knows nothing of it and reads <UNK>: ${told(text)}\n`,
          )
        terminal.out(
          args.values.json === true ? json(text, translation) : shown(text, translation, translator, args, terminal),
        )
      }
      before += block.length
    }
    return 0
  },
}

function attends(model: Translator['model']): boolean {
  return 'attention' in model && (model.attention !== undefined || model.config.cell === 'transformer')
}

/** Blocks of lines that have come together. What is wrong with a line is told after those before it have been answered. */
async function* linesIn({ input, err }: Terminal): AsyncGenerator<string[]> {
  if (input.isTTY === true) err('One text a line; Ctrl-D ends.\n')
  const { strictLines } = await import('../data/lines.js')
  const lines = strictLines(input, 'translate')[Symbol.asyncIterator]()
  const following = (): Promise<IteratorResult<string>> => {
    const line = lines.next()
    line.catch(() => {}) // it is told when its turn comes
    return line
  }
  try {
    for (let next = following(); ; ) {
      const block: string[] = []
      let found: IteratorResult<string> | undefined = await next
      while (found !== undefined && found.done !== true) {
        block.push(found.value)
        next = following()
        const waiting = Promise.race([next.catch(() => undefined), setImmediate(undefined)])
        found = block.length < LINES ? await waiting : undefined
      }
      if (block.length === 0) return
      yield block
    }
  } catch (error) {
    if (error instanceof QuarterturnError) throw error
    throw new Failure(`translate: the standard input: ${(error as Error).message}`)
  } finally {
    input.destroy?.() // whoever writes to it has no reader any more
  }
}

/** The translations of a block; where one of its texts cannot be translated, those before it, and then an error with its name. */
async function* translated(
  translator: Translator,
  block: readonly string[],
  options: { beam: number; attention: boolean },
  name: (i: number) => string,
): AsyncGenerator<{ i: number; translation: Translation }> {
  const together = await attempt(() => translator.translate(block, options))
  for (const [i, text] of block.entries()) {
    const alone =
      together instanceof QuarterturnError ? await attempt(() => translator.translate(text, options)) : undefined
    if (alone instanceof QuarterturnError)
      throw new Failure(`translate: ${name(i)}: ${alone.message.replace(/^\w+: /, '')} (${alone.code})`)
    yield { i, translation: alone ?? ((together as Translation[])[i] as Translation) }
  }
}

async function attempt<T>(fn: () => Promise<T>): Promise<T | QuarterturnError> {
  try {
    return await fn()
  } catch (error) {
    if (error instanceof QuarterturnError) return error
    throw error
  }
}

function shown(
  text: string,
  translation: Translation,
  { source, target }: Translator,
  { values }: Arguments,
  { color }: Terminal,
): string {
  const looks = (each: WrittenText): string[] => attended(each, translation.source, { source, target })
  if (values.all !== true) return `${[translation.text, ...looks(translation)].join('\n')}\n`
  const lines = translation.alternatives.flatMap((each) => [
    `${each.logProbability.toFixed(3).padStart(9)}  ${each.text}`,
    ...looks(each).map((line) => `         ${line}`),
  ])
  return `${[color ? styleText('bold', text) : text, ...lines].join('\n')}\n`
}

/** A line for each symbol that was written: what it attended to most. */
function attended(
  { symbols, attention }: WrittenText,
  read: readonly string[],
  { source, target }: { source: Codec; target: Codec },
): string[] {
  if (attention === undefined) return []
  const written = symbols.map((symbol) => named(symbol, target))
  const width = Math.max(0, ...written.map((name) => name.length))
  return written.map((name, i) => {
    const shares = (attention[i] ?? []).map((share, s) => ({ share, name: named(read[s] as string, source) }))
    const most = shares
      .toSorted((a, b) => b.share - a.share)
      .filter(({ share }, place) => place === 0 || share >= LEAST)
    const looks = most.slice(0, MOST).map(({ share, name }) => `${name} ${Math.round(100 * share)} %`)
    return `  ${name.padEnd(width)}  ${looks.join(' · ')}`
  })
}

/** A symbol as it stands in a text: pieces of words have spellings of their own. */
function named(symbol: string, codec: Codec): string {
  return codec.detokenize([symbol]).trim() || symbol
}

function json(text: string, { source, alternatives }: Translation): string {
  return `${JSON.stringify({ text, symbols: source, translations: alternatives })}\n`
}
