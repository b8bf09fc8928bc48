// Pairs from files: every kind of damage is told with its place, and no sentence of one part is found in another.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { data } from 'quarterturn'
import { afterAll, describe, expect, it } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'quarterturn-pairs-'))
afterAll(() => rmSync(folder, { recursive: true }))

function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content)
  return join(folder, name)
}
const bytes = (text: string) => new TextEncoder().encode(text)

describe('a file of columns', () => {
  it('gives pairs and groups, whatever the ends of lines, and passes over further columns', async () => {
    const path = file('a.tsv', '\ufeffthe king\tle roi\tmark.1.1\tmore\r\n"so"\t « ainsi »\r\n\n')
    expect(await data.readPairs(path)).toEqual({
      pairs: [
        { source: 'the king', target: 'le roi', group: 'mark.1.1' },
        { source: '"so"', target: '« ainsi »' },
      ],
      skipped: 0,
    })
  })

  it('is read from a stream whose pieces end anywhere, within characters too', async () => {
    const whole = bytes('é\tè\nб\tв\n')
    const pieces = Array.from(whole, (_, i) => whole.subarray(i, i + 1))
    expect((await data.readPairs(Readable.from(pieces, { objectMode: true }))).pairs).toEqual([
      { source: 'é', target: 'è' },
      { source: 'б', target: 'в' },
    ])
  })

  it('names the line without a tab', async () => {
    await expect(data.readPairs(file('b.tsv', 'a\tb\nthe king\n'))).rejects.toMatchObject({
      code: 'ERR_DATA',
      line: 2,
      message: expect.stringMatching(/b\.tsv: line 2: there is no tab .*'the king'/),
    })
  })

  it('names the line with an empty side, or counts it', async () => {
    for (const [text, line] of [
      ['a\tb\n\tc\n', 2],
      ['a\t \n', 1],
      ['a\tb\n\n\nc\td\n', 2],
    ] as const) {
      await expect(data.readPairs(bytes(text))).rejects.toMatchObject({ code: 'ERR_DATA', line })
    }
    const { pairs, skipped } = await data.readPairs(bytes('a\tb\n\tc\nd\t\n\ne\tf\n\n'), { empty: 'skip' })
    expect([pairs.map(({ source }) => source), skipped]).toEqual([['a', 'e'], 3])
  })

  it('names line and byte of what is not UTF-8', async () => {
    const bad = Buffer.concat([bytes('a\tb\né\t'), Buffer.from([0x62, 0xff, 0x63]), bytes('\n')])
    await expect(data.readPairs(bad)).rejects.toMatchObject({ code: 'ERR_DATA', line: 2, column: 5 })
    // A character that is cut off at the end of its line.
    const cut = Buffer.concat([bytes('a\tb'), Buffer.from([0xc3]), bytes('\n')])
    await expect(data.readPairs(cut)).rejects.toMatchObject({ line: 1, column: 4 })
    const missing = join(folder, 'absent.tsv')
    await expect(data.readPairs(missing)).rejects.toMatchObject({ code: 'ERR_IO' })
  })
})

describe('aligned files', () => {
  it('belong together line by line', async () => {
    const files = {
      source: file('a.en', 'one\ntwo\n'),
      target: file('a.fr', 'un\ndeux'),
      group: file('a.id', 'x\ny\n'),
    }
    expect((await data.readPairs(files)).pairs).toEqual([
      { source: 'one', target: 'un', group: 'x' },
      { source: 'two', target: 'deux', group: 'y' },
    ])
  })

  it('of different numbers of lines are refused with both counts, and the place where a line may have been lost', async () => {
    const files = { source: file('b.en', 'one\ntwo\nthree\nfour\n'), target: file('b.fr', 'un\n\ntrois\n') }
    await expect(data.readPairs(files)).rejects.toMatchObject({
      code: 'ERR_DATA',
      line: 4,
      got: '4, 3',
      message: expect.stringMatching(
        /b\.en: 4 lines, .*b\.fr: 3 lines; line 4 has no partner; the first line that is empty on one side alone is 2/,
      ),
    })
  })

  it('tell which file is not UTF-8', async () => {
    const files = { source: file('c.en', 'one\n'), target: file('c.fr', Uint8Array.of(0x75, 0x80, 10)) }
    await expect(data.readPairs(files)).rejects.toMatchObject({
      line: 1,
      column: 2,
      message: expect.stringMatching(/c\.fr: line 1, byte 2/),
    })
  })
})

it('other sources and options are refused', async () => {
  for (const wrong of [3, null, {}, { source: 'a' }, '', { source: 4, target: 5 }, new Float32Array(2)]) {
    await expect(data.readPairs(wrong as never)).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  }
  await expect(data.readPairs(bytes(''), { empty: 'drop' as never })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
})

it('the event loop has its turns while a large file is read', async () => {
  const path = file('large.tsv', 'the king of the sea\tle roi de la mer\tmark\n'.repeat(200_000))
  let turns = 0
  const timer = setInterval(() => turns++, 1)
  const { pairs } = await data.readPairs(path)
  clearInterval(timer)
  expect(pairs.length).toBe(200_000)
  expect(turns).toBeGreaterThan(10)
})

describe('splitPairs', () => {
  // 60 verses, each in two versions of the source and three of the target.
  const pairs = Array.from({ length: 360 }, (_, i) => {
    const verse = Math.floor(i / 6)
    return { source: `verse ${verse} version ${i % 2}`, target: `verset ${verse} en ${i % 3}`, group: `book.${verse}` }
  })

  it('keeps groups whole, at random by shares, the same with the same seed', () => {
    const split = data.splitPairs(pairs, { test: 0.1, validation: 0.2, seed: 4 })
    const groups = (part: 'training' | 'validation' | 'test') => new Set(split[part].map(({ group }) => group))
    const all = [...groups('training'), ...groups('validation'), ...groups('test')]
    expect(new Set(all).size).toBe(all.length)
    expect([split.training.length, split.validation.length, split.test.length]).toEqual([252, 72, 36])
    expect(split).toEqual(data.splitPairs(pairs, { test: 0.1, validation: 0.2, seed: 4 }))
    expect(split.test).not.toEqual(data.splitPairs(pairs, { test: 0.1, validation: 0.2, seed: 5 }).test)
  })

  it('drops from training and validation what the test has, on either side and however it is written, and counts it', () => {
    const group = (pair: data.TextPair) => pair.source
    const parts = { a: 'training', b: 'validation', c: 'test' } as const
    const some = [
      { source: 'And he said,', target: 'il dit une chose', group: 'c1' },
      { source: 'a question', target: 'L’été !', group: 'c2' },
      { source: '« and he said »', target: 'et il dit', group: 'a1' }, // its source is in the test
      { source: 'another', target: "l'été", group: 'a2' }, // its target is in the test
      { source: 'unique', target: 'unique', group: 'a3' },
      { source: 'AND HE SAID', target: 'oui', group: 'b1' },
      { source: 'kept', target: 'gardé', group: 'b2' },
      { source: 'Kept.', target: 'autre', group: 'a4' }, // its source is in validation
      { source: '?', target: '!', group: 'a5' },
      { source: 'il dit une chose', target: 'a question', group: 'a6' }, // a source of one is no target of another
    ]
    const split = data.splitPairs(some, (pair) => parts[pair.group[0] as 'a' | 'b' | 'c'])
    expect(split.training.map(({ group }) => group)).toEqual(['a3', 'a5', 'a6'])
    expect(split.validation.map(({ group }) => group)).toEqual(['b2'])
    expect(split.test.length).toBe(2)
    expect(split.dropped).toEqual({ training: 3, validation: 1 })
    // No group: one is asked for.
    const bare = some.map(({ source, target }) => ({ source, target }))
    expect(() => data.splitPairs(bare, { validation: 0.5 })).toThrow(/no group/)
    expect(data.splitPairs(bare, { validation: 0.5, seed: 1 }, { group }).validation.length).toBeGreaterThan(0)
  })

  it('refuses a function that tears a group apart, or names no part', () => {
    let turn = 0
    expect(() => data.splitPairs(pairs, () => (turn++ % 2 === 0 ? 'test' : 'training'))).toThrow(
      /book\.0.*test.*training/,
    )
    expect(() => data.splitPairs(pairs, () => 'dev' as never)).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT' }),
    )
    expect(() => data.splitPairs([{ source: 'a' }] as never, { validation: 0.5 })).toThrow(/two texts/)
  })
})
