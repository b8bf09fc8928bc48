// readCsv: typed columns from files, bytes and streams; what is wrong is told with its line and column.
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { createGunzip, gzipSync } from 'node:zlib'
import { DataError, data } from 'quarterturn'
import { afterAll, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'quarterturn-csv-'))
afterAll(() => rmSync(folder, { recursive: true }))

function file(name: string, text: string | Uint8Array): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const weather = 'date,temp,wind,place\n2024-01-01,-1.5,3,"Ulm, ""old"" town"\n2024-01-02T06:00Z,,NA,Bonn\n'

test('numbers, dates and text, with missing values and quoted cells', async () => {
  const table = await data.readCsv(file('weather.csv', weather))
  expect(table.types).toEqual({ date: 'date', temp: 'float64', wind: 'float64', place: 'text' })
  expect(table.rows).toBe(2)
  expect([...table.numbers('date')]).toEqual([Date.UTC(2024, 0, 1), Date.UTC(2024, 0, 2, 6)])
  expect([...table.numbers('temp')]).toEqual([-1.5, Number.NaN])
  expect([...table.numbers('wind')]).toEqual([3, Number.NaN])
  expect(table.texts('place')).toEqual(['Ulm, "old" town', 'Bonn'])
})

test('a path, a URL, bytes, a Node stream and a web stream give the same table', async () => {
  const path = file('same.csv', weather)
  const zipped = file('same.csv.gz', gzipSync(weather))
  const web = new ReadableStream({
    start(controller) {
      for (const byte of bytes(weather)) controller.enqueue(Uint8Array.of(byte))
      controller.close()
    },
  }) as unknown as AsyncIterable<Uint8Array>
  const sources: data.Source[] = [
    path,
    pathToFileURL(path),
    bytes(weather),
    createReadStream(zipped).pipe(createGunzip()),
    web,
    [weather],
  ]
  for (const source of sources) {
    const table = await data.readCsv(source)
    expect(table.texts('place')).toEqual(['Ulm, "old" town', 'Bonn'])
    expect([...table.numbers('wind')]).toEqual([3, Number.NaN])
  }
})

test('options: delimiter, decimal comma, names, columns, types, float32, sentinels, quotes as they are', async () => {
  const table = await data.readCsv(bytes('1,5;-999;a"\n2,25;7;b\n'), {
    delimiter: ';',
    decimal: ',',
    quote: false,
    header: ['x', 'y', 'word'],
    columns: ['word', 'y', 'x'],
    types: { y: 'float64' },
    numbers: 'float32',
    missing: ['-999'],
  })
  expect(table.names).toEqual(['word', 'y', 'x'])
  expect(table.numbers('x')).toEqual(Float32Array.of(1.5, 2.25))
  expect(table.numbers('y')).toEqual(Float64Array.of(Number.NaN, 7))
  expect(table.texts('word')).toEqual(['a"', 'b'])
  expect((await data.readCsv(file('tabs.tsv', 'a\tb\n1\t2\n'))).names).toEqual(['a', 'b'])
  expect((await data.readCsv(bytes('1,2\n'), { header: false })).names).toEqual(['column1', 'column2'])
})

test('a cell that does not fit tells file, line and column, also far down', async () => {
  const path = file('wrong.csv', `a,b\n${'1,2\n'.repeat(50_000)}1,x\n`)
  const error = await data.readCsv(path).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(DataError)
  expect(error).toMatchObject({ code: 'ERR_DATA', op: 'readCsv', line: 50_002, column: 2 })
  expect((error as Error).message).toContain(`${path}: line 50002, column 2: b: 'x' is not a number`)
  const table = await data.readCsv(path, { types: { b: 'text' } })
  expect(table.texts('b').at(-1)).toBe('x')
})

test('wrong options, missing files and folders are told before anything is read', async () => {
  const reading = (source: unknown, options?: object) => data.readCsv(source as string, options as data.CsvOptions)
  await expect(reading(join(folder, 'none.csv'))).rejects.toMatchObject({ code: 'ERR_IO', got: 'ENOENT' })
  await expect(reading(folder)).rejects.toMatchObject({ code: 'ERR_IO', got: 'EISDIR' })
  await expect(reading(bytes('a\n1\n'), { columns: ['b'] })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  await expect(reading(bytes(''))).rejects.toMatchObject({ code: 'ERR_DATA' })
  for (const source of [undefined, null, 7, '', {}]) {
    await expect(reading(source)).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  }
  for (const options of [
    { delimiter: ';;' },
    { delimiter: 'é' },
    { delimiter: '.' },
    { quote: true },
    { decimal: ';' },
    { header: 7 },
    { numbers: 'int64' },
    { columns: 'a' },
    { missing: [1] },
    { types: { a: 'number' } },
  ]) {
    await expect(reading(bytes('a\n1\n'), options)).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  }
})

test('numbers are the doubles that JavaScript reads', async () => {
  const texts = Array.from({ length: 5000 }, (_, k) =>
    k % 2 ? String(Math.sin(k) * 10 ** ((k % 40) - 20)) : (k * 0.37).toFixed(k % 9),
  )
  const table = await data.readCsv(bytes(`x\n${texts.join('\n')}\n`))
  expect([...table.numbers('x')]).toEqual(texts.map(Number))
})
