// What all studies share: variants × seeds, each run saved as soon as it ends, so that a study that was stopped goes on; results as JSON and Markdown.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { manualSeed, setThreads } from 'quarterturn'

/** What one run measured, by name; a list is a curve, and is shown in a table of its own. */
export type Outcome = Record<string, number | number[]>

export interface Study<S extends object = object> {
  /** The file's name. */
  name: string
  title: string
  /** What is asked, how it is measured, and which baseline the control must reach, in Markdown. */
  about: string
  /** Sizes and budget: what makes results comparable. A file of other settings is not gone on with. */
  settings: S
  variants: Record<string, (seed: number, settings: S) => Promise<Outcome>>
  /** What the means say, one line each; a claim that does not hold is said as such. */
  verdicts(mean: Mean, settings: S): string[]
  /** Another table than variants by measures. */
  table?(mean: Mean): string
  /** A picture for the page, as SVG, and what it shows. */
  figure?(mean: Mean): { svg: string; about: string }
}

/** The mean over the seeds of a measure, or of one point of a curve. */
export type Mean = (variant: string, measure: string, point?: number) => number

export interface StudyOptions {
  seeds?: number
  /** @default 'docs/results' */
  folder?: string
  say?: (line: string) => void
}

type Runs = Record<string, Record<string, Outcome>>

/** Seconds of processor time of this process. Studies are budgeted by it, on one thread: what else the machine does changes no result. */
export function processorSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

/** Runs what is missing and writes `NAME.json` and `NAME.md`. */
export async function runStudy<S extends object>(
  study: Study<S>,
  { seeds = 3, folder = 'docs/results', say = () => {} }: StudyOptions = {},
): Promise<Runs> {
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${study.name}.json`)
  const runs = earlier(file, study.settings)
  setThreads(1)
  for (let seed = 1; seed <= seeds; seed++) {
    for (const [variant, run] of Object.entries(study.variants)) {
      runs[variant] ??= {}
      const done = runs[variant]
      if (done[seed] !== undefined) continue
      manualSeed(seed)
      const begin = processorSeconds()
      const outcome = await run(seed, study.settings)
      const measured = { ...outcome, 'processor seconds': processorSeconds() - begin }
      done[seed] = measured
      say(`${variant}, seed ${seed}: ${shown(measured)}`)
      write(file, `${JSON.stringify({ name: study.name, settings: study.settings, runs }, null, 1)}\n`)
    }
  }
  const told = asked(runs, Object.keys(study.variants), seeds)
  const mean: Mean = (variant, measure, point) => average(valuesOf(told, variant, measure, point))
  const figure = study.figure?.(mean)
  if (figure !== undefined) write(join(folder, `${study.name}.svg`), figure.svg)
  write(join(folder, `${study.name}.md`), markdown(study, told, seeds, mean, figure?.about))
  return runs
}

/** The runs of a file with the same settings; of one with others there is nothing to go on with. */
function earlier(file: string, settings: object): Runs {
  if (!existsSync(file)) return {}
  // What is no finite number stands in JSON as null.
  const found = JSON.parse(readFileSync(file, 'utf8'), (_, value) => value ?? Number.NaN) as {
    settings: object
    runs: Runs
  }
  return JSON.stringify(found.settings) === JSON.stringify(settings) ? found.runs : {}
}

/** The runs that the page is of: an earlier study may have had more seeds, or other variants. */
function asked(runs: Runs, variants: readonly string[], seeds: number): Runs {
  return Object.fromEntries(
    variants.map((variant) => [
      variant,
      Object.fromEntries(Object.entries(runs[variant] ?? {}).filter(([seed]) => Number(seed) <= seeds)),
    ]),
  )
}

/** Whole or not at all. */
function write(path: string, text: string): void {
  writeFileSync(`${path}.part`, text)
  renameSync(`${path}.part`, path)
}

const shown = (outcome: Outcome): string =>
  Object.entries(outcome)
    .flatMap(([name, value]) => (typeof value === 'number' ? `${name} ${value.toPrecision(4)}` : []))
    .join(', ')

/** The numbers of a measure, or of one point of a curve, over the seeds. */
function valuesOf(runs: Runs, variant: string, measure: string, point = 0): number[] {
  return Object.values(runs[variant] ?? {}).flatMap((outcome) => {
    const value = outcome[measure]
    return typeof value === 'number' ? value : (value?.[point] ?? [])
  })
}

const average = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length

function markdown<S extends object>(
  study: Study<S>,
  runs: Runs,
  seeds: number,
  mean: Mean,
  figure: string | undefined,
): string {
  const all = Object.values(runs).flatMap((run) => Object.values(run))
  const lengths = new Map<string, number>()
  for (const outcome of all)
    for (const [name, value] of Object.entries(outcome)) lengths.set(name, typeof value === 'number' ? 0 : value.length)
  const measures = [...lengths.keys()].filter((name) => lengths.get(name) === 0)
  const spread = (values: number[]): string => {
    if (values.length === 0) return '–'
    const deviation = Math.sqrt(average(values.map((x) => (x - average(values)) ** 2)))
    return `${average(values).toPrecision(4)} ± ${deviation.toPrecision(2)}`
  }
  const rows = Object.keys(study.variants).map(
    (variant) => `| ${variant} | ${measures.map((name) => spread(valuesOf(runs, variant, name))).join(' | ')} |`,
  )
  return [
    `# ${study.title}`,
    study.about,
    `Settings: \`${JSON.stringify(study.settings)}\`. Mean ± standard deviation over ${seeds} ${seeds === 1 ? 'seed' : 'seeds'}.`,
    ...(figure === undefined ? [] : [`![${figure}](${study.name}.svg)`]),
    [`| | ${measures.join(' | ')} |`, `| --- |${measures.map(() => ' --- |').join('')}`, ...rows].join('\n'),
    ...[...lengths].flatMap(([name, length]) => (length > 0 ? curve(runs, name, length) : [])),
    ...(study.table ? [study.table(mean)] : []),
    study
      .verdicts(mean, study.settings)
      .map((line) => `- ${line}`)
      .join('\n'),
    '',
  ].join('\n\n')
}

/** The means of a curve, point after point, of the variants that have it. */
function curve(runs: Runs, name: string, length: number): string {
  const points = Array.from({ length }, (_, i) => i)
  const having = Object.keys(runs).filter((variant) => valuesOf(runs, variant, name).length > 0)
  const rows = having.map((variant) => {
    const cells = points.map((i) => average(valuesOf(runs, variant, name, i)).toPrecision(3))
    return `| ${variant} | ${cells.join(' | ')} |`
  })
  const head = [
    `| ${name} | ${points.map((i) => i + 1).join(' | ')} |`,
    `| --- |${points.map(() => ' --- |').join('')}`,
  ]
  return [...head, ...rows].join('\n')
}

/** The command line of a study: `--seeds`, `--folder`, and any setting by its name. */
export async function command<S extends object>(make: (settings: Partial<S>) => Study<S>): Promise<void> {
  const settings = make({}).settings as Record<string, unknown>
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '3' },
      folder: { type: 'string', default: 'docs/results' },
      ...Object.fromEntries(Object.keys(settings).map((key) => [key, { type: 'string' as const }])),
    },
  }) as { values: Record<string, string> }
  const given = Object.entries(values).flatMap(([key, text]) =>
    key in settings ? [[key, typeof settings[key] === 'number' ? number(key, text) : text] as const] : [],
  )
  const study = make(Object.fromEntries(given) as Partial<S>)
  const seeds = number('seeds', values.seeds as string)
  await runStudy(study, { seeds, folder: values.folder as string, say: console.log })
}

function number(name: string, text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value)) return value
  throw new RangeError(`--${name} must be a number, got ${text}`)
}

/** Says whether a claim holds here. */
export function claim(holds: boolean, text: string): string {
  return `${holds ? 'Holds here' : '**Does not reproduce at this scale**'}: ${text}`
}
