// Runs bench cases: interleaved rounds, quartiles of the ratio, one line or one JSON object per case.
import { execFileSync } from 'node:child_process'
import { availableParallelism, cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { BenchCase, Context, Duel, RatioCase, Settings, ValueCase } from './case.js'
import { javaScriptPeers } from './javascript.js'
import { startPeer } from './peer.js'
import { pythonWithTorch } from './python.js'

export interface Quartiles {
  q1: number
  median: number
  q3: number
}

/** One line of `--json`. */
export interface Result {
  id: string
  unit: string
  ours?: number
  theirs?: number
  ratio?: Quartiles
  opponent?: string
  value?: number
  /** Figures that belong beside the ratio, by name. */
  beside?: Record<string, number>
  goal: number
  reached: boolean
  /** Rounds that count though other processes took much of the machine, for want of better ones: the ratio says nothing then. */
  disturbed?: number
  threads: number
  rounds: number
  cpu: string
  commit: string
}

/** A round in which other processes took more of the processors than this is dropped, */
const OTHERS = 0.06
/** and repeated, until there were this many times the rounds asked for; then the least disturbed ones have to do. */
const TRIES = 4

const ROOT = fileURLToPath(new URL('../../..', import.meta.url)) // from build/ts/bench

/** Runs one case. */
export async function runCase(item: BenchCase, settings: Settings): Promise<Result> {
  const context = contextOf(item, settings)
  const about = {
    id: item.id,
    unit: item.unit,
    goal: item.goal,
    threads: context.threads,
    rounds: context.rounds,
    ...machine(),
  }
  if (item.kind === 'value') {
    const value = await runValue(item, context)
    return { ...about, value: round(value), reached: value <= item.goal }
  }
  const { disturbed, ...found } = await runRatio(item, context)
  const reached = disturbed === 0 && found.ratio.q1 >= item.goal
  return { ...about, ...found, opponent: item.opponent, reached, ...(disturbed > 0 && { disturbed }) }
}

function contextOf(item: BenchCase, settings: Settings): Context {
  const threads = settings.threads ?? item.threads ?? availableParallelism()
  return {
    threads,
    rounds: settings.rounds ?? item.rounds ?? 15,
    ours: (name, options = {}, env = {}) =>
      startPeer(
        process.execPath,
        [
          '--expose-gc',
          fileURLToPath(new URL(`./ours/${name}.js`, import.meta.url)),
          JSON.stringify({ threads, ...options }),
        ],
        env,
      ),
    python: async (name, options = {}, env = {}) => {
      const script = `${ROOT}bench/opponents/${name}.py`
      return startPeer(await pythonWithTorch(), [script, JSON.stringify({ threads, ...options })], env)
    },
    javascript: async (name, options = {}) => {
      const { node, folder } = await javaScriptPeers()
      const csv = `${ROOT}node_modules/vega-datasets/data/seattle-weather.csv`
      const script = `${ROOT}bench/opponents/js/${name}.mjs`
      return startPeer(node, [script, JSON.stringify({ threads, folder, csv, ...options })], {})
    },
  }
}

async function runValue(item: ValueCase, context: Context): Promise<number> {
  const values: number[] = []
  for (let i = 0; i < context.rounds; i++) values.push(await item.measure(context, i))
  return quartiles(values).median
}

interface Round {
  ours: number
  theirs: number
  others: number
}

async function runRatio(item: RatioCase, context: Context) {
  const duel = await item.start(context)
  try {
    await duel.check()
    await duel.theirs() // a round that does not count: caches, allocators and clocks warm up
    await duel.ours()
    const tried: Round[] = []
    const quiet = () => tried.filter(({ others }) => others <= OTHERS).length
    while (quiet() < context.rounds && tried.length < TRIES * context.rounds) {
      tried.push(await oneRound(duel, tried.length % 2 === 0))
    }
    const rounds = tried.sort((a, b) => a.others - b.others).slice(0, context.rounds)
    const ours = quartiles(rounds.map((each) => each.ours)).median
    const theirs = quartiles(rounds.map((each) => each.theirs)).median
    const beside = { ...(await duel.beside?.({ ours, theirs })) }
    if (tried.length > rounds.length) beside['rounds dropped'] = tried.length - rounds.length
    return {
      disturbed: context.rounds - quiet(),
      ours: round(ours),
      theirs: round(theirs),
      ratio: quartiles(rounds.map((each) => each.theirs / each.ours)),
      beside: Object.fromEntries(Object.entries(beside).map(([name, figure]) => [name, round(figure)])),
    }
  } finally {
    await duel.close()
  }
}

/** Both sides once. Who goes first alternates, so that neither always meets the machine in the same state. */
async function oneRound(duel: Duel, theirsFirst: boolean): Promise<Round> {
  await duel.others?.()
  const before = theirsFirst ? await duel.theirs() : undefined
  const ours = await duel.ours()
  const theirs = before ?? (await duel.theirs())
  return { ours, theirs, others: (await duel.others?.()) ?? 0 }
}

/** First quartile, median and third quartile, by linear interpolation. */
export function quartiles(values: readonly number[]): Quartiles {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (q: number) => {
    const position = q * (sorted.length - 1)
    const below = Math.floor(position)
    const low = sorted[below] as number
    const high = sorted[Math.min(below + 1, sorted.length - 1)] as number
    return round(low + (position - below) * (high - low))
  }
  return { q1: at(0.25), median: at(0.5), q3: at(0.75) }
}

/** Four significant digits. */
function round(value: number): number {
  return Number(value.toPrecision(4))
}

function machine(): { cpu: string; commit: string } {
  const all = cpus()
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', ROOT, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  let commit = process.env.QUARTERTURN_COMMIT ?? 'unknown'
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no', '--', 'src', 'crates', 'bench') !== ''
    commit = git('rev-parse', '--short=10', 'HEAD') + (changed ? '+' : '')
  } catch {
    // not a git checkout: a pack of scripts/gpu, which says of which commit it is
  }
  return { cpu: `${all.length} × ${all[0]?.model.trim() ?? 'unknown'}`, commit }
}

/** The line for people; ids take `width` columns, so that the lines of several cases are a table. */
export function line(result: Result, width: number): string {
  const { id, unit, goal, reached, disturbed, threads, rounds } = result
  const verdict = disturbed !== undefined ? `TOO BUSY (${disturbed} disturbed)` : reached ? 'reached' : 'MISSED'
  const tail = `${verdict}   ${threads} ${threads === 1 ? 'thread' : 'threads'}, ${rounds} rounds`
  if (result.ratio === undefined)
    return `${id.padEnd(width)} ${String(result.value)} ${unit}   goal ≤ ${goal} ${unit} ${tail}`
  const { q1, median, q3 } = result.ratio
  const beside = Object.entries(result.beside ?? {}).map(([name, figure]) => `   ${name} ${figure}`)
  return `${id.padEnd(width)} ours ${result.ours} ${unit}, ${result.opponent ?? ''} ${result.theirs} ${unit}   ratio ${median} (${q1} … ${q3})   goal q1 ≥ ${goal} ${tail}${beside.join('')}`
}
