// The examples in the docs of models and text are run, and the values in their comments compared.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as quarterturn from 'quarterturn'
import { expect, it } from 'vitest'

async function exampleIn(file: string): Promise<string> {
  const text = await readFile(new URL(`../../src/${file}`, import.meta.url), 'utf8')
  const found = /@example\n([\s\S]*?) \*\/\nexport class/.exec(text)?.[1] ?? ''
  return found
    .replace(/^ \* ?/gm, '')
    .replace(/^(\S.*?) {3}\/\/ (.*)$/gm, 'same($1, $2)')
    .replace('train.fit(model, model.loader(pairs), {', '$& progress: false,')
}

it.each(['models/encoder-decoder.ts', 'text/vocabulary.ts'])('src/%s', async (file) => {
  const code = await exampleIn(file)
  expect(code.split('\n').length).toBeGreaterThan(3)
  const folder = await mkdtemp(join(tmpdir(), 'quarterturn-examples-'))
  const written: unknown[] = []
  const names = {
    ...quarterturn,
    same: (actual: unknown, expected: unknown) => expect(actual).toEqual(expected),
    console: { log: (...values: unknown[]) => written.push(...values) },
  }
  const body = code.replace(/save\('(\w+)'\)/, (_, name) => `save(${JSON.stringify(join(folder, name))})`)
  await new Function(...Object.keys(names), `'use strict'; return (async () => { ${body} })()`)(...Object.values(names))
  if (file.startsWith('models')) {
    expect(written[1]).toBeGreaterThan(0) // a probability
    await quarterturn.models.EncoderDecoder.load(join(folder, 'capitals'))
  }
  await rm(folder, { recursive: true })
})
