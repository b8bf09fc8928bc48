// The comparison itself: who is there, whether they compute the same, and how long they take, in interleaved rounds.
import { cpus, totalmem } from 'node:os'
import { type Checked, Unable } from './contender.js'
import { ENTRIES, type Entry } from './contenders/list.js'
import { installed } from './contenders/load.js'
import { Broken, ContenderProcess } from './process.js'
import type { CaseReport, Entrant, Figure, Missing, Participant, Report, TaskReport } from './report.js'
import { KINDS, type Kind, type Size, type Spec, specOf } from './spec.js'
import { quartiles } from './statistics.js'
import { DESCRIPTION, makeTask, TARGET } from './task.js'

export interface Settings {
  kinds: Kind[]
  sizes: Size[]
  task: boolean
  /** Ids of those to compare; absent: all. */
  against?: string[]
  /** For each figure of each contender. */
  seconds: number
  /** How long a contender may be silent, in ms: while it loads, compiles, or takes its first steps. */
  patience: number
  threads: number
  /** The Node of other people's libraries. */
  peerNode?: string
  /** The user's project. */
  folder: string
  version: string
  /** Of the process of a contender. */
  module: URL
}

const ROUNDS = 7
/** Losses and outputs agree if they differ by at most so much of themselves, or of one. */
const TOLERANCE = 2e-3

export async function compare(settings: Settings, say: (text: string) => void): Promise<Report> {
  const chosen = ENTRIES.filter(({ id }) => settings.against?.includes(id) ?? true)
  say('loading')
  const contenders = await Promise.all(chosen.map((entry) => participant(entry, settings)))
  const present = chosen.filter((_, i) => contenders[i]?.state === 'present')
  const cases: CaseReport[] = []
  for (const kind of settings.kinds)
    for (const size of settings.sizes) cases.push(await compareCase(kind, size, present, settings, say))
  const report: Report = {
    quarterturn: settings.version,
    date: new Date().toISOString(),
    machine: {
      cpu: cpus()[0]?.model ?? 'unknown processor',
      cores: cpus().length,
      memoryGB: Math.round(totalmem() / 2 ** 30),
      node: process.version,
      platform: `${process.platform}-${process.arch}`,
    },
    settings: { threads: settings.threads, seconds: settings.seconds },
    contenders,
    cases,
  }
  if (settings.peerNode !== undefined) report.machine.peerNode = settings.peerNode
  if (settings.task) report.task = await compareTask(present, settings, say)
  say('')
  return report
}

async function participant(entry: Entry, settings: Settings): Promise<Participant> {
  const { id, name } = entry
  const missing = entry.packages.filter((each) => !installed(settings.folder, each))
  if (missing.length > 0) return { id, name, state: 'absent', install: `npm i ${missing.join(' ')}` }
  const child = startProcess(entry, settings)
  try {
    return { id, name, state: 'present', about: (await load(child, entry, settings)).about }
  } catch (error) {
    return { id, name, state: 'failed', why: reason(error) }
  } finally {
    child.close()
  }
}

function startProcess(entry: Entry, { module, peerNode }: Settings): ContenderProcess {
  return new ContenderProcess(module, entry.peer && peerNode !== undefined ? peerNode : process.execPath)
}

function load(child: ContenderProcess, { id }: Entry, { folder, threads, version, patience }: Settings) {
  return child.ask({ do: 'load', contender: id, folder, threads, version }, patience)
}

/** One contender within a case. */
interface Runner {
  entry: Entry
  child: ContenderProcess
  entrant: Entrant
  checked?: Checked
}

async function compareCase(
  kind: Kind,
  size: Size,
  present: readonly Entry[],
  settings: Settings,
  say: (text: string) => void,
): Promise<CaseReport> {
  const spec = specOf(kind, size)
  const title = `${KINDS[kind]}, ${size}`
  const runners: Runner[] = []
  try {
    for (const entry of present) {
      say(`${title}: ${entry.name} gets ready`)
      runners.push(await prepare(entry, spec, settings))
    }
    agree(runners)
    for (const what of ['train', 'infer'] as const)
      await timed(what, runners, settings, (text) => say(`${title}: ${text}`))
    return { kind, size, spec, entries: runners.map(({ entrant }) => entrant) }
  } finally {
    for (const { child } of runners) child.close()
  }
}

/** A fresh process for each case: nothing of an earlier one, neither memory nor what the compiler learnt, is in it. */
async function prepare(entry: Entry, spec: Spec, settings: Settings): Promise<Runner> {
  const child = startProcess(entry, settings)
  const runner: Runner = { entry, child, entrant: { id: entry.id, train: { why: '' }, infer: { why: '' } } }
  try {
    await load(child, entry, settings)
    const opened = await child.ask({ do: 'open', spec }, settings.patience)
    runner.checked = await child.ask({ do: 'check' }, settings.patience)
    if (opened.differs !== undefined) runner.entrant.differs = opened.differs
    if (opened.untrained !== undefined) runner.entrant.train = { why: opened.untrained }
  } catch (error) {
    fail(runner, error)
  }
  return runner
}

function fail({ entrant }: Runner, error: unknown): void {
  const why = reason(error)
  if (!('median' in entrant.train) && entrant.train.why === '') entrant.train = { why }
  if (!('median' in entrant.infer)) entrant.infer = { why }
}

function reason(error: unknown): string {
  if (error instanceof Unable || error instanceof Broken) return error.message
  throw error
}

/** Whoever is not as the first of the same model is not timed. */
function agree(runners: readonly Runner[]): void {
  const same = runners.filter(({ checked, entrant }) => checked !== undefined && entrant.differs === undefined)
  const reference = same[0]?.checked
  if (reference === undefined) return
  for (const runner of same.slice(1)) {
    const { losses, output } = runner.checked as Checked
    const wrong = disagreement('outputs', output, reference.output) ?? disagreement('losses', losses, reference.losses)
    if (wrong === undefined) continue
    runner.child.close()
    delete runner.checked
    fail(runner, new Broken(wrong))
  }
}

function disagreement(what: string, got: readonly number[], right: readonly number[]): string | undefined {
  // One that does not train has no losses.
  if (got.length !== right.length && got.length > 0) return `other ${what}: ${got.length} numbers, not ${right.length}`
  const at = got.findIndex((value, i) => {
    const expected = right[i] as number
    return !(Math.abs(value - expected) <= TOLERANCE * Math.max(1, Math.abs(expected)))
  })
  return at < 0 ? undefined : `other ${what}: ${got[at]?.toPrecision(4)}, not ${right[at]?.toPrecision(4)}`
}

async function timed(
  what: 'train' | 'infer',
  runners: readonly Runner[],
  settings: Settings,
  say: (text: string) => void,
): Promise<void> {
  const able = runners.filter(
    ({ checked, entrant }) => checked !== undefined && !('why' in entrant[what] && entrant[what].why !== ''),
  )
  const times = new Map(able.map((runner) => [runner, [] as number[]]))
  const delays = new Map(able.map((runner) => [runner, [] as number[]]))
  const spent = new Map<Runner, number>()
  const slice = (1000 * settings.seconds) / ROUNDS
  // Round −1 warms up and counts for nothing.
  for (let round = -1; round < ROUNDS; round++) {
    for (const [i] of able.entries()) {
      const runner = able[(i + Math.max(0, round)) % able.length] as Runner
      const own = times.get(runner) as number[]
      const used = spent.get(runner) ?? 0
      const failed = (runner.entrant[what] as Missing).why !== ''
      if (failed || (used > 2000 * settings.seconds && own.length >= 3)) continue
      say(
        `${what === 'train' ? 'training' : 'inference'}, round ${Math.max(1, round + 1)} of ${ROUNDS}: ${runner.entry.name}`,
      )
      try {
        const { ms, steps, delay } = await runner.child.ask({ do: 'run', what, ms: slice }, settings.patience)
        if (round < 0) continue
        own.push(ms)
        delays.get(runner)?.push(delay)
        spent.set(runner, used + ms * steps)
      } catch (error) {
        runner.entrant[what] = { why: reason(error) }
        fail(runner, error)
      }
    }
  }
  for (const runner of able) {
    const own = times.get(runner) as number[]
    if (own.length === 0 || (runner.entrant[what] as Missing).why !== '') continue
    const delay = quartiles(delays.get(runner) as number[]).median
    runner.entrant[what] = { ...quartiles(own), rounds: own.length, delay } satisfies Figure
  }
}

async function compareTask(
  present: readonly Entry[],
  settings: Settings,
  say: (text: string) => void,
): Promise<TaskReport> {
  const { spec, names } = makeTask()
  const limit = 20_000 * settings.seconds
  const entries: TaskReport['entries'] = []
  for (const entry of present) {
    say(`${DESCRIPTION.split('?')[0]}?: ${entry.name}`)
    const child = startProcess(entry, settings)
    try {
      await load(child, entry, settings)
      await child.ask({ do: 'open', spec }, settings.patience)
      const { reached, seconds, steps, loss, delay, curve } = await child.ask(
        { do: 'task', target: TARGET, ms: limit },
        limit + settings.patience,
      )
      entries.push(
        reached
          ? { id: entry.id, seconds, steps, delay, curve }
          : { id: entry.id, why: `loss ${loss.toFixed(2)} after ${Math.round(seconds)} s` },
      )
    } catch (error) {
      entries.push({ id: entry.id, why: reason(error) })
    } finally {
      child.close()
    }
  }
  return { description: DESCRIPTION, target: TARGET, names, spec, entries }
}
