// The JavaScript path in a page: one file without imports, which trains and runs a saved model in headless Chromium.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { manualSeed, models } from 'quarterturn'
import * as js from 'quarterturn/js'
import { rolldown } from 'rolldown'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { expectEqual } from './pairs.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const chromium = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync)

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** As the package has it: see scripts/lib/bundle.mjs. */
async function bundled(): Promise<string> {
  const build = await rolldown({ cwd: root, input: 'src/js/index.ts', platform: 'browser' })
  const { output } = await build.generate({ format: 'esm', keepNames: true })
  await build.close()
  expect(output.length, 'files').toBe(1)
  return output[0].code
}

let code = ''
beforeAll(async () => {
  code = await bundled()
})

test('the bundle imports nothing and asks for nothing of Node', () => {
  expect(code).not.toMatch(/^\s*import\b|\bimport\(|\brequire\(|node:|\bprocess\.|\bBuffer\b|__dirname/m)
})

/** What the page does, and Node too. */
const training = `
  js.manualSeed(5)
  const model = new js.Sequential(new js.LSTM(2, 16), new js.LastStep(), new js.Linear(16, 1))
  const loss = new js.MSELoss()
  const optimizer = new js.AdamW(model.parameters(), { lr: 0.05 })
  const x = Float32Array.from({ length: 8 * 12 * 2 }, (_, i) => Math.sin(i / 3))
  const y = Float32Array.from({ length: 8 }, (_, i) => Math.cos(i))
  const losses = []
  for (let step = 0; step < 30; step++) {
    losses.push(loss.forward(model.forward(x, [8, 12, 2]), y))
    model.backward(loss.backward())
    optimizer.step()
  }`

const page = `<!doctype html><meta charset="utf-8"><script type="module">
  const tell = (result) => fetch('/result', { method: 'POST', body: JSON.stringify(result) })
  try {
    const js = await import('/quarterturn.js')
    ${training}
    const poet = await js.loadModel('LanguageModel', (name) => fetch('/poet/' + name).then((answer) => answer.arrayBuffer()))
    const next = poet.predict('the rain', { top: 4 })
    const written = poet.generate('the', { length: 20, temperature: 0 })
    await tell({ losses, next, written })
  } catch (error) {
    await tell({ error: String(error?.stack ?? error) })
  }
</script>`

interface Told {
  error?: string
  losses: number[]
  next: { symbol: string; probability: number }[]
  written: string
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const piece of request) text += piece
  return text
}

describe.skipIf(chromium === undefined)('in Chromium (skipped where /usr/bin/chromium is absent)', () => {
  let folder: string
  let server: Server | undefined
  const poem = 'the rain in spain stays mainly in the plain.'
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'quarterturn-page-'))
  })
  afterAll(async () => {
    server?.closeAllConnections()
    server?.close()
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  })

  test('a page trains, and runs a saved model', async () => {
    manualSeed(4)
    const native = models.LanguageModel.of(poem, { width: 16, numLayers: 1 })
    await native.save(join(folder, 'poet'))

    const own = createServer()
    server = own
    const told = new Promise<Told>((resolve) => {
      own.on('request', async (request, response) => {
        const path = request.url ?? '/'
        if (path === '/') response.setHeader('content-type', 'text/html').end(page)
        else if (path === '/quarterturn.js') response.setHeader('content-type', 'text/javascript').end(code)
        else if (path.startsWith('/poet/')) response.end(await readFile(join(folder, 'poet', basename(path))))
        else if (path === '/result') {
          resolve(JSON.parse(await bodyOf(request)) as Told)
          response.end()
        } else response.writeHead(404).end()
      })
    })
    await new Promise<void>((resolve) => own.listen(0, '127.0.0.1', resolve))
    const { port } = own.address() as AddressInfo
    const profile = join(folder, 'profile')
    // With a port for debugging Chromium stays until it is told to go.
    const args = [...FLAGS, `--user-data-dir=${profile}`, '--remote-debugging-port=0', `http://127.0.0.1:${port}/`]
    const browser = execFile(chromium as string, args)
    const ended = new Promise<void>((resolve) => browser.on('close', () => resolve()))
    try {
      const result = await Promise.race([
        told,
        ended.then(() => Promise.reject(new Error('Chromium ended before the page was done'))),
      ])
      expect(result.error).toBeUndefined()

      const losses = new Function('js', `${training}; return losses`)(js) as number[]
      expectEqual(result.losses, losses, 'losses')
      expect(result.losses.at(-1)).toBeLessThan((result.losses[0] as number) / 2)
      const expected = await native.predict('the rain', { top: 4 })
      expect(result.next.map(({ symbol }) => symbol)).toEqual(expected.map(({ symbol }) => symbol))
      expectEqual(
        result.next.map(({ probability }) => probability),
        expected.map(({ probability }) => probability),
        'probabilities',
      )
      expect(result.written).toBe(await native.generate('the', { length: 20, temperature: 0 }))
    } finally {
      browser.kill()
      await ended
    }
  })
})
