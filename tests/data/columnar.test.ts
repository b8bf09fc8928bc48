// readArrow and readParquet: what pyarrow wrote is what the table has; what a table does not hold, and what is damaged, is told by name.
import { createReadStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { data, QuarterturnError } from 'quarterturn'
import { afterAll, describe, expect, test } from 'vitest'
import { runModule } from '../child.js'

const fixture = (name: string) => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url))
const vega = (name: string) => fileURLToPath(new URL(`../../node_modules/vega-datasets/data/${name}`, import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'quarterturn-columnar-'))
afterAll(() => rmSync(folder, { recursive: true }))
const nan = Number.NaN

/** What fixtures/columnar_files.py wrote as `plain`. */
const plain: Record<string, [type: string, values: (number | string)[]]> = {
  int8: ['float64', [-1, nan, 127]],
  uint32: ['float64', [0, nan, 2 ** 32 - 1]],
  int64: ['float64', [-(2 ** 53) + 1, nan, 2 ** 53 - 1]],
  half: ['float64', [0.5, nan, -2]],
  float: ['float32', [Math.fround(0.1), nan, -2.5]],
  double: ['float64', [0.1, nan, 1e300]],
  bool: ['float64', [1, nan, 0]],
  decimal: ['float64', [-1.1, nan, Number('12345678901234567.89')]],
  date: ['date', [86_400_000, nan, Date.UTC(2024, 1, 29)]],
  micros: ['date', [1.5, nan, -1.5]],
  nanos: ['date', [Date.UTC(2024, 1, 29, 12, 34, 56, 789), nan, 0.25]],
  time: ['float64', [1000.5, nan, 86_399_000]],
  text: ['text', ['zwölf', '', '']],
  large: ['text', ['a', '', 'b'.repeat(20)]],
  category: ['text', ['Ulm', '', 'Bonn']],
}

function contents(table: data.Table, name: string): (number | string)[] {
  return table.types[name] === 'text' ? table.texts(name) : Array.from(table.numbers(name))
}

async function check(table: data.Table, names = Object.keys(plain)): Promise<void> {
  expect(table.names).toEqual(names)
  for (const name of names) {
    const [type, values] = plain[name] as [string, (number | string)[]]
    // A row of uint32 is missing at another place than the others.
    const sorted = name === 'uint32' ? [values[0], values[2], values[1]] : values
    expect({ [name]: [table.types[name], contents(table, name)] }).toEqual({ [name]: [type, sorted] })
  }
}

test.each(['plain.arrow', 'plain.arrows', 'plain.parquet'])('%s: every type has its value, and nulls', async (name) => {
  const read = name.endsWith('.parquet') ? data.readParquet : data.readArrow
  await check(await read(fixture(name)))
  await check(await read(readFileSync(fixture(name))))
  await check(await read(createReadStream(fixture(name))))
  await check(await read(fixture(name), { columns: ['text', 'double', 'half'] }), ['text', 'double', 'half'])
  const second = await read(fixture(name), { columns: ['double', 'text'], start: 2 })
  expect([second.rows, contents(second, 'double'), contents(second, 'text')]).toEqual([1, [1e300], ['']])
  expect((await read(fixture(name), { columns: ['text'], start: 3 })).rows).toBe(0)
})

const many = ['many-lz4.feather', 'many-zstd.arrow'].concat(
  ['none', 'snappy', 'gzip', 'brotli', 'zstd', 'lz4'].map((codec) => `many-${codec}.parquet`),
)
test.each(many)('%s: packed parts of 3,000 rows, and rows across them', async (name) => {
  const read = name.endsWith('.parquet') ? data.readParquet : data.readArrow
  const all = await read(fixture(name))
  expect(all.numbers('i')).toEqual(Float64Array.from({ length: 10_000 }, (_, i) => i))
  expect(all.texts('label')).toEqual(Array.from({ length: 10_000 }, (_, i) => `row ${i % 97}`))
  const some = await read(fixture(name), { start: 2990, end: 6010 })
  expect(some.numbers('i')).toEqual(Float64Array.from({ length: 3020 }, (_, i) => 2990 + i))
  expect(some.texts('label')[20]).toBe(`row ${3010 % 97}`)
  await expect(read(fixture(name), { end: 10_001 })).rejects.toMatchObject({ code: 'ERR_RANGE', op: read.name })
})

test('files of other programs are read: flights of vega-datasets', async () => {
  const arrow = await data.readArrow(vega('flights-200k.arrow'))
  const json = JSON.parse(readFileSync(vega('flights-200k.json'), 'utf8')) as { delay: number; distance: number }[]
  expect(arrow.types).toEqual({ delay: 'float64', distance: 'float64', time: 'float32' })
  expect(arrow.rows).toBe(json.length)
  expect(arrow.numbers('delay')).toEqual(Float64Array.from(json, ({ delay }) => delay))
  const parquet = await data.readParquet(vega('flights-3m.parquet'), { columns: ['date', 'origin'], end: 5 })
  expect([parquet.rows, parquet.types]).toEqual([5, { date: 'date', origin: 'text' }])
  expect(parquet.texts('origin').every((place) => /^[A-Z]{3}$/.test(place))).toBe(true)
  expect(new Date(parquet.numbers('date')[0] as number).getUTCFullYear()).toBe(2001)
})

describe.each(['arrow', 'parquet'])('%s', (kind) => {
  const read = kind === 'parquet' ? data.readParquet : data.readArrow

  test('whole numbers beyond 2⁵³ are an error, the nearest double, or text', async () => {
    await expect(read(fixture(`big.${kind}`))).rejects.toMatchObject({
      code: 'ERR_RANGE',
      message: expect.stringMatching(`big.${kind}: column id holds 9007199254740993 in row 2`),
    })
    const nearest = await read(fixture(`big.${kind}`), { bigIntegers: 'nearest' })
    expect(contents(nearest, 'id')).toEqual([1, nan, 2 ** 53])
    expect(contents(nearest, 'unsigned')).toEqual([0, 1, 2 ** 64])
    const text = await read(fixture(`big.${kind}`), { bigIntegers: 'text' })
    expect(contents(text, 'id')).toEqual(['1', '', '9007199254740993'])
    expect(contents(text, 'unsigned')).toEqual(['0', '1', '18446744073709551615'])
  })

  test('a column that a table does not hold is named, and may be left out', async () => {
    for (const name of ['list', 'struct', 'map']) {
      await expect(read(fixture(`nested.${kind}`), { columns: ['x', name] })).rejects.toMatchObject({
        code: 'ERR_DTYPE',
        message: expect.stringContaining(`column ${name} holds`),
      })
    }
    // Parquet does not tell bytes from text without a logical type: they must be UTF-8.
    await expect(read(fixture(`nested.${kind}`), { columns: ['bytes'] })).rejects.toMatchObject({
      code: kind === 'arrow' ? 'ERR_DTYPE' : 'ERR_DATA',
    })
    expect(contents(await read(fixture(`nested.${kind}`), { columns: ['x'] }), 'x')).toEqual([1, 2])
    await expect(read(fixture(`nested.${kind}`), { columns: ['none'] })).rejects.toMatchObject({
      code: 'ERR_ARGUMENT',
      got: 'none',
    })
  })

  test('empty, foreign and cut files are told by their name', async () => {
    const bytes = readFileSync(fixture(`plain.${kind}`))
    const cases = {
      empty: Buffer.alloc(0),
      foreign: Buffer.from('x,y\n1,2\n3,4\n5,6\n'),
      short: bytes.subarray(0, 9),
      cut: bytes.subarray(0, bytes.length - 40),
      half: bytes.subarray(0, bytes.length >> 1),
    }
    for (const [name, content] of Object.entries(cases)) {
      const path = join(folder, `${name}.${kind}`)
      writeFileSync(path, content)
      await expect(read(path)).rejects.toMatchObject({ code: 'ERR_DATA', message: expect.stringContaining(path) })
    }
    await expect(read(join(folder, 'none'))).rejects.toMatchObject({ code: 'ERR_IO', got: 'ENOENT' })
    await expect(read(folder)).rejects.toMatchObject({ code: 'ERR_IO', got: 'EISDIR' })
  })

  test('whatever byte is damaged or missing, there is a result or an error with a code', async () => {
    const names = kind === 'arrow' ? ['plain.arrow', 'plain.arrows'] : ['plain.parquet']
    const odd: string[] = []
    for (const name of names) {
      const bytes = readFileSync(fixture(name))
      for (let at = 0; at < bytes.length; at += 3) {
        const flipped = Buffer.from(bytes)
        flipped[at] = (flipped[at] as number) ^ (1 << (at % 8))
        for (const content of [flipped, bytes.subarray(0, at)]) {
          try {
            const table = await read(content)
            for (const column of table.names) expect(contents(table, column)).toHaveLength(table.rows)
          } catch (error) {
            if (!(error instanceof QuarterturnError)) odd.push(`${name} ${at}: ${(error as Error).stack}`)
          }
        }
      }
    }
    expect(odd).toEqual([])
  })
})

test('without its package a reader says which command mends it', async () => {
  // The built package in a process that finds none of the optional ones.
  const hooks = `
    export async function resolve(name, context, next) {
      if (/^(apache-arrow|hyparquet|hyparquet-compressors|sharp)$/.test(name))
        throw Object.assign(new Error("Cannot find package '" + name + "'"), { code: 'ERR_MODULE_NOT_FOUND' })
      return next(name, context)
    }`
  const { stdout, stderr } = await runModule(`
    import { register } from 'node:module'
    register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hooks)}))
    const { data } = await import('quarterturn')
    for (const run of [
      () => data.readArrow(${JSON.stringify(fixture('plain.arrow'))}),
      () => data.readParquet(${JSON.stringify(fixture('plain.parquet'))}),
      () => data.imageFolder('.', { size: 8 }),
    ]) await run().catch(({ code, message }) => console.log(code, message))
  `)
  expect(stderr).toBe('')
  expect(stdout.trim().split('\n')).toEqual([
    'ERR_PACKAGE readArrow: the optional package apache-arrow is not installed: npm i apache-arrow',
    'ERR_PACKAGE readParquet: the optional package hyparquet is not installed: npm i hyparquet',
    'ERR_PACKAGE imageFolder: the optional package sharp is not installed: npm i sharp',
  ])
})
