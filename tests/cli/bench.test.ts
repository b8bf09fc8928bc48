// quarterturn bench as it is installed, in a folder where other libraries are stand-ins: they crash, hang, fail to load, or compute something else.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Report } from '../../src/cli/bench/report.js'
import { quartiles } from '../../src/cli/bench/statistics.js'

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const chromium = ['chromium', 'chromium-browser', 'google-chrome'].find(
  (name) => spawnSync(name, ['--version']).status === 0,
)

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quarterturn-bench-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** A project whose packages are given as the text of their main file. */
async function project(name: string, packages: Record<string, string>): Promise<string> {
  const root = join(folder, name)
  await mkdir(root, { recursive: true })
  for (const [each, text] of Object.entries(packages)) {
    const at = join(root, 'node_modules', each)
    await mkdir(at, { recursive: true })
    await writeFile(join(at, 'package.json'), JSON.stringify({ name: each, version: '9.8.7', main: 'main.js' }))
    await writeFile(join(at, 'main.js'), text)
  }
  return root
}

function bench(cwd: string, ...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [program, 'bench', ...args], { cwd })
    const [out, err]: [string[], string[]] = [[], []]
    child.stdout.setEncoding('utf8').on('data', (text) => out.push(text))
    child.stderr.setEncoding('utf8').on('data', (text) => err.push(text))
    child.on('close', (code) => resolve({ code, out: out.join(''), err: err.join('') }))
  })
}

const TINY = ['--size', 'small', '--seconds', '0.05']

/** An ONNX Runtime that answers with the same number whatever it is given. */
const CONSTANT_ORT = `
exports.Tensor = class { constructor(type, data, shape) { this.shape = shape } }
exports.InferenceSession = { create: async () => ({ run: async ({ x }) => ({ y: { data: new Float32Array(x.shape[0]).fill(7) } }) }) }
`

async function report(cwd: string, ...args: string[]): Promise<Report> {
  const { code, out, err } = await bench(cwd, '--json', ...TINY, ...args)
  expect({ code, err }).toEqual({ code: 0, err: '' })
  return JSON.parse(out) as Report
}

describe('contenders', () => {
  it('native and the JavaScript path compute the same in every model, and both are timed', async () => {
    const { cases, contenders } = await report(
      await project('own', {}),
      '--against',
      'native,js',
      '--only',
      'lstm,gru,minlstm,residual',
    )
    expect(contenders.map(({ state }) => state)).toEqual(['present', 'present'])
    expect(cases.map(({ kind }) => kind)).toEqual(['lstm', 'gru', 'minlstm', 'residual'])
    for (const { kind, entries } of cases)
      for (const { id, train, infer } of entries)
        for (const figure of [train, infer]) {
          expect(figure, `${kind} ${id}`).toHaveProperty('median')
          if (!('median' in figure)) continue
          expect(figure.q1).toBeLessThanOrEqual(figure.median)
          expect(figure.median).toBeLessThanOrEqual(figure.q3)
          expect(figure.median).toBeGreaterThan(0)
          expect(figure.delay).toBeGreaterThanOrEqual(0)
        }
  })

  it('others that crash, hang, throw or compute something else say so in their row, and the rest is timed', async () => {
    const root = await project('bad', {
      '@tensorflow/tfjs': 'process.abort()',
      '@jax-js/jax': 'exports.init = () => { for (;;); }',
      'brain.js': 'throw new Error("not on this Node")',
      'onnxruntime-node': CONSTANT_ORT,
    })
    const found = await report(root, '--only', 'lstm', '--patience', '30')
    const about = Object.fromEntries(found.contenders.map((each) => [each.id, each]))
    expect(about['tfjs-cpu']).toMatchObject({
      state: 'failed',
      why: expect.stringMatching(/ended by SIGABRT|exit code/),
    })
    expect(about['tfjs-wasm']).toMatchObject({ state: 'absent', install: 'npm i @tensorflow/tfjs-backend-wasm' })
    expect(about.jax).toMatchObject({ state: 'failed', why: 'no answer within 30 s' })
    expect(about.brain).toMatchObject({ state: 'failed', why: 'not on this Node' })
    expect(about.onnx).toMatchObject({ state: 'present', about: 'ONNX Runtime 9.8.7, cpu, 1 thread(s)' })
    const entries = Object.fromEntries(found.cases[0]!.entries.map((each) => [each.id, each]))
    expect(Object.keys(entries)).toEqual(['native', 'js', 'onnx'])
    expect(entries.onnx).toMatchObject({
      train: { why: 'inference only' },
      infer: { why: expect.stringMatching(/^other outputs: 7\.000, not -?\d/) },
    })
    expect(entries.native?.train).toHaveProperty('median')
    expect(entries.js?.infer).toHaveProperty('median')
  })

  it('one that dies or hangs in the middle loses its figure alone', async () => {
    // It answers the check, then ends its process at a later call.
    const dying = CONSTANT_ORT.replace(
      'run: async ({ x }) => (',
      'run: async ({ x }) => (++calls > 2 ? process.exit(9) : ',
    ).replace('exports.Tensor', 'let calls = 0\nexports.Tensor')
    const root = await project('dying', { 'onnxruntime-node': dying })
    const found = await report(root, '--only', 'lstm', '--against', 'onnx')
    expect(found.cases[0]?.entries).toEqual([
      { id: 'onnx', train: { why: 'inference only' }, infer: { why: 'ended with exit code 9' } },
    ])
    const stuck = dying.replace('process.exit(9)', 'new Promise(() => {})')
    const hanging = await report(
      await project('hanging', { 'onnxruntime-node': stuck }),
      '--only',
      'lstm',
      '--against',
      'onnx',
      '--patience',
      '5',
    )
    expect(hanging.cases[0]?.entries[0]?.infer).toEqual({ why: 'no answer within 5 s' })
  })
})

describe('the real task', () => {
  it('is trained by both of ours along the same curve', async () => {
    const root = await project('task', {})
    const { out } = await bench(root, '--json', '--only', 'task', '--seconds', '0.4', '--against', 'native,js')
    const { task } = JSON.parse(out) as Report
    expect(task?.names).toBeGreaterThan(2000)
    expect(task?.entries.map(({ id }) => id)).toEqual(['native', 'js'])
    // On a slow machine the time may be up before; then it says how far it came.
    for (const each of task?.entries ?? [])
      if ('why' in each) expect(each.why).toMatch(/^loss \d\.\d\d after \d+ s$/)
      else expect(each.curve.at(-1)?.[1]).toBeLessThanOrEqual(1)
  })
})

describe('what is printed', () => {
  it('the table names the absent with the command that brings them', async () => {
    const { code, out, err } = await bench(await project('table', {}), ...TINY, '--only', 'lstm')
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toMatch(/LSTM, small: training step {2}B=8 T=32 I=16 H=32/)
    expect(out).toMatch(/ {2}quarterturn\/js +[\d.]+ m?s +[\d.]+ – [\d.]+ +[\d.]+ +[\d.]+ m?s {2}█/)
    expect(out).toMatch(
      /TensorFlow\.js wasm is not installed here: npm i @tensorflow\/tfjs @tensorflow\/tfjs-backend-wasm/,
    )
    expect(out).not.toContain('\x1b')
    expect(out).not.toMatch(/undefined|NaN|Infinity/)
  })

  it.each([
    [['--only', 'lsmt'], /--only must be of lstm, gru, .*, got "lsmt"/],
    [['--size', 'huge'], /--size must be of small, medium, large, all, got "huge"/],
    [['--against', 'torch'], /--against must be of native, js, .*, got "torch"/],
    [['--seconds', 'soon'], /--seconds must be a number of seconds above 0/],
    [['--threads', '0'], /--threads must be a whole number ≥ 1/],
    [['fast'], /bench: what is fast\?/],
  ])('%j is wrong usage', async (args, message) => {
    const { code, out, err } = await bench(folder, ...args)
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toMatch(message)
  })

  it('a page that cannot be written is one line and exit code 1', async () => {
    const { code, err } = await bench(
      folder,
      ...TINY,
      '--only',
      'lstm',
      '--against',
      'js',
      '--html',
      join(folder, 'no', 'page.html'),
    )
    expect(code).toBe(1)
    expect(err).toMatch(/^quarterturn: bench: the page could not be written: ENOENT[^\n]*\n$/)
  })
})

describe('the page', () => {
  let file: string
  let html: string
  beforeAll(async () => {
    file = join(folder, 'page.html')
    // A name that would break the page if it were not escaped.
    const root = await project('page', { 'brain.js': 'throw new Error("<b>&\\"broken")' })
    await bench(
      root,
      '--seconds',
      '0.1',
      '--size',
      'small',
      '--only',
      'lstm,residual,task',
      '--against',
      'native,js,brain,tfjs-cpu',
      '--html',
      file,
    )
    html = await readFile(file, 'utf8')
  })

  it('is self-contained: it names no other file and no address', () => {
    expect(html).not.toMatch(/https?:|\/\/[a-z]|<link|<script|<img|<iframe|@import|url\(|srcset/i)
    expect(html).toContain('prefers-color-scheme:dark')
  })

  it('is well-formed: every element is closed in its order', () => {
    const open: string[] = []
    const text = html.replace(/<style>[\s\S]*?<\/style>/, '')
    for (const [, close, name, , empty] of text.matchAll(
      /<(\/?)([a-z][a-z0-9]*)((?:\s+[a-zA-Z][a-zA-Z0-9-]*="[^"<>]*")*)\s*(\/?)>/g,
    )) {
      if (close === '/') expect(open.pop()).toBe(name)
      else if (empty !== '/' && name !== 'meta') open.push(name as string)
    }
    expect(open).toEqual([])
    // Whatever is no tag is escaped.
    expect(
      text
        .replace(/<!doctype html>/, '')
        .replace(/<(\/?)([a-z][a-z0-9]*)((?:\s+[a-zA-Z][a-zA-Z0-9-]*="[^"<>]*")*)\s*(\/?)>/g, ''),
    ).not.toMatch(/[<>]/)
    expect(html).toContain('did not start: &lt;b&gt;&amp;&quot;broken')
  })

  it('has a plot with bars for each figure, and says it in words too', () => {
    expect(html.match(/<figure>/g)?.length).toBeGreaterThanOrEqual(7)
    expect(html.match(/<rect class="bar"/g)?.length).toBeGreaterThanOrEqual(12)
    expect(html).toMatch(/aria-label="quarterturn: [\d.]+ m?s; quarterturn\/js: [\d.]+ m?s"/)
    expect(html).not.toMatch(/undefined|NaN|Infinity/)
  })

  it.skipIf(chromium === undefined)(
    'is drawn by Chromium, light and dark (skipped where there is no Chromium)',
    async () => {
      const sizes: number[] = []
      for (const [name, flags] of Object.entries({ light: [], dark: ['--blink-settings=preferredColorScheme=0'] })) {
        const picture = join(folder, `${name}.png`)
        const common = ['--headless', '--no-sandbox', '--disable-gpu', `--user-data-dir=${join(folder, 'chromium')}`]
        spawnSync(
          chromium as string,
          [...common, ...flags, '--window-size=1280,1600', `--screenshot=${picture}`, `file://${file}`],
          { timeout: 50_000 },
        )
        expect(existsSync(picture), name).toBe(true)
        sizes.push((await stat(picture)).size)
        // A blank page of this size is a few kilobytes.
        expect(sizes.at(-1)).toBeGreaterThan(30_000)
      }
      const [light, dark] = await Promise.all(['light', 'dark'].map((name) => readFile(join(folder, `${name}.png`))))
      expect(light?.equals(dark as Buffer)).toBe(false)
    },
    120_000,
  )
})

it('quartiles interpolate between the sorted numbers', () => {
  expect(quartiles([4, 1, 3, 2])).toEqual({ q1: 1.75, median: 2.5, q3: 3.25 })
  expect(quartiles([5])).toEqual({ q1: 5, median: 5, q3: 5 })
})
