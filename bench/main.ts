// The front door of the benches: npm run -s bench -- PATTERN [--json] [--rounds N] [--threads N].
import { readdirSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { Absent, type BenchCase } from './case.js'
import { line, runCase } from './runner.js'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    threads: { type: 'string' },
    list: { type: 'boolean', default: false },
  },
})

function count(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new RangeError(`--${name} must be a whole number ≥ 1, got ${text}`)
  return value
}

async function allCases(): Promise<BenchCase[]> {
  const folder = new URL('./cases/', import.meta.url)
  const cases: BenchCase[] = []
  for (const name of readdirSync(folder)
    .filter((file) => file.endsWith('.js'))
    .sort()) {
    const module = (await import(new URL(name, folder).href)) as { cases: BenchCase[] }
    cases.push(...module.cases)
  }
  return cases
}

const settings = { rounds: count('rounds', values.rounds), threads: count('threads', values.threads) }
const pattern = new RegExp(positionals[0] ?? '')
const chosen = (await allCases()).filter((item) => pattern.test(item.id))
if (chosen.length === 0) {
  process.stderr.write(`no bench matches ${String(pattern)}; --list shows all\n`)
  process.exitCode = 1
}
const width = Math.max(...chosen.map((item) => item.id.length))
for (const item of chosen) {
  if (values.list) {
    process.stdout.write(`${item.id}\n`)
    continue
  }
  try {
    const result = await runCase(item, settings)
    process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : `${line(result, width)}\n`)
  } catch (error) {
    if (error instanceof Absent) {
      process.stdout.write(
        values.json
          ? `${JSON.stringify({ id: item.id, absent: error.message })}\n`
          : `${item.id.padEnd(width)} ${error.message}\n`,
      )
      continue
    }
    process.stderr.write(`${item.id}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    process.exitCode = 1
  }
}
