// readUcr: both formats of the archives, lengths, missing values, the official split; whatever stands in a file, an error says its line.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { data, QuarterturnError } from 'quarterturn'
import { afterAll, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'quarterturn-ucr-'))
afterAll(() => rmSync(folder, { recursive: true }))
const bytes = (text: string) => new TextEncoder().encode(text)
const read = (text: string, options?: data.UcrOptions) => data.readUcr(bytes(text), options)
const header = '#about\n%it\n@problemName x\n@timeStamps false\n@univariate true\n@classLabel true b a\n@data\n'

test('the classes of a header are numbered in its order', async () => {
  const { series, labels, classes, lengths } = await read(`${header}1,2.5,-3e1:a\r\n\n4,5,6:b\n`)
  expect([series.shape, Array.from(series.data)]).toEqual([
    [2, 1, 3],
    [1, 2.5, -30, 4, 5, 6],
  ])
  expect([Array.from(labels), classes, Array.from(lengths)]).toEqual([
    [1, 0],
    ['b', 'a'],
    [3, 3],
  ])
})

test('a file without a header has its classes sorted as numbers, 1 and 1.0 being one', async () => {
  const { series, labels, classes } = await read('10\t1\t2\n-1\t3\t4\n1.0000e+01\t5\t6\n')
  expect([series.shape, classes, Array.from(labels)]).toEqual([
    [3, 1, 2],
    ['-1', '10'],
    [1, 0, 1],
  ])
  expect((await read('b,1,2\na,3,4\n')).classes).toEqual(['a', 'b'])
  const other = await read('1\t0\t1\n', { classes: ['2', '1'] })
  expect(Array.from(other.labels)).toEqual([1])
})

test('series of several dimensions and lengths are filled up with what is said', async () => {
  const text = `${header.replace('true\n@class', 'false\n@dimensions 2\n@class')}1,2,3:4,5,6:a\n7:8:b\n`
  await expect(read(text)).rejects.toMatchObject({
    code: 'ERR_ARGUMENT',
    message: expect.stringContaining('padding: 0'),
  })
  const { series, lengths } = await read(text, { padding: -9 })
  expect([series.shape, Array.from(series.data)]).toEqual([
    [2, 2, 3],
    [1, 2, 3, 4, 5, 6, 7, -9, -9, 8, -9, -9],
  ])
  expect(Array.from(lengths)).toEqual([3, 1])
  expect(Array.from((await read('1\t5\tNaN\tNaN\n2\t1\t2\t3\n', { padding: 0 })).series.data)).toEqual([
    5, 0, 0, 1, 2, 3,
  ])
})

test('missing values are refused by their line, kept or filled', async () => {
  const text = `${header}?,1,?,?,4,?:a\n`
  await expect(read(text)).rejects.toMatchObject({
    code: 'ERR_DATA',
    line: 8,
    message: expect.stringContaining('value 1'),
  })
  expect(Array.from((await read(text, { missing: 'interpolate' })).series.data)).toEqual([1, 1, 2, 3, 4, 4])
  const kept = await read(text, { missing: 'keep', normalize: true })
  expect(Array.from(kept.series.data)).toEqual([Number.NaN, -1, Number.NaN, Number.NaN, 1, Number.NaN])
})

test('normalisation is of each dimension of each series by itself, constants becoming zeros', async () => {
  const { series } = await read(`${header}1,3:a\n100,300:a\n0.1,0.1:b\n`, { normalize: true })
  expect(Array.from(series.data)).toEqual([-1, 1, -1, 1, 0, 0])
})

test('the official split: by folder or stem, classes and lengths shared', async () => {
  const place = join(folder, 'Set')
  mkdirSync(place)
  writeFileSync(join(place, 'Set_TRAIN.tsv'), '2\t1\t2\n')
  writeFileSync(join(place, 'Set_TEST.tsv'), '1\t1\t2\t3\n2\t0\t1\t2\n')
  const { train, test: held } = await data.readUcrSplit(place, { padding: 0 })
  expect([train.series.shape, held.series.shape, train.classes, Array.from(train.labels)]).toEqual([
    [1, 1, 3],
    [2, 1, 3],
    ['1', '2'],
    [1],
  ])
  writeFileSync(join(place, 'Other_TRAIN.ts'), `${header}1:a\n`)
  await expect(data.readUcrSplit(join(place, 'Other'))).rejects.toMatchObject({
    code: 'ERR_IO',
    message: expect.stringContaining('Other_TEST'),
  })
  writeFileSync(join(place, 'Other_TEST.ts'), `${header}1:a\n2:c\n`)
  const failing = data.readUcrSplit(join(place, 'Other'))
  await expect(failing).rejects.toMatchObject({
    code: 'ERR_DATA',
    line: 9,
    got: 'c',
    message: expect.stringContaining('Other_TEST.ts'),
  })
  await expect(data.readUcrSplit(join(folder, 'none'))).rejects.toMatchObject({ code: 'ERR_IO' })
})

test('a loader takes what was read', async () => {
  const { series, labels } = await read('1\t1\t2\n2\t3\t4\n1\t5\t6\n')
  for await (const batch of new data.Loader({ series, labels }, { batch: 3 }))
    expect([batch.series.shape, batch.series.dtype, batch.labels.dtype]).toEqual([[3, 1, 2], 'float32', 'int64'])
})

const ts = (body: string, more = '') => header.replace('@data', `${more}@data`) + body
test.each([
  ['', 0, 'there are no series'],
  [header, 7, 'there are no series'],
  ['@problemName x\n', 1, 'no line @data'],
  ['@problemName x\n1,2:a\n', 2, 'no line of a header'],
  ['@data\n1:a\n', 1, 'no classes'],
  ['@univariate true\n@univariate true\n', 2, 'two lines @univariate'],
  ['@classLabel true a a\n@data\n', 2, 'named twice'],
  ['@timeStamps true\n@classLabel true a\n@data\n', 3, 'time stamps'],
  ['@targetLabel true\n@data\n', 2, 'targets'],
  [ts('1,2,3'), 8, 'cut short'],
  [ts('1,2:'), 8, 'class is missing'],
  [ts('1,,2:a'), 8, 'value 2 is no number'],
  [ts('1,Infinity:a'), 8, 'value 2 is no number'],
  [ts('1,1e39:a'), 8, 'beyond float32'],
  [ts('1,0x10:a'), 8, 'no number'],
  [ts('?,?:a'), 8, 'all values'],
  [ts('1:c'), 8, 'none of the classes'],
  [ts('1,2:a\n1:2:a'), 9, '2 dimensions, though there should be 1'],
  [ts('1,2:1:a'), 8, '2 and 1 steps'],
  [ts('1,2:a\n1:a', '@equalLength true\n'), 10, 'though all should have 2'],
  [ts('1:a', '@dimensions 2\n'), 9, 'should be 2'],
  ['1\t2\n1\n', 2, 'no values'],
  ['1\t2\n\t3\n', 2, 'class is missing'],
  ['1,2\n,3\n', 2, 'class is missing'],
  ['1\tx\n', 1, 'no number'],
])('%j: line %d, %s', async (text, line, what) => {
  await expect(read(text)).rejects.toMatchObject({ code: 'ERR_DATA', line, message: expect.stringContaining(what) })
})

test('whatever stands in a file: series or an error with a code', async () => {
  const words = [
    '1',
    '-2.5',
    'a',
    '?',
    'NaN',
    ',',
    ':',
    '\t',
    '\n',
    '\r\n',
    '@data',
    '@classLabel true a b',
    '@dimensions 1',
    '@equalLength true',
    '#',
    '%',
    '1e999',
    ' ',
    '\0',
    'é',
    header,
  ]
  const text = fc.oneof(
    fc.array(fc.constantFrom(...words)).map((all) => all.join('')),
    fc.array(fc.constantFrom(...words)).map((all) => header + all.join('')),
    fc.string(),
  )
  const options = fc.record(
    {
      padding: fc.constant(0),
      missing: fc.constantFrom('keep', 'interpolate', 'error'),
      normalize: fc.boolean(),
    } as const,
    { requiredKeys: [] },
  )
  await fc.assert(
    fc.asyncProperty(fc.oneof(text.map(bytes), fc.uint8Array()), options, async (source, given) => {
      try {
        const { series, labels, lengths, classes } = await data.readUcr(source, given as data.UcrOptions)
        const [n, c, t] = series.shape
        expect([series.data.length, labels.length, lengths.length]).toEqual([n * c * t, n, n])
        expect(labels.every((label) => label >= 0 && label < classes.length)).toBe(true)
        if (given.missing !== 'keep') expect(series.data.every(Number.isFinite)).toBe(true)
      } catch (error) {
        if (!(error instanceof QuarterturnError)) throw error
        expect(['ERR_DATA', 'ERR_ARGUMENT']).toContain(error.code)
      }
    }),
    { numRuns: 2000 },
  )
})
