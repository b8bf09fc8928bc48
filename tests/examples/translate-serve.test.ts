// The server of translations: what it answers, what it refuses and gives up; the program that measures it, with a small budget.
import { spawnSync } from 'node:child_process'
import { request } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { manualSeed, models, tensor, text } from 'quarterturn'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { summary } from '../../examples/translate/latency.js'
import { serving, smallPairs, table } from '../../examples/translate/serve.js'
import { type Served, serve } from '../../examples/translate/server.js'

let translator: models.Translator
let server: Served
beforeAll(async () => {
  manualSeed(2)
  const codec = text.SymbolCodec.of(['abcdefgh '], text.letters)
  translator = new models.Translator({ source: codec, target: codec, width: 32, numLayers: 1, initRange: 1 }).eval()
  const state = translator.stateDict()
  const bias = Array.from(await state.get('model.head.bias')!.data(), Number)
  bias[text.EOS_ID] = -50 // it writes for as long as it may
  translator.loadStateDict(state.set('model.head.bias', tensor(bias)))
  server = await serve(translator, { patience: 30 })
})
afterAll(() => server.close())

async function ask(body: string | Uint8Array<ArrayBuffer>, init: RequestInit = {}, url = server.url) {
  const response = await fetch(url, { method: 'POST', body, ...init })
  return { status: response.status, ...((await response.json()) as Record<string, unknown>) }
}

describe('the server', () => {
  it('answers with what the translator writes', async () => {
    const { alternatives, ...best } = await translator.translate('abc', { beam: 3 })
    expect(await ask('{"text":"abc","beam":3}')).toEqual({
      ...{ status: 200, text: best.text, coverage: 1 },
      alternatives: alternatives.map(({ text, logProbability }) => ({ text, logProbability })),
    })
    expect(await ask('{"text":""}')).toMatchObject({ status: 200, text: '' })
  })

  it('listens on this machine alone', () => {
    expect(new URL(server.url).hostname).toBe('127.0.0.1')
  })

  it.each<[string, string | Uint8Array<ArrayBuffer>, number, string, RegExp]>([
    ['no JSON', '{"text":', 400, 'JSON', /expected \{"text"/],
    ['no text', '{"txt":"a"}', 400, 'TEXT', /expected \{"text"/],
    ['null', 'null', 400, 'TEXT', /expected/],
    ['bytes that are not UTF-8', new Uint8Array([123, 0xff]), 400, 'JSON', /UTF-8/],
    ['an unknown letter', '{"text":"aé"}', 400, 'ERR_ARGUMENT', /"é" in the text is not one of the 9 symbols/],
    ['a beam that is too wide', '{"text":"a","beam":1000}', 400, 'ERR_ARGUMENT', /beam must be a whole number within/],
    ['a beam that is none', '{"text":"a","beam":"wide"}', 400, 'ERR_ARGUMENT', /beam/],
    ['a request that is too long', JSON.stringify({ text: 'a'.repeat(5000) }), 413, 'TOO_LONG', /4096 bytes/],
  ])('refuses %s', async (_, body, status, code, message) => {
    expect(await ask(body)).toEqual({ status, code, message: expect.stringMatching(message) })
  })

  it('has one address and one method', async () => {
    expect(await ask('{}', {}, server.url.replace('translate', ''))).toMatchObject({ status: 404 })
    const response = await fetch(server.url)
    expect(response.status).toBe(405)
  })

  it('stops decoding when the client goes away, and answers the next one', async () => {
    const before = server.counts.aborted
    const asked = request(server.url, { method: 'POST' })
    asked.on('error', () => {})
    asked.end(JSON.stringify({ text: 'abcdefgh '.repeat(400), beam: 9 }))
    await setTimeout(150)
    asked.destroy()
    const begin = performance.now()
    for (; server.counts.aborted === before && performance.now() < begin + 10_000; ) await setTimeout(5)
    expect(server.counts.aborted).toBe(before + 1)
    expect(await ask('{"text":"abc"}')).toMatchObject({ status: 200 })
  })

  it('gives up what takes too long', async () => {
    const hasty = await serve(translator, { patience: 0.05 })
    const body = JSON.stringify({ text: 'abcdefgh '.repeat(400), beam: 9 })
    expect(await ask(body, {}, hasty.url)).toMatchObject({ status: 503, code: 'ERR_ABORTED' })
    await hasty.close()
  })
})

describe('the measurement', () => {
  it('has the order statistics of the times', () => {
    const times = Array.from({ length: 200 }, (_, i) => i + 1)
    expect(summary(times)).toEqual({ requests: 200, median: 100, quartiles: [50, 150], p99: 198, max: 200 })
  })

  it('answers while another model trains, and says how long that takes', async () => {
    manualSeed(3)
    const result = await serving({ seconds: 0.7, interval: 40 })
    expect(result.steps).toBeGreaterThan(3)
    for (const { requests, median, quartiles, p99, max, perSecond } of [result.idle, result.training]) {
      expect(requests).toBeGreaterThanOrEqual(17)
      expect([0, quartiles[0], median, quartiles[1], p99, max]).toEqual(
        [0, quartiles[0], median, quartiles[1], p99, max].toSorted((a, b) => a - b),
      )
      expect(perSecond).toBeGreaterThan(1)
    }
    expect(table(result)).toMatch(
      /median +quartiles +p99 +max +a second\nidle +[\d.]+ ms .*\nwhile another trains +[\d.]+ ms/,
    )
  })

  it('the pairs are sentences of both languages', () => {
    expect(smallPairs()).toHaveLength(48)
    expect(smallPairs()[0]).toEqual({
      source: 'the small king sees the small dog',
      target: 'le petit roi voit le petit chien',
    })
  })
})

describe('the program', () => {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const start = (...args: string[]) =>
    spawnSync(process.execPath, [`${root}build/ts/examples/translate/serve.js`, ...args], { encoding: 'utf8' })

  it('trains, serves, measures and ends by itself', () => {
    const { status, stdout, stderr } = start('--seconds', '0.5', '--interval', '30', '--beam', '2')
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout).toMatch(/Listening on http:\/\/127\.0\.0\.1:\d+\/translate/)
    expect(stdout).toMatch(/while another trains +[\d.]+ ms/)
  })

  it.each([
    [['--seconds', '0'], 2, /--seconds must be a number within 0.1 … 3600, got 0/],
    [['--port', '70000'], 2, /--port must be a whole number within 0 … 65535/],
    [['--model', '/nowhere'], 1, /nowhere.config\.json: there is no such file.*ERR_IO/],
  ])('%j: %i', (args, code, message) => {
    const { status, stderr } = start(...args)
    expect(status).toBe(code)
    expect(stderr).toMatch(message)
    expect(stderr).not.toMatch(/\n {4}at /)
  })
})
