// The examples in the docs of src/data and src/text are run, and what they print compared with their comments.
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import * as quarterturn from 'quarterturn'
import sharp from 'sharp'
import ts from 'typescript'
import { afterAll, beforeAll, expect, test } from 'vitest'

const home = process.cwd()
const folder = mkdtempSync(join(tmpdir(), 'quarterturn-examples-'))
process.chdir(folder)
afterAll(() => {
  process.chdir(home)
  rmSync(folder, { recursive: true })
})
writeFileSync('weather.csv', 'date,temp,place\n2024-01-01,1.5,Ulm\n')
const vega = join(home, 'node_modules/vega-datasets/data')
copyFileSync(join(vega, 'flights-200k.arrow'), 'flights.arrow')
copyFileSync(join(vega, 'flights-3m.parquet'), 'flights.parquet')
beforeAll(async () => {
  for (const name of ['daisy', 'rose']) {
    mkdirSync(join('flowers', name), { recursive: true })
    await sharp({ create: { width: 9, height: 9, channels: 3, background: 'red' } }).toFile(
      join('flowers', name, '1.png'),
    )
  }
})

const examples = ['data', 'text'].flatMap((name) => {
  const src = new URL(`../../src/${name}/`, import.meta.url)
  return readdirSync(src).flatMap((file) =>
    [...readFileSync(new URL(file, src), 'utf8').matchAll(/ \* ```ts\n([\s\S]*?) \* ```/g)].map(
      ([, text = ''], i): [string, string] => [`${file} ${i + 1}`, text.replace(/^ \* ?/gm, '')],
    ),
  )
})

test('there are examples', () => expect(examples.length).toBeGreaterThan(8))

test.each(examples)('%s', async (_, code) => {
  const printed: string[] = []
  const log = (...values: unknown[]) =>
    printed.push(values.map((value) => (typeof value === 'string' ? value : inspect(value))).join(' '))
  const { outputText } = ts.transpileModule(code, { compilerOptions: { target: ts.ScriptTarget.ES2022 } })
  const names = { ...quarterturn, writeFile, console: { log } }
  const body = `'use strict'; return (async () => { ${outputText} })()`
  await new Function(...Object.keys(names), body)(...Object.values(names))
  const expected = [...code.matchAll(/console\.log\(.*\) {3,}\/\/ (.*)$/gm)].map(([, comment = '']) => comment)
  for (const [i, comment] of expected.entries()) {
    // An ellipsis: there is more of the same kind.
    expect(`${printed[i]} …`.startsWith(comment.replace(/ …$/, ''))).toBe(true)
  }
})
