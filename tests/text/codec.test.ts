// Codecs: one interface for words, letters, phonemes and byte pairs; what is unknown is told; all of it comes back from JSON.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { text } from 'quarterturn'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const { BytePairEncoding, codecFrom, letters, SymbolCodec, spaced, WordTokenizer } = text

const folder = mkdtempSync(join(tmpdir(), 'quarterturn-codec-'))
afterAll(() => rmSync(folder, { recursive: true }))

const LINES = Array.from(
  { length: 300 },
  (_, i) =>
    [
      `the king of the sea has ${i} ships`,
      `le roi de la mer a ${i} bateaux, dit-il`,
      "l'eau n'est pas là",
      'And <EOS> is text',
    ][i % 4]!,
)
let pairs: text.BytePairEncoding
beforeAll(async () => {
  pairs = await BytePairEncoding.train(LINES, { size: 350 })
})

describe('SymbolCodec', () => {
  const words = SymbolCodec.frequent(['the king', 'the sea, the king'], new WordTokenizer({ language: 'en' }), {
    size: 3,
  })

  it('has <UNK> and the most frequent words', () => {
    expect(words.vocabulary.toJSON()).toEqual(['<UNK>', 'the', 'king', 'sea'])
    expect(words.encodeText('the sea, the ship')).toEqual([3, 5, 2, 3, 2])
    expect(words.decodeText([3, 4, 0, 1, 5])).toBe('the king')
    expect([words.size, words.has('king'), words.has('ship')]).toEqual([6, true, false])
  })

  it('tells how much of a text it knows: nothing of an unknown script', () => {
    expect(words.coverage('the ship')).toBe(0.5)
    expect(words.coverage('Царь моря')).toBe(0)
    expect(words.encodeText('Царь моря')).toEqual([2, 2])
    expect([words.coverage(''), words.encodeText('')]).toEqual([1, []])
  })

  it('reads letters and phonemes by the same code, and refuses unknown ones without <UNK>', () => {
    const phonemes = SymbolCodec.of(['K AE T', 'D AO G'], spaced)
    expect(phonemes.decodeText(phonemes.encodeText('G AE T'))).toBe('G AE T')
    const known = SymbolCodec.of(['cat', 'dog'], letters)
    expect(known.decodeText(known.encodeText('toga'))).toBe('toga')
    expect(() => known.encodeText('zoo')).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  })
})

describe('BytePairEncoding', () => {
  it('gives every text back, whatever it was trained on', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' }), fc.string()), (string) => {
        const ids = pairs.encodeText(string)
        expect(pairs.decodeText(ids)).toBe(string)
        expect(ids.every((id) => id > text.EOS_ID && id < pairs.size)).toBe(true)
        expect(pairs.detokenize(pairs.tokenize(string))).toBe(string)
        expect(pairs.coverage(string)).toBe(1)
      }),
      { numRuns: 500 },
    )
    for (const string of ['<EOS>', '<PAD> <EOS>', 'And <EOS> is text', '  two  spaces\n', '\0', '🏳️‍🌈'])
      expect(pairs.decodeText(pairs.encodeText(string))).toBe(string)
    expect(pairs.decodeText(pairs.encodeText('a\ud800'))).toBe('a\ufffd')
  })

  it('has learnt the words of its texts', () => {
    expect(pairs.tokenize('the king')).toEqual(['the', 'Ġking'])
    expect(pairs.size).toBeLessThanOrEqual(350)
    expect([pairs.has('Ġking'), pairs.has('<EOS>'), pairs.has('<UNK>')]).toEqual([true, true, false])
    expect(pairs.vocabulary.symbols.slice(0, 2)).toEqual(['<PAD>', '<EOS>'])
  })

  it('does not depend on the order of texts, and takes them from an async iterable', async () => {
    const reversed = [...LINES].reverse()
    const again = await BytePairEncoding.train(
      (async function* () {
        yield* reversed
      })(),
      { size: 350 },
    )
    expect(again.toJSON()).toEqual(pairs.toJSON())
  })

  it('encodes many as it encodes one, across blocks', async () => {
    const many = Array.from({ length: 5000 }, (_, i) => (i % 7 === 0 ? '' : `${LINES[i % LINES.length]} ${i}\ud83d`))
    const ids = await pairs.encodeTexts(many)
    expect(ids.length).toBe(many.length)
    for (const i of [0, 1, 4094, 4095, 4096, 4097, 4999]) expect(ids[i]).toEqual(pairs.encodeText(many[i] as string))
  })

  it('stops at <EOS>, leaves <PAD> out, and refuses numbers that are no piece', () => {
    const ids = pairs.encodeText('the king')
    expect(pairs.decodeText([0, ...ids, 0, 1, ...ids])).toBe('the king')
    for (const wrong of [-1, 0.5, pairs.size, Number.NaN])
      expect(() => pairs.decodeText([wrong])).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
    // Half a character.
    const half = pairs.encodeText('東').slice(0, 1)
    expect(pairs.decodeText(half)).toBe('\ufffd')
  })

  it('in lower case gives texts back in lower case', async () => {
    const lower = await BytePairEncoding.train(LINES, { size: 300, lowercase: true })
    expect(lower.decodeText(lower.encodeText('The ÉTÉ'))).toBe('the été')
  })

  it('refuses options that cannot be, and texts that are none', async () => {
    for (const options of [{ size: 257 }, { size: 1.5 }, { minCount: 0 }, { lowercase: 1 }]) {
      await expect(BytePairEncoding.train(LINES, options as never)).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
    }
    for (const wrong of ['one text', 3, null, [3]])
      await expect(BytePairEncoding.train(wrong as never)).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  })

  it('of no text has the bytes alone', async () => {
    expect((await BytePairEncoding.train([])).size).toBe(258)
  })

  it('is saved and loaded; what is damaged or of another kind is refused', async () => {
    const path = join(folder, 'tokenizer.json')
    await pairs.save(path)
    const again = await BytePairEncoding.load(path)
    expect(again.toJSON()).toEqual(pairs.toJSON())
    expect(again.encodeText('le roi de la mer')).toEqual(pairs.encodeText('le roi de la mer'))
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({
      version: '1.0',
      model: { type: 'BPE', vocab: { '<PAD>': 0, '<EOS>': 1 } },
      decoder: { type: 'ByteLevel' },
    })
    await expect(BytePairEncoding.load(join(folder, 'absent'))).rejects.toMatchObject({ code: 'ERR_IO' })
    await expect(pairs.save(join(folder, 'absent', 'x'))).rejects.toMatchObject({ code: 'ERR_IO' })
    const whole = readFileSync(path, 'utf8')
    const others = [
      whole.slice(0, 1000),
      '',
      '[]',
      whole.replace('"<EOS>":1', '"<eos>":1'),
      whole.replaceAll('ByteLevel', 'Fuse'),
    ]
    for (const [i, content] of others.entries()) {
      const other = join(folder, `${i}.json`)
      writeFileSync(other, content)
      await expect(BytePairEncoding.load(other)).rejects.toMatchObject({ code: 'ERR_DATA' })
    }
  })

  const python = process.env.QUARTERTURN_TOKENIZERS_PYTHON ?? 'python3'
  const there = spawnSync(python, ['-c', 'import tokenizers']).status === 0
  it.skipIf(!there)('is read by tokenizers in Python, which gives the same numbers and texts', async () => {
    const path = join(folder, 'for-python.json')
    await pairs.save(path)
    const program = `
import json, sys
from tokenizers import Tokenizer
pairs = Tokenizer.from_file(sys.argv[1])
pairs.encode_special_tokens = True
texts = json.load(sys.stdin)
ids = [pairs.encode(text).ids for text in texts]
print(json.dumps([ids, [pairs.decode(row) for row in ids]]))`
    const texts = [...LINES.slice(0, 50), 'Царь, 東京 🏳️‍🌈', "l'eau\t n'est  pas", '<EOS>']
    const { stdout } = spawnSync(python, ['-c', program, path], { input: JSON.stringify(texts), encoding: 'utf8' })
    expect(JSON.parse(stdout)).toEqual([texts.map((string) => pairs.encodeText(string)), texts])
  })
})

it('every codec comes back from its JSON', () => {
  const codecs: text.Codec[] = [
    SymbolCodec.frequent(LINES, new WordTokenizer({ language: 'fr', lowercase: true }), { size: 20 }),
    SymbolCodec.of(['cat'], letters),
    SymbolCodec.of(['K AE T'], spaced),
    pairs,
  ]
  const samples = ["Le roi, c'est", 'cat', 'T AE K', 'the king 東']
  for (const [i, codec] of codecs.entries()) {
    const json = JSON.stringify(codec)
    const again = codecFrom(JSON.parse(json))
    expect(JSON.stringify(again)).toBe(json)
    expect(again.encodeText(samples[i]!)).toEqual(codec.encodeText(samples[i]!))
    expect(again.decodeText(again.encodeText(samples[i]!))).toBe(codec.decodeText(codec.encodeText(samples[i]!)))
  }
  for (const wrong of [null, 3, [], {}, ['a'], { symbols: [] }])
    expect(() => codecFrom(wrong)).toThrow(expect.objectContaining({ code: 'ERR_DATA' }))
  expect(() => codecFrom({ tokenizer: { kind: 'x' }, symbols: [] })).toThrow(/kind/)
})
