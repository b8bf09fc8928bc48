// quarterturn bench: native against JavaScript, on the user's own machine.
import { writeFileSync } from 'node:fs'
import { type Arguments, type Command, count, Failure, UsageError } from '../command.js'
import { version } from '../version.js'
import type { Settings } from './compare.js'
import { ENTRIES } from './contenders/list.js'
import { KINDS, type Kind, SIZE_NAMES, type Size } from './spec.js'

const CASES = [...Object.keys(KINDS), 'task']

export const bench: Command = {
  summary: 'compare native with JavaScript on this machine: training, inference, time to a loss',
  positionals: '',
  options: {
    only: { type: 'string' },
    size: { type: 'string' },
    against: { type: 'string' },
    seconds: { type: 'string' },
    patience: { type: 'string' },
    threads: { type: 'string' },
    'peer-node': { type: 'string' },
    json: { type: 'boolean' },
    html: { type: 'string' },
  },
  describe: {
    only: `what to compare, with commas between: ${CASES.join(', ')} (default: all)`,
    size: `${SIZE_NAMES.join(', ')} or all (default: medium)`,
    against: `with whom: ${ENTRIES.map(({ id }) => id).join(', ')} (default: all that are installed)`,
    seconds: 'for each figure of each contender (default 3)',
    patience: 'seconds without an answer after which a contender is given up (default 45)',
    threads: 'of those that can use several (default 1)',
    'peer-node': 'the Node that runs other libraries: some are faster on a newer one',
    json: 'one JSON object',
    html: 'also write a page with plots to this file',
  },
  notes: [
    'Other libraries are taken from the project in the current folder; install those that you want to compare:',
    '  npm i @tensorflow/tfjs @tensorflow/tfjs-backend-wasm @jax-js/jax brain.js onnxruntime-node',
    'Each runs in a process of its own; who computes something else is not timed. docs/guides/bench.md says what is fair about it.',
    'Example: quarterturn bench --only lstm,task --html bench.html',
  ].join('\n'),

  async run(args, terminal) {
    const settings = settingsOf(args)
    // Loaded only now: other commands do without it.
    const { compare } = await import('./compare.js')
    const alive = terminal.color && process.stderr.isTTY === true
    const report = await compare(settings, (text) => {
      if (alive) terminal.err(`\r\x1b[2K${text.slice(0, (process.stderr.columns ?? 80) - 1)}`)
    })
    if (args.values.json === true) {
      terminal.out(`${JSON.stringify(report)}\n`)
    } else {
      const { table } = await import('./table.js')
      terminal.out(table(report, terminal.color))
    }
    const file = args.values.html
    if (typeof file === 'string') {
      const { page } = await import('./page.js')
      try {
        writeFileSync(file, page(report))
      } catch (error) {
        throw new Failure(`bench: the page could not be written: ${(error as Error).message}`)
      }
      terminal.err(`quarterturn: the page with plots is ${file}\n`)
    }
    // Whether our own side ran: others may fail as they like.
    return report.contenders.some(({ id, state }) => id === 'native' && state === 'failed') ? 1 : 0
  },
}

function settingsOf(args: Arguments): Settings {
  if (args.positionals.length > 0) throw new UsageError(`bench: what is ${args.positionals.join(' ')}?`)
  const only = list(args, 'only', CASES) ?? CASES
  const sizes = list(args, 'size', [...SIZE_NAMES, 'all']) ?? ['medium']
  const against = list(
    args,
    'against',
    ENTRIES.map(({ id }) => id),
  )
  const seconds = duration(args, 'seconds', 3)
  const peerNode = args.values['peer-node']
  return {
    kinds: only.filter((each): each is Kind => Object.hasOwn(KINDS, each)),
    sizes: SIZE_NAMES.filter((size: Size) => sizes.includes(size) || sizes.includes('all')),
    task: only.includes('task'),
    ...(against === undefined ? {} : { against }),
    seconds,
    patience: 1000 * duration(args, 'patience', 45),
    threads: count(args, 'threads', 1),
    ...(typeof peerNode === 'string' ? { peerNode } : {}),
    folder: process.cwd(),
    version: version(),
    module: new URL('./bench-child.js', import.meta.url),
  }
}

/** The seconds that an option gives. */
function duration(args: Arguments, name: string, fallback: number): number {
  const seconds = Number(args.values[name] ?? fallback)
  if (seconds > 0 && seconds <= 600) return seconds
  throw new UsageError(`--${name} must be a number of seconds above 0, at most 600, got ${String(args.values[name])}`)
}

/** The names that an option lists. */
function list(args: Arguments, name: string, known: readonly string[]): string[] | undefined {
  const text = args.values[name]
  if (text === undefined) return undefined
  const names = String(text)
    .split(',')
    .map((each) => each.trim())
  const odd = names.find((each) => !known.includes(each))
  if (odd !== undefined) throw new UsageError(`--${name} must be of ${known.join(', ')}, got ${JSON.stringify(odd)}`)
  return names
}
