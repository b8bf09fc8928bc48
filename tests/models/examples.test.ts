// The examples in the docs of models and text are run, and the values in their comments compared.
import { readdirSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as quarterturn from 'quarterturn'
import { expect, it } from 'vitest'

const src = new URL('../../src/', import.meta.url)

async function exampleIn(file: string): Promise<string> {
  const found = /@example\n([\s\S]*?) \*\/\nexport class/.exec(await readFile(new URL(file, src), 'utf8'))?.[1] ?? ''
  return found.replace(/^ \* ?/gm, '').replace(/^(\S.*?) {3}\/\/ (.*)$/gm, 'same($1, $2)')
}

/** Files of models: those that can be saved. */
const models: string[] = []
for (const entry of readdirSync(new URL('models/', src), { recursive: true })) {
  const name = String(entry).replaceAll('\\', '/')
  if (!name.endsWith('.ts')) continue
  if (/^ {2}(async )?save\(folder: string\)/m.test(await readFile(new URL(`models/${name}`, src), 'utf8')))
    models.push(name)
}

it('every model has an example', async () => {
  const savable = Object.entries(quarterturn.models).filter(([, value]) => 'load' in value)
  expect(models).toHaveLength(savable.length)
})

const saved = models.map((name) => `models/${name}`)
const others = ['models/seq2seq/attention.ts', 'models/seq2seq/ensemble.ts', 'text/vocabulary.ts']
it.each([...saved, ...others])('src/%s', async (file) => {
  const code = await exampleIn(file)
  expect(code.split('\n').length).toBeGreaterThan(3)
  const folder = await mkdtemp(join(tmpdir(), 'quarterturn-examples-'))
  const written: unknown[] = []
  const names = {
    ...quarterturn,
    train: {
      ...quarterturn.train,
      fit: (model: never, data: never, options: object) =>
        quarterturn.train.fit(model, data, { ...options, progress: false }),
    },
    same: (actual: unknown, expected: unknown) => expect(actual).toEqual(expected),
    console: { log: (...values: unknown[]) => written.push(...values) },
  }
  quarterturn.manualSeed(7)
  const body = code.replace(/save\('(\w+)'\)/, (_, name) => `save(${JSON.stringify(join(folder, name))})`)
  await new Function(...Object.keys(names), `'use strict'; return (async () => { ${body} })()`)(...Object.values(names))
  if (saved.includes(file)) {
    expect(written.length).toBeGreaterThan(0)
    const [made] = readdirSync(folder)
    const { kind } = JSON.parse(await readFile(join(folder, made as string, 'config.json'), 'utf8'))
    await quarterturn.models[kind as 'Forecaster'].load(join(folder, made as string))
  }
  await rm(folder, { recursive: true })
  learnt[file]?.(written)
})

/** What the examples show, where it can be wrong. */
const learnt: Record<string, (written: unknown[]) => void> = {
  'models/seq2seq/encoder-decoder.ts': ([, probability]) => expect(probability).toBeGreaterThan(0),
  'models/forecaster.ts': ([forecast, truth]) => {
    const off = (forecast as number[][]).map(([x], i) =>
      Math.abs((x as number) - ((truth as number[][])[i]?.[0] as number)),
    )
    expect(Math.max(...off)).toBeLessThan(0.1)
  },
  'models/language-model.ts': ([symbol, probability]) => {
    expect(symbol).toBe('a')
    expect(probability).toBeGreaterThan(0.8)
  },
  'models/sequence-classifier.ts': ([label, probability]) => {
    expect(label).toBe('fast')
    expect(probability).toBeGreaterThan(0.9)
  },
  'models/residual/resnet.ts': ([label]) => expect(label).toBe('dark'),
  'models/residual/deep-net.ts': ([label]) => expect(label).toBe('right'),
  'models/residual/fcn.ts': ([label]) => expect(label).toBe('fast'),
  'models/residual/resnet1d.ts': ([label]) => expect(label).toBe('fast'),
  'models/tabular-classifier.ts': ([label]) => expect(label).toBe('large'),
  'models/tabular-regressor.ts': ([prices]) => expect((prices as number[])[0]).toBeCloseTo(5.5, 0),
  'models/text-classifier.ts': ([label]) => expect(label).toBe('good'),
  'models/translator/translator.ts': (written) => {
    expect(written.slice(0, 2)).toEqual(['La maison est petite.', 5])
    expect(written[2]).toBeCloseTo(100, 6)
  },
}
