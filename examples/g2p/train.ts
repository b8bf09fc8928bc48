// npm start: trains letters to phonemes on the CMU pronouncing dictionary, shows what came of it and saves the model.
import { parseArgs, styleText } from 'node:util'
import { QuarterturnError } from 'quarterturn'
import { type G2pOptions, g2p } from './g2p.js'
import { report } from './report.js'

const HELP = `Trains a network to pronounce English words, shows how well it does on words it has never seen, and saves it.

  --minutes M      train for M minutes at most (default 5)
  --tokens N       train on N letters and phonemes (default 7.3 million: four times through the dictionary)
  --seed S         where the random numbers start (default 1)
  --width W        width of the network (default 256)
  --test-words N   try N of the test words (default: all)
  --out FOLDER     where the model is saved (default models/g2p)
  --help           this text
`

async function main(): Promise<number> {
  let flags: ReturnType<typeof parse>
  try {
    flags = parse()
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${HELP}`)
    return 2
  }
  if (flags.help) {
    process.stdout.write(HELP)
    return 0
  }
  const bold = (line: string): string =>
    process.stdout.isTTY && !process.env.NO_COLOR ? styleText('bold', line) : line
  const say = (line: string): void => void process.stdout.write(`${line}\n`)
  say(
    `${bold('Quarterturn learns to pronounce English')}: the encoder-decoder of 2014 in miniature, from letters to phonemes.\n`,
  )
  const result = await g2p({ ...flags.options, say })
  await result.model.save(flags.out)
  say('')
  say(report(result, { seed: flags.options.seed ?? 1, bold }))
  say(
    `\nSaved in ${flags.out}. Go on with your own words:\n\n  ${bold(`npx quarterturn pronounce ${flags.out} seabright`)}`,
  )
  return 0
}

function parse(): { options: G2pOptions; out: string; help: boolean } {
  const string = { type: 'string' } as const
  const { values } = parseArgs({
    options: {
      minutes: string,
      tokens: string,
      seed: string,
      width: string,
      'test-words': string,
      out: string,
      help: { type: 'boolean', short: 'h' },
    },
  })
  const options: G2pOptions = {
    ...given('minutes', positive(values.minutes, 'minutes')),
    ...given('tokens', positive(values.tokens, 'tokens')),
    ...given('seed', whole(values.seed, 'seed', 0)),
    ...given('width', whole(values.width, 'width', 1)),
    ...given('testWords', whole(values['test-words'], 'test-words', 1)),
  }
  return { options, out: values.out ?? 'models/g2p', help: values.help === true }
}

function given<K extends keyof G2pOptions>(key: K, value: G2pOptions[K] | undefined): Pick<G2pOptions, K> | object {
  return value === undefined ? {} : { [key]: value }
}

function positive(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (value > 0 && Number.isFinite(value)) return value
  throw new RangeError(`--${name} must be a number > 0, got ${text}`)
}

function whole(text: string | undefined, name: string, least: number): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (text !== '' && Number.isSafeInteger(value) && value >= least) return value
  throw new RangeError(`--${name} must be a whole number ≥ ${least}, got ${text}`)
}

try {
  process.exitCode = await main()
} catch (error) {
  if (!(error instanceof QuarterturnError)) throw error
  process.stderr.write(`${error.message} (${error.code})\n`)
  process.exitCode = 1
}
