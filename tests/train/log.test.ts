// The logs of a run: what was run, a table of the epochs, and lines of events; whole whatever happened to the process before.
import { execFileSync } from 'node:child_process'
import { appendFile, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { full, manualSeed, train } from 'quarterturn'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { fit, loader, Net, type Points } from './spiral.js'

let root: string
let count = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'quarterturn-'))
})
afterAll(() => rm(root, { recursive: true }))
beforeEach(() => {
  manualSeed(1)
})

const folder = (): string => join(root, `run ${++count}`)
const text = (path: string, name: string): Promise<string> => readFile(join(path, name), 'utf8')
const lines = async (path: string): Promise<Record<string, unknown>[]> =>
  (await text(path, 'events.jsonl'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))

const measured = {
  validation: loader({ shuffle: false }),
  metrics: { 'a, "b"': (_: Net, { x }: Points) => full([], x.shape[0] as number), f1: train.f1() },
}

test('run.json tells what was run: versions, machine, seed, commit, model, optimizer, options, config', async () => {
  const path = folder()
  await fit(new Net(), { logs: path, epochs: 2, config: { note: 'first', width: 16 }, clipNorm: 1, ...measured })
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'))
  const run = JSON.parse(await text(path, 'run.json'))
  expect(run).toMatchObject({
    versions: { quarterturn: version, node: process.version, libtorch: expect.stringContaining('2.11') },
    seed: '7',
    model: { name: 'Net', parameters: 80 },
    optimizer: { op: 'adamw', groups: [{ parameters: 3, lr: 0.01, weightDecay: 0.01 }] },
    batches: 13,
    options: { epochs: 2, clipNorm: 1, metrics: ['a, "b"', 'f1'] },
    config: { note: 'first', width: 16 },
  })
  expect(new Date(run.started).getTime()).toBeGreaterThan(Date.now() - 60_000)
  const commit = () => execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8', stdio: 'pipe' }).trim()
  let head: string | undefined
  try {
    head = commit()
  } catch {
    // not a git checkout
  }
  expect(run.git?.commit).toBe(head)
})

test('epochs.csv has a row per epoch and a column per number; a resumed run has the table of a whole one', async () => {
  const whole = folder()
  const { epochs } = await fit(new Net(), { checkpoints: whole, epochs: 3, ...measured })
  const table = await text(whole, 'epochs.csv')
  const [header, ...rows] = table.trimEnd().split('\n')
  expect(header).toBe('epoch,loss,validationLoss,"a, ""b""",f1.0,f1.1')
  expect(rows.map((row) => row.split(',').map(Number))).toEqual(
    epochs.map((record) => Object.values(record).flat()) as number[][],
  )
  const path = folder()
  manualSeed(1)
  const options = { checkpoints: path, ...measured }
  await fit(new Net(), { ...options, epochs: 1 })
  await fit(new Net(), { ...options, epochs: 3, resume: 'auto' })
  expect(await text(path, 'epochs.csv')).toBe(table)
})

test('events.jsonl has start, epochs, checkpoints and end; a resumed run adds to it, and a torn line is cut off', async () => {
  const path = folder()
  await fit(new Net(), { checkpoints: path, epochs: 1 })
  await appendFile(join(path, 'events.jsonl'), '{"type":"ep')
  await fit(new Net(), { checkpoints: path, epochs: 2, resume: 'auto' })
  const told = (await lines(path)).filter(({ type }) => type !== 'step')
  expect(told.map(({ type }) => type)).toEqual([
    ...['run', 'start', 'checkpoint', 'epoch', 'end'],
    ...['run', 'start', 'checkpoint', 'epoch', 'end'],
  ])
  expect(told[5]).toMatchObject({ model: { name: 'Net' } })
  expect(told[6]).toMatchObject({ resumed: join(path, 'checkpoint-000000013.safetensors'), totalSteps: 13 })
  expect(told[8]).toMatchObject({ metrics: { epoch: 2 }, totalSteps: 26, best: true })
  expect(told[9]).toMatchObject({ ended: 'epochs', best: { epoch: 2 } })
  expect(told.map(({ time }) => Date.parse(time as string) > 0)).not.toContain(false)
})

test('numbers that are not finite are told', async () => {
  const path = folder()
  const never = (_: Net, __: Points) => full([], Number.NaN)
  await fit(new Net(), { logs: path, validation: loader(), metrics: { never }, epochs: 1 })
  expect((await text(path, 'epochs.csv')).split('\n')[1]).toMatch(/NaN$/)
  expect((await lines(path)).filter(({ type }) => type === 'epoch').at(-1)).toMatchObject({ metrics: { never: 'NaN' } })
})

test('logs go where they are told, or nowhere', async () => {
  const [path, other] = [folder(), folder()]
  await fit(new Net(), { checkpoints: path, logs: other })
  await fit(new Net(), { checkpoints: folder(), logs: false })
  expect((await readdir(path)).sort()).toEqual(['checkpoint-000000013.safetensors'])
  expect((await readdir(other)).sort()).toEqual(['epochs.csv', 'events.jsonl', 'run.json'])
  expect(await readdir(root)).not.toContain(`run ${count}/run.json`)
  await expect(fit(new Net(), { logs: '/dev/null/x' })).rejects.toMatchObject({ code: 'ERR_IO' })
})

test('a folder that goes away costs the logs and one warning, not the training', async () => {
  const warnings: string[] = []
  const listen = (warning: Error & { code?: string }): void => void warnings.push(warning.code ?? '')
  process.on('warning', listen)
  onTestFinished(() => void process.off('warning', listen))
  const path = folder()
  const { epochs } = await fit(new Net(), {
    logs: path,
    epochs: 5,
    callbacks: { onEpochEnd: ({ epoch }) => (epoch === 2 ? rm(path, { recursive: true, maxRetries: 3 }) : undefined) },
  })
  expect(epochs.length).toBe(5)
  await new Promise((resolve) => setImmediate(resolve))
  expect(warnings).toEqual(['QUARTERTURN_LOG'])
})
