// Saved models of every kind, read and run by the JavaScript path: what they predict is what they predict natively.
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { data, manualSeed, models, type nn, text } from 'quarterturn'
import * as js from 'quarterturn/js'
import { beforeEach, describe, expect, test } from 'vitest'
import { sha256 } from '../../src/js/sha256.js'
import { inFolder } from '../models/saved.js'
import { expectEqual } from './pairs.js'

const code = (name: string) => expect.objectContaining({ code: name })

beforeEach(() => void manualSeed(3))

/** Loads what was saved. */
async function reloaded<K extends keyof js.Models>(
  kind: K,
  model: nn.Module & { save(folder: string): Promise<void> },
): Promise<js.Models[K]> {
  return inFolder(async (folder) => {
    await model.save(folder)
    return js.loadModel(kind, (name) => readFile(join(folder, name)))
  })
}

const wave = (steps: number, columns: number, shift = 0): number[][] =>
  Array.from({ length: steps }, (_, t) =>
    Array.from({ length: columns }, (_, j) => 20 + 5 * Math.sin(t / 2 + j + shift)),
  )

test.each([
  { inputs: 1, past: 6, future: 3 },
  { inputs: 3, past: 9, future: 4, targets: 2, width: 10, numLayers: 2 },
])('a forecaster of %o', async (options) => {
  const native = new models.Forecaster(options)
  native.head.weight.assign(native.head.weight.add(0.1)) // it starts as zeros, and would hide the LSTM
  const ours = await reloaded('Forecaster', native)
  for (const steps of [wave(options.past, options.inputs), wave(options.past + 5, options.inputs, 1)]) {
    const expected = await native.predict(steps)
    expectEqual(ours.predict(steps).flat(), expected.flat(), 'forecast')
  }
  expect(() => ours.predict(wave(options.past - 1, options.inputs))).toThrow(code('ERR_SHAPE'))
  expect(() => ours.predict(wave(options.past, options.inputs + 1))).toThrow(code('ERR_SHAPE'))
  const broken = wave(options.past, options.inputs).map((step) => step.map(() => Number.NaN))
  expect(() => ours.predict(broken)).toThrow(code('ERR_ARGUMENT'))
})

function expectClassified(actual: js.Classified[], expected: models.Classified[]): void {
  expect(actual.map(({ label }) => label)).toEqual(expected.map(({ label }) => label))
  for (const [i, { probabilities }] of expected.entries()) {
    expect(Object.keys(actual[i]?.probabilities ?? {})).toEqual(Object.keys(probabilities))
    expectEqual(Object.values(actual[i]?.probabilities ?? {}), Object.values(probabilities), 'probabilities')
  }
}

test.each([1, 2])('a classifier of sequences with %i layers', async (numLayers) => {
  const examples = [5, 9, 7].map((steps, i) => ({ series: wave(steps, 2, i), label: 'abc'[i] as string }))
  const native = models.SequenceClassifier.of(examples, { width: 12, numLayers })
  const ours = await reloaded('SequenceClassifier', native)
  const series = examples.map((example) => example.series)
  expectClassified(ours.predict(series), await native.predict(series))
  expect(() => ours.predict([[]])).toThrow(code('ERR_SHAPE'))
  expect(() => ours.predict([wave(3, 1)])).toThrow(code('ERR_SHAPE'))
})

test('a classifier of texts', async () => {
  const examples = [
    { text: 'a fine and moving film', label: 'good' },
    { text: 'what a waste of time', label: 'bad' },
  ]
  const native = models.TextClassifier.of(examples, { minCount: 1, width: 8, embedding: 6 })
  const ours = await reloaded('TextClassifier', native)
  const texts = ['A fine film!', 'time', 'words that nobody has seen']
  expectClassified(ours.predict(texts), await native.predict(texts))
  expect(() => ours.predict([' '])).toThrow(code('ERR_ARGUMENT'))
})

test('a regressor over a table', async () => {
  const columns = { size: [1, 2, Number.NaN, 4], kind: ['flat', 'house', '', 'flat'], price: [3, 4, 5, 8] }
  const native = models.TabularRegressor.of(data.Table.of(columns), { target: 'price', width: 16, blocks: 3 })
  const ours = await reloaded('TabularRegressor', native)
  const rows = { size: [1.5, Number.NaN], kind: ['house', 'castle'] }
  expectEqual(ours.predict(rows), await native.predict(data.Table.of(rows)), 'price')
  expect(ours.predict({ size: [], kind: [] })).toEqual([])
  expect(() => ours.predict({ size: [1] })).toThrow('column kind')
  expect(() => ours.predict({ size: [1], kind: [1] })).toThrow(code('ERR_ARGUMENT'))
  expect(() => ours.predict({ size: [1], kind: ['a', 'b'] })).toThrow(code('ERR_SHAPE'))
})

describe.each(['character', 'word'] as const)('a language model by %s', (unit) => {
  test('says what comes next, and writes the same', async () => {
    const poem = 'the rain in spain stays mainly in the plain.'
    const native = models.LanguageModel.of(poem, { unit, width: 24, numLayers: 2 })
    const ours = await reloaded('LanguageModel', native)
    const expected = await native.predict('the rain', { top: 9 })
    const actual = ours.predict('the rain', { top: 9 })
    expect(actual.map(({ symbol }) => symbol)).toEqual(expected.map(({ symbol }) => symbol))
    expectEqual(
      actual.map(({ probability }) => probability),
      expected.map(({ probability }) => probability),
      'probabilities',
    )
    const options = { length: 30, temperature: 0 }
    expect(ours.generate('in', options)).toBe(await native.generate('in', options))
    js.manualSeed(5)
    const drawn = ours.generate('in', { length: 40 })
    expect(drawn).not.toBe(ours.generate('in', { length: 40 }))
    js.manualSeed(5)
    expect(ours.generate('in', { length: 40 })).toBe(drawn)
    expect(() => ours.predict('in', { top: 0 })).toThrow(code('ERR_ARGUMENT'))
    expect(() => ours.generate('in', { temperature: -1 })).toThrow(code('ERR_ARGUMENT'))
  })
})

test.each([true, false])('an encoder-decoder (reversed: %s) writes the same hypotheses', async (reversed) => {
  const source = text.Vocabulary.of([['a', 'b', 'c']])
  const target = text.Vocabulary.of([['x', 'y']])
  const native = new models.EncoderDecoder({ source, target, width: 16, reversed, initRange: 0.5 })
  const ours = await reloaded('EncoderDecoder', native)
  const sources = [['a'], ['b', 'c', 'a'], ['c', 'c']]
  for (const beam of [1, 3]) {
    const expected = await native.decode(sources, { beam })
    const actual = ours.decode(sources, { beam })
    for (const [i, hypotheses] of expected.entries()) {
      const own = actual[i] as js.Hypothesis[]
      expect(own.map(({ symbols, ended }) => ({ symbols, ended }))).toEqual(
        hypotheses.map(({ symbols, ended }) => ({ symbols, ended })),
      )
      expectEqual(
        own.map(({ logProbability }) => logProbability),
        hypotheses.map(({ logProbability }) => logProbability),
        'scores',
      )
    }
  }
  expect(() => ours.decode([[]])).toThrow(code('ERR_ARGUMENT'))
  expect(() => ours.decode(sources, { beam: 9 })).toThrow(code('ERR_ARGUMENT'))
  expect(() => ours.decode([['z']])).toThrow(code('ERR_ARGUMENT'))
})

test('an encoder-decoder that is not of plain LSTMs is refused by the option that makes it so', async () => {
  const letters = text.Vocabulary.of([['a', 'b']])
  for (const options of [{ attention: 'additive' }, { cell: 'gru' }, { bias: false }, { residual: true }] as const) {
    const native = new models.EncoderDecoder({ source: letters, target: letters, width: 8, ...options })
    const [name] = Object.keys(options) as [string]
    await expect(reloaded('EncoderDecoder', native)).rejects.toMatchObject({ code: 'ERR_ARGUMENT', got: name })
  }
})

describe('what cannot be loaded', () => {
  const forecaster = async (change: (files: Map<string, Uint8Array>) => void): Promise<unknown> =>
    inFolder(async (folder) => {
      await new models.Forecaster({ inputs: 1, past: 4, future: 2, width: 4 }).save(folder)
      const files = new Map<string, Uint8Array>()
      for (const name of ['config.json', 'model.safetensors']) files.set(name, await readFile(join(folder, name)))
      change(files)
      return js.loadModel('Forecaster', async (name) => files.get(name) as Uint8Array)
    })
  const bytes = (content: string): Uint8Array => new TextEncoder().encode(content)
  const weights = 'model.safetensors'

  test('another kind, and a kind that is none', async () => {
    await expect(
      forecaster((files) => files.set('config.json', bytes('{"quarterturn":1,"kind":"Poet"}'))),
    ).rejects.toThrow('of kind and version Poet 1, not Forecaster 1')
    await expect(js.loadModel('Poet' as never, async () => new Uint8Array())).rejects.toThrow(code('ERR_ARGUMENT'))
  })

  test.each([
    ['a config that is no JSON', 'config.json', () => bytes('{')],
    ['a config that is no object', 'config.json', () => bytes('[]')],
    ['a changed config', 'config.json', (old: Uint8Array) => bytes(`${new TextDecoder().decode(old)} `)],
    ['no weights', weights, () => new Uint8Array(3)],
    ['weights that are cut off', weights, (old: Uint8Array) => old.subarray(0, old.length - 4)],
    ['a header that is cut off', weights, (old: Uint8Array) => old.subarray(0, 40)],
    ['a header that is no JSON', weights, (old: Uint8Array) => old.map((byte, i) => (i === 8 ? 0xff : byte))],
  ])('%s', async (_, name, change) => {
    const loading = forecaster((files) => files.set(name, change(files.get(name) as Uint8Array)))
    await expect(loading).rejects.toThrow(code('ERR_CHECKPOINT'))
  })

  test('what reading throws comes through', async () => {
    await expect(js.loadModel('Forecaster', () => Promise.reject(new Error('404')))).rejects.toThrow('404')
  })
})

test('weights in bfloat16 and float64 are read', () => {
  const data = new Uint8Array([0xc0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0]) // 1.5 in bfloat16, −2 in float64
  const header = JSON.stringify({
    a: { dtype: 'BF16', shape: [1], data_offsets: [0, 2] },
    b: { dtype: 'F64', shape: [1, 1], data_offsets: [2, 10] },
  })
  const file = new Uint8Array(8 + header.length + data.length)
  new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true)
  file.set(new TextEncoder().encode(header), 8)
  file.set(data, 8 + header.length)
  const { tensors } = js.parseSafetensors(file)
  expect([...tensors].map(([name, { data }]) => [name, ...Array.from(data)])).toEqual([
    ['a', 1.5],
    ['b', -2],
  ])
})

test('digests are those of Node', () => {
  for (const text of ['', 'abc', 'ä'.repeat(55), 'x'.repeat(64), 'y'.repeat(1000)])
    expect(sha256(text)).toBe(createHash('sha256').update(text).digest('hex'))
})
