// quarterturn classify: the answers of a saved model for picture files, and what is said where something is wrong.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { data, manualSeed, models, tensor, train } from 'quarterturn'
import sharp from 'sharp'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cliWith } from './terminal.js'

const cli = (...argv: string[]) => cliWith([], 'classify', ...argv)
const flat = (level: number, size = 8) =>
  sharp({ create: { width: size, height: size, channels: 3, background: { r: level, g: level, b: level } } })

let folder: string
let model: models.ResNet
const at = (name: string): string => join(folder, name)
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quarterturn-classify-'))
  manualSeed(3)
  const bright = Array.from({ length: 64 }, (_, i) => i % 2)
  const images = tensor(
    bright.map((b) => [Array.from({ length: 8 }, () => Array<number>(8).fill(b ? 0.8 : 0.2))]),
    { dtype: 'float32' },
  )
  model = new models.ResNet({ labels: ['dark', 'bright'], depth: 8, channels: 1, width: 4 })
  await train.fit(model, model.loader({ images, labels: bright }, { batch: 16, seed: 1 }), {
    epochs: 8,
    progress: false,
  })
  model.eval()
  await model.save(at('model'))
  for (const [name, level] of [
    ['dark', 51],
    ['bright', 204],
  ] as const)
    await flat(level)
      .png()
      .toFile(at(`${name}.png`))
  await flat(204, 40).jpeg().toFile(at('large.jpg'))
  await writeFile(at('cut.png'), (await flat(9).png().toBuffer()).subarray(0, 40))
  await writeFile(at('other.jpg'), await flat(9).png().toBuffer())
})
afterAll(() => rm(folder, { recursive: true }))

test('a line for each file, in the order given, with the class that the model gives', async () => {
  const { code, out, err } = await cli(at('model'), at('bright.png'), at('dark.png'), at('large.jpg'))
  expect({ code, err }).toEqual({ code: 0, err: '' })
  expect(out.split('\n').map((line) => line.split(/\s+/).at(-1))).toEqual(['bright', 'dark', 'bright', ''])
})

test('--json and --all: the probabilities are those of classify, at the size asked for', async () => {
  const { data: pixels, shape } = await data.readImage(at('large.jpg'), { size: 12, channels: 1 })
  const [expected] = await model.classify(tensor(pixels, { dtype: 'uint8', shape: [1, ...shape] }))
  const { out } = await cli('--json', '-s', '12', at('model'), at('large.jpg'))
  expect(JSON.parse(out)).toEqual({ file: at('large.jpg'), ...expected })
  const all = await cli('--all', at('model'), at('dark.png'))
  expect(all.out.split('\n').map((line) => line.trim().split(/\s+/).at(-1))).toEqual([
    at('dark.png'),
    'dark',
    'bright',
    '',
  ])
})

test('what is wrong with a file is told by its name, after the answers before it', async () => {
  const cut = await cli(at('model'), at('dark.png'), at('cut.png'))
  expect(cut).toMatchObject({ code: 1, err: expect.stringContaining('cut.png') })
  expect([cut.out.trimEnd().endsWith('dark'), cut.err.includes('ERR_DATA')]).toEqual([true, true])
  expect((await cli(at('model'), at('other.jpg'))).err).toContain('it is PNG, not JPEG')
  expect((await cli(at('model'), at('none.png'))).err).toMatch(/none\.png.*ERR_IO/)
  expect((await cli(at('nowhere'), at('dark.png'))).err).toMatch(/nowhere.*ERR_IO/)
})

test('wrong usage: exit code 2', async () => {
  for (const argv of [[], [at('model')], [at('model'), at('dark.png'), '--size', '0']])
    expect((await cli(...argv)).code).toBe(2)
})
