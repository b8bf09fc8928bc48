// The examples in the docs of layers and optimizers are run, and the values in their comments compared.
import { readdirSync, readFileSync } from 'node:fs'
import * as quarterturn from 'quarterturn'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'

interface Example {
  name: string
  code: string
}

/** Each `@example` with the class whose docs it stands in. */
function examplesOf(text: string): Example[] {
  return [
    ...text.matchAll(
      /\/\*\*(?:(?!\*\/)[\s\S])*?@example\n((?:(?!\*\/)[\s\S])*)\*\/\nexport (?:abstract )?class (\w+)/g,
    ),
  ].map((found) => ({
    code: (found[1] as string).replace(/^ \* ?/gm, ''),
    name: found[2] as string,
  }))
}

/** `expression   // value` becomes a comparison, where the value is a list or a number. */
function compared(code: string): string {
  return code.replace(/^(\S.*?)\s+\/\/ (\[.*\]|\d+)$/gm, 'same($1, $2)')
}

function publicClasses(space: object): string[] {
  return Object.entries(space).flatMap(([name, value]) =>
    typeof value === 'function' && /^class\b/.test(String(value)) ? [name] : [],
  )
}

const examples = ['nn', 'optim'].flatMap((folder) => {
  const path = new URL(`../../src/${folder}/`, import.meta.url)
  return readdirSync(path).flatMap((file) => examplesOf(readFileSync(new URL(file, path), 'utf8')))
})

describe('examples', () => {
  test.each(examples)('$name', async ({ code }) => {
    const model = new quarterturn.nn.Linear(3, 2)
    const loss = model.forward(quarterturn.zeros([4, 3])).sum()
    const same = (actual: unknown, expected: unknown): void => expect(actual).toEqual(expected)
    const quiet = { log: (text: unknown) => expect(String(text)).toContain('parameters') }
    const names = { ...quarterturn, model, loss, same, console: quiet }
    const plain = ts.transpileModule(compared(code), { compilerOptions: { target: ts.ScriptTarget.ES2022 } }).outputText
    new Function(...Object.keys(names), `'use strict'; ${plain}`)(...Object.values(names))
    await quarterturn.zeros([]).item()
  })

  test('stand in the docs of every public class', () => {
    const documented = new Set(examples.map(({ name }) => name))
    const missing = [...publicClasses(quarterturn.nn), ...publicClasses(quarterturn.optim)].filter(
      (name) => !documented.has(name),
    )
    // The base class of optimizers cannot be made.
    expect(missing).toEqual(['Optimizer'])
  })

  test('compare what their comments say', () => {
    expect(compared('x.shape   // [2, 3]\nconst y = 1')).toBe('same(x.shape, [2, 3])\nconst y = 1')
    expect(examples.filter(({ code }) => compared(code) !== code).length).toBeGreaterThan(20)
  })
})
