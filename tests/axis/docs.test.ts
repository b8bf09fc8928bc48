// The examples of docs/axis.md and of the docs in the source are run; the table there is the table in the source.
import { readdirSync, readFileSync } from 'node:fs'
import * as quarterturn from 'quarterturn'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'

const root = new URL('../../', import.meta.url)
const guide = readFileSync(new URL('docs/axis.md', root), 'utf8')
const source = readdirSync(new URL('src/axis', root))
  .filter((file) => file.endsWith('.ts'))
  .map((file) => readFileSync(new URL(`src/axis/${file}`, root), 'utf8'))
  .join('\n')

const blocks = [...guide.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code as string)
const examples = [...source.matchAll(/@example\n((?: \*(?!\/).*\n)+)/g)].map(([, code]) =>
  (code as string).replace(/^ \* ?/gm, ''),
)

/** `expression   // value` becomes a comparison. */
const compared = (code: string): string =>
  code.replace(/^(\S.*?)\s+\/\/ (\[[^\]]*\]|true|\d+)(,.*)?$/gm, 'same($1, $2)')

describe('examples', () => {
  test.each([...blocks, ...examples])('%#', async (code) => {
    const same = (actual: unknown, expected: unknown): void => expect(actual).toEqual(expected)
    const quiet = { log: () => {} }
    const names = { ...quarterturn, same, console: quiet }
    const plain = ts.transpileModule(`(async () => {${compared(code)}})()`, {
      compilerOptions: { target: ts.ScriptTarget.ES2022 },
    }).outputText
    await new Function(...Object.keys(names), `'use strict'; return ${plain}`)(...Object.values(names))
    await quarterturn.zeros([]).item()
  })

  test('are there', () => {
    expect(blocks.length).toBe(3)
    expect(examples.length).toBeGreaterThanOrEqual(4)
    expect([...blocks, ...examples].filter((code) => compared(code) !== code).length).toBeGreaterThanOrEqual(6)
  })
})

test('the guide has every row and every carrier of the table', () => {
  for (const { mixer, time, depth, both } of quarterturn.axis.carriers) {
    const row = guide.split('\n').find((line) => line.startsWith(`| ${mixer} |`)) ?? ''
    for (const make of Object.values({ ...time, ...depth, ...both })) expect(row, mixer).toContain(`\`${make().name}`)
  }
})
