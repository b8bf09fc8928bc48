// A server that translates while the same process trains another model: how long its answers take, idle and while training.
import { fileURLToPath } from 'node:url'
import { parseArgs, styleText } from 'node:util'
import { type data, manualSeed, models, optim, QuarterturnError, train } from 'quarterturn'
import { type Latency, measure } from './latency.js'
import { serve } from './server.js'

const HELP = `Serves a translator on this machine, measures how long its answers take, idle and while another model trains in the same process, and ends.

  --model FOLDER   the translator (default: a small one that is trained at once)
  --seconds S      of each of four measurements (default 5)
  --interval MS    from one request to the next (default 20)
  --beam N         hypotheses of a translation (default 1)
  --port P         where it listens (default: any port that is free)
  --seed N         where the random numbers start (default 1)
  --help           this text
`

/** Sentences of few words and one order: what a small model learns within seconds. */
export function smallPairs(): data.TextPair[] {
  const nouns = [
    ['king', 'roi'],
    ['dog', 'chien'],
    ['boat', 'bateau'],
    ['garden', 'jardin'],
  ]
  const kinds = [
    ['small', 'petit'],
    ['big', 'grand'],
    ['young', 'jeune'],
    ['old', 'vieux'],
  ]
  const verbs = [
    ['sees', 'voit'],
    ['finds', 'trouve'],
    ['loves', 'aime'],
  ]
  const phrases = kinds.flatMap(([kind, sorte]) =>
    nouns.map(([noun, nom]) => [`the ${kind} ${noun}`, `le ${sorte} ${nom}`]),
  )
  return phrases.flatMap(([a, une], i) =>
    verbs.map(([verb, verbe], j) => {
      const [b, autre] = phrases[(5 * i + 3 * j + 1) % phrases.length] as string[]
      return { source: `${a} ${verb} ${b}`, target: `${une} ${verbe} ${autre}` }
    }),
  )
}

export interface ServingOptions {
  /** The folder of a translator. */
  model?: string
  seconds?: number
  interval?: number
  beam?: number
  port?: number
  signal?: AbortSignal
  say?: (line: string) => void
}

export interface Serving {
  idle: Latency
  training: Latency
  /** Steps of the other model while it trained. */
  steps: number
}

/** Serves, measures idle, measures while another model trains, and ends. */
export async function serving(options: ServingOptions = {}): Promise<Serving> {
  const { model, seconds = 5, interval = 20, beam = 1, port = 0, signal, say = () => {} } = options
  const pairs = smallPairs()
  const translator = model === undefined ? await small(pairs, say) : await models.Translator.load(model)
  const server = await serve(translator, { beam, port })
  say(`Listening on ${server.url}:\n\n  curl -d '{"text": "${pairs[0]?.source}", "beam": 3}' ${server.url}\n`)
  const texts = pairs.map(({ source }) => source)
  try {
    const asked = { texts, seconds, interval, ...(signal && { signal }) }
    await measure(server.url, { ...asked, seconds: Math.min(1, seconds) }) // the first answers are slower
    const idle = await measure(server.url, asked)
    const next = await models.Translator.of(pairs, { width: 128, attention: 'multiplicative' })
    let steps = 0
    const run = train.start(next, next.loader(pairs, { batch: 32 }), {
      loss: (model, batch) => {
        steps++
        return model.loss(batch)
      },
      epochs: 1_000_000, // until it is stopped
      clipNorm: 5,
    })
    try {
      const training = await measure(server.url, asked)
      return { idle, training, steps }
    } finally {
      run.stop()
      await run.history
    }
  } finally {
    await server.close()
  }
}

async function small(pairs: readonly data.TextPair[], say: (line: string) => void): Promise<models.Translator> {
  say(`Training a small translator of ${pairs.length} pairs.`)
  const sizes = { unit: 'word', width: 64, numLayers: 1, initRange: 0.3, attention: 'multiplicative' } as const
  const translator = await models.Translator.of(pairs, sizes)
  const optimizer = optim.adamW({ lr: 0.01 })
  await train.fit(translator, translator.loader(pairs, { batch: 16 }), {
    epochs: 12,
    clipNorm: 5,
    optimizer,
    progress: false,
  })
  return translator.eval()
}

/** The table that is printed. */
export function table({ idle, training, steps }: Serving, bold = (line: string): string => line): string {
  const ms = (value: number): string => `${value.toFixed(1)} ms`
  const row = (name: string, { median, quartiles, p99, max, perSecond }: Latency): string =>
    [
      name.padEnd(22),
      ms(median).padStart(10),
      quartiles
        .map((value) => value.toFixed(1))
        .join('–')
        .padStart(16),
      ms(p99).padStart(10),
      ms(max).padStart(10),
      perSecond.toFixed(0).padStart(11),
    ].join('')
  const head = ['', 'median', 'quartiles', 'p99', 'max', 'a second']
  const widths = [22, 10, 16, 10, 10, 11]
  return [
    bold(head.map((name, i) => name.padStart(widths[i] as number)).join('')),
    row('idle', idle),
    row('while another trains', training),
    `\n${idle.requests} and ${training.requests} requests at intervals; a second: of four clients that never pause. The other model made ${steps} steps.`,
  ].join('\n')
}

async function main(): Promise<number> {
  let flags: ServingOptions & { seed: number; help: boolean }
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
  const ended = new AbortController()
  process.once('SIGINT', () => ended.abort())
  manualSeed(flags.seed)
  const say = (line: string): void => void process.stdout.write(`${line}\n`)
  const bold = (line: string): string =>
    process.stdout.isTTY && !process.env.NO_COLOR ? styleText('bold', line) : line
  try {
    say(table(await serving({ ...flags, signal: ended.signal, say }), bold))
    return 0
  } catch (error) {
    if (ended.signal.aborted) return 130
    throw error
  }
}

function parse(): ServingOptions & { seed: number; help: boolean } {
  const string = { type: 'string' } as const
  const { values } = parseArgs({
    options: {
      ...{ model: string, seconds: string, interval: string, beam: string, port: string, seed: string },
      help: { type: 'boolean', short: 'h' },
    },
  })
  type Name = 'seconds' | 'interval' | 'beam' | 'port' | 'seed'
  const number = (name: Name, fallback: number, least: number, most = 2 ** 31 - 1): number => {
    const value = values[name] === undefined ? fallback : Number(values[name])
    const isWhole = !['seconds', 'interval'].includes(name)
    if (value >= least && value <= most && (!isWhole || Number.isInteger(value))) return value
    const kind = isWhole ? 'a whole number' : 'a number'
    throw new RangeError(`--${name} must be ${kind} within ${least} … ${most}, got ${values[name]}`)
  }
  return {
    ...(values.model !== undefined && { model: values.model }),
    seconds: number('seconds', 5, 0.1, 3600),
    interval: number('interval', 20, 1, 10_000),
    beam: number('beam', 1, 1),
    port: number('port', 0, 0, 65_535),
    seed: number('seed', 1, 0),
    help: values.help === true,
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    process.exitCode = await main()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (!(error instanceof QuarterturnError) && code !== 'EADDRINUSE' && code !== 'EACCES') throw error
    const { message } = error as Error
    process.stderr.write(message.includes(String(code)) ? `${message}\n` : `${message} (${code})\n`)
    process.exitCode = 1
  }
}
