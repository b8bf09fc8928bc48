// quarterturn translate: texts and lines, what is shown of them, and what is said where something is wrong.
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { manualSeed, models, optim, text, train } from 'quarterturn'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cliWith } from './terminal.js'

const cli = (...argv: string[]) => cliWith([], 'translate', ...argv)
const pairs = [
  { source: 'the house is small', target: 'la maison est petite' },
  { source: 'the sea is near', target: 'la mer est proche' },
]

let folder: string
let translator: models.Translator
const at = (name: string): string => join(folder, name)
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quarterturn-translate-'))
  manualSeed(6)
  const small = { width: 16, numLayers: 1, initRange: 1, maxSource: 5 }
  translator = await models.Translator.of(pairs, {
    ...{ width: 32, numLayers: 1, initRange: 0.3, maxSource: 5, unit: 'word', attention: 'multiplicative' },
  })
  const options = { epochs: 40, clipNorm: 5, optimizer: optim.adamW({ lr: 0.01 }), progress: false }
  await train.fit(translator, translator.loader(pairs), options)
  await translator.save(at('words'))
  const codec = text.SymbolCodec.of(['abc'], text.letters)
  const letters = new models.Translator({ source: codec, target: codec, ...small })
  await letters.save(at('letters'))
  await (letters.model as models.EncoderDecoder).save(at('pairs'))
  translator.eval()
})
afterAll(() => rm(folder, { recursive: true }))

describe('texts', () => {
  it('are answered by a line each, in the order given', async () => {
    const texts = ['the sea is near', '', 'the house']
    const expected = await translator.translate(texts, { beam: 3 })
    const { code, out, err } = await cli(at('words'), ...texts, '--beam', '3')
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toBe(expected.map((each) => `${each.text}\n`).join(''))
  })

  it('--all shows every hypothesis below the text, with its log-probability', async () => {
    const { alternatives } = await translator.translate('the sea', { beam: 4 })
    const { out } = await cli('--all', at('words'), 'the sea')
    const lines = alternatives.map((each) => `${each.logProbability.toFixed(3).padStart(9)}  ${each.text}\n`)
    expect(lines).toHaveLength(4)
    expect(out).toBe(`the sea\n${lines.join('')}`)
  })

  it('--json gives one object for each, attention in it where it is asked for', async () => {
    const { out } = await cli('--json', '--attention', '-b', '2', at('words'), 'the sea', 'near')
    const [sea, near] = await translator.translate(['the sea', 'near'], { beam: 2, attention: true })
    const objects = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(objects).toEqual([
      { text: 'the sea', symbols: ['the', 'sea'], translations: sea!.alternatives },
      { text: 'near', symbols: ['near'], translations: near!.alternatives },
    ])
    expect(objects[0].translations[0].attention[0]).toHaveLength(2)
  })

  it('--attention shows for each word what it attended to, the most first', async () => {
    const { out } = await cli('--attention', at('words'), 'the sea is near')
    const { symbols, attention } = await translator.translate('the sea is near', { beam: 4, attention: true })
    const [, ...lines] = out.trimEnd().split('\n')
    expect(lines).toHaveLength(symbols.length)
    for (const [i, line] of lines.entries()) {
      expect(line.trim().startsWith(symbols[i]!)).toBe(true)
      const shares = [...line.matchAll(/(\d+) %/g)].map(([, share]) => Number(share))
      expect(shares).toEqual(shares.toSorted((a, b) => b - a))
      expect(shares[0]).toBe(Math.round(100 * Math.max(...attention![i]!)))
    }
  })
})

describe('lines of the standard input', () => {
  it('are answered one for one, wherever the pieces end', async () => {
    const lines = ['the sea is near', '', 'the house', 'small']
    const bytes = new TextEncoder().encode(`${lines.join('\r\n')}\n`)
    const expected = (await translator.translate(lines, { beam: 4 })).map((each) => `${each.text}\n`).join('')
    for (const size of [3, bytes.length]) {
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
        bytes.slice(i * size, (i + 1) * size),
      )
      expect(await cliWith(pieces, 'translate', at('words'))).toEqual({ code: 0, out: expected, err: '' })
    }
    expect(await cliWith([], 'translate', at('words'))).toEqual({ code: 0, out: '', err: '' })
  })

  it('each is answered before the next one comes', async () => {
    const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
    const child = spawn(process.execPath, [program, 'translate', at('words')])
    const answers = child.stdout.setEncoding('utf8')[Symbol.asyncIterator]()
    for (const line of ['the sea', 'the house']) {
      child.stdin.write(`${line}\n`)
      const { value } = await answers.next()
      expect(value).toBe(`${(await translator.translate(line, { beam: 4 })).text}\n`)
    }
    child.stdin.end()
    expect(await new Promise((done) => child.on('close', done))).toBe(0)
  })

  it('what is wrong with one is said by its number, after those before it are answered, and the program ends', async () => {
    const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
    const child = spawn(process.execPath, [program, 'translate', at('letters')])
    const said: string[] = []
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (piece) => said.push(piece))
    child.stdin.write('ab\naéb\nc\n') // and it stays open
    expect(await new Promise((done) => child.on('close', done))).toBe(1)
    expect(said.join('')).toMatch(
      /^[abc]*\nquarterturn: translate: line 2: "é" in the text is not one of the 3 symbols that the model knows \(ERR_ARGUMENT\)\n$/,
    )
  })

  it.each<[string, Uint8Array | string, RegExp]>([
    [
      'bytes that are not UTF-8',
      new Uint8Array([97, 10, 97, 0xff, 10]),
      /translate: line 2, byte 2: this is not UTF-8 \(ERR_DATA\)/,
    ],
    ['a line over the limit', 'a\nabcabc\n', /line 2: the text must have at most 5 symbols, got 6 \(ERR_RANGE\)/],
  ])('%s', async (_, input, message) => {
    const { code, out, err } = await cliWith([input], 'translate', at('letters'))
    expect(code).toBe(1)
    expect(out.split('\n')).toHaveLength(2) // of the first line
    expect(err).toMatch(message)
  })
})

describe('what is wrong is said in a line or two', () => {
  it.each<[string, string[], number, RegExp]>([
    ['a folder that is not there', ['none', 'ab'], 1, /none.config\.json: there is no such file.*ERR_IO/],
    [
      'a model of another kind',
      ['pairs', 'ab'],
      1,
      /pairs holds a model of kind EncoderDecoder, version 1, not Translator/,
    ],
    ['an unknown symbol', ['letters', 'ab', 'xb'], 1, /text 2: "x" in the text is not one of the 3 symbols/],
    ['a text over the limit', ['letters', 'abcabc'], 1, /text 1: the text must have at most 5 symbols, got 6/],
    ['a beam that is too wide', ['letters', 'a', '--beam', '99'], 2, /--beam must be at most 4 for this model, got 99/],
    ['attention that there is none', ['letters', 'a', '--attention'], 2, /--attention: this model does not attend/],
  ])('%s', async (_, [name, ...rest], expected, message) => {
    const { code, err } = await cli(at(name!), ...rest)
    expect(code).toBe(expected)
    expect(err).toMatch(message)
    expect(err.trimEnd().split('\n').length).toBeLessThanOrEqual(2)
  })

  it('a text of which the model knows nothing is translated all the same, and that is said', async () => {
    const { code, out, err } = await cli(at('words'), '東京')
    expect({ code, lines: out.split('\n').length }).toEqual({ code: 0, lines: 2 })
    expect(err).toBe('quarterturn: translate: text 1: the model knows nothing of it and reads <UNK>: 東京\n')
  })
})
