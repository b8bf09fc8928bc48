// SIGINT and SIGTERM during fit: with checkpoints the run saves and the process leaves with 130 or 143; everything else leaves signals as they are.
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fit, Net } from '../train/spiral.js'
import { newestHash, runTraining } from './training.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
let base: string
let count = 0
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'quarterturn-'))
})
afterAll(() => rm(base, { recursive: true }))
const folder = (): string => join(base, `run ${++count}`)

interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  /** From the first signal on. */
  ms: number
}

/** A run that would go on for ever; it prints `step` once it is under way. `options` and `rest` are source text. */
const program = (options: string, rest = '', begin = ''): string => `
  import { data, nn, normal, optim, setThreads, train, Variable } from 'quarterturn'
  setThreads(1)
  class Net extends nn.Module { w = new Variable(normal([64, 64], 0, 0.1)); forward(x) { return x.matmul(this.w) } }
  const loader = () => new data.Loader({ x: { data: new Float32Array(6400).fill(0.5), shape: [100, 64] } }, { batch: 4 })
  const common = {
    loss: (model, { x }) => model.forward(x).square().mean(), optimizer: optim.sgd({ lr: 1e-4 }), epochs: 1e6, progress: false,
    callbacks: { onStep: ({ totalSteps }) => { if (totalSteps > 64) process.stdout.write('step\\n') } },
  }
  ${begin}
  try {
    await train.fit(new Net(), loader(), { ...common, ${options} })
  } catch (error) {
    console.log(error.code, error.message.replace(/\\d+/, 'N'))
  }
  ${rest}
  console.log('after', process.listenerCount('SIGINT'), process.listenerCount('SIGTERM'))
`

/** Runs it and sends the signals, the first when it is under way and the others each so many ms later. */
function signalled(source: string, signals: readonly (readonly [NodeJS.Signals, number])[]): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', source], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let [stdout, sent] = ['', 0]
    child.stdout.on('data', (chunk) => {
      stdout += chunk
      if (sent > 0 || !stdout.includes('step\n')) return
      sent = performance.now()
      let at = 0
      for (const [signal, later] of signals) {
        at += later
        setTimeout(() => child.kill(signal), at)
      }
    })
    const limit = setTimeout(() => child.kill('SIGKILL'), 20_000)
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(limit)
      resolve({ code, signal, stdout: stdout.replace(/step\n/g, ''), ms: performance.now() - sent })
    })
  })
}

const checkpoints = (path: string): string => `checkpoints: ${JSON.stringify(path)}`
const files = async (path: string): Promise<string[]> =>
  (await readdir(path)).filter((name) => name === 'lock' || name.endsWith('.tmp') || name.startsWith('checkpoint'))

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s saves and leaves with %i; nothing after fit runs', async (signal, code) => {
  const path = folder()
  const ended = await signalled(program(checkpoints(path)), [[signal, 0]])
  expect(ended).toMatchObject({ code, signal: null, stdout: '' })
  const found = await files(path)
  expect(found.every((name) => name.startsWith('checkpoint'))).toBe(true)
  expect(found.length).toBeGreaterThan(0)
})

test('interrupted again and again, a run ends with the bits of one that was not', { timeout: 120_000 }, async () => {
  const whole = folder()
  await mkdir(whole)
  const { ms } = await runTraining(whole)
  const path = folder()
  await mkdir(path)
  const ends: (number | null)[] = []
  for (let i = 0; i < 6; i++) {
    const { code } = await runTraining(path, { after: Math.random() * ms * 0.5, signal: i % 2 ? 'SIGINT' : 'SIGTERM' })
    ends.push(code)
  }
  expect(ends.filter((code) => code === 130 || code === 143).length).toBeGreaterThan(0)
  expect((await runTraining(path)).code).toBe(0)
  expect(await newestHash(path)).toBe(await newestHash(whole))
})

test('a second signal leaves at once, one that npm has only doubled does not', async () => {
  const slow =
    'callbacks: { ...common.callbacks, onCheckpoint: ({ totalSteps }) => new Promise((go) => setTimeout(go, totalSteps > 64 ? 3000 : 0)) }'
  const path = folder()
  const twice = await signalled(program(`${checkpoints(path)}, ${slow}`), [
    ['SIGINT', 0],
    ['SIGINT', 400],
  ])
  expect(twice).toMatchObject({ code: 130, signal: null })
  expect(twice.ms).toBeLessThan(2000)
  const doubled = await signalled(program(checkpoints(folder())), [
    ['SIGINT', 0],
    ['SIGINT', 5],
  ])
  expect(doubled).toMatchObject({ code: 130, signal: null })
})

test('of several runs the process leaves with the last that has saved', async () => {
  const paths = [folder(), folder()]
  const second = `train.fit(new Net(), loader(), { ...common, ${checkpoints(paths[1]!)} }).finally(() => console.log('settled'))`
  const ended = await signalled(program(checkpoints(paths[0]!), '', second), [['SIGTERM', 0]])
  expect(ended).toMatchObject({ code: 143, stdout: '' })
  for (const path of paths) expect((await files(path)).filter((name) => name !== 'lock').length).toBeGreaterThan(0)
  for (const path of paths) expect(await files(path)).not.toContain('lock')
})

test('a run that begins while another saves ends with it', async () => {
  const paths = [folder(), folder()]
  const late = `
    let begun = false
    const begin = async ({ totalSteps }) => {
      if (totalSteps <= 64 || begun) return
      begun = true
      await new Promise((go) => setTimeout(go, 500))
      train.fit(new Net(), loader(), { ...common, callbacks: {}, ${checkpoints(paths[1]!)} }).finally(() => console.log('settled'))
    }`
  const slow = `${checkpoints(paths[0]!)}, callbacks: { ...common.callbacks, onCheckpoint: begin }`
  expect(await signalled(program(slow, '', late), [['SIGTERM', 0]])).toMatchObject({ code: 143, stdout: '' })
  expect(await files(paths[1]!)).not.toContain('lock')
})

test('a program that listens itself keeps the word: the run saves and rejects, and the process goes on', async () => {
  const path = folder()
  const own = "process.on('SIGINT', () => console.log('own'))"
  const ended = await signalled(program(checkpoints(path), '', own), [['SIGINT', 0]])
  expect(ended.stdout).toBe('own\nERR_ABORTED fit: SIGINT after step N\nafter 1 0\n')
  expect(ended.code).toBe(0)
  expect((await files(path)).length).toBeGreaterThan(0)
})

test('without checkpoints, or with signals: false, a signal ends the process as always', async () => {
  const ends = await Promise.all([
    signalled(program(''), [['SIGINT', 0]]),
    signalled(program(`${checkpoints(folder())}, signals: false`), [['SIGTERM', 0]]),
  ])
  expect(ends.map(({ code, signal }) => [code, signal])).toEqual([
    [null, 'SIGINT'],
    [null, 'SIGTERM'],
  ])
})

test('the handlers are there only while a run with checkpoints goes on, however it ends', async () => {
  const listeners = (): number => process.listenerCount('SIGINT') + process.listenerCount('SIGTERM')
  const before = listeners()
  const during: number[] = []
  const count = { onEpochEnd: () => void during.push(listeners() - before) }
  await fit(new Net(), { checkpoints: folder(), callbacks: count })
  await fit(new Net(), { callbacks: count })
  await fit(new Net(), { checkpoints: folder(), signals: false, callbacks: count })
  expect(during).toEqual([2, 0, 0])
  expect(listeners()).toBe(before)
  const throwing = () => {
    throw new Error('mine')
  }
  await expect(fit(new Net(), { checkpoints: folder(), callbacks: { onEpochEnd: throwing } })).rejects.toThrow('mine')
  await expect(fit(new Net(), { checkpoints: '/dev/null/x' })).rejects.toMatchObject({ code: 'ERR_IO' })
  expect(listeners()).toBe(before)
})
