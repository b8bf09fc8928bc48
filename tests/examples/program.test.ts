// The main job as npm start runs it, with a small budget, and the command that it recommends at the end.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

function start(script: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, script), ...args], { encoding: 'utf8' })
  return { code: status, out: stdout, err: stderr }
}

const train = (...args: string[]) => start('build/ts/examples/g2p/train.js', ...args)

it('says what it does, trains, reports, saves, and the model pronounces', () => {
  const folder = mkdtempSync(join(tmpdir(), 'quarterturn-main-'))
  const small = ['--tokens', '40000', '--width', '32', '--test-words', '60', '--seed', '3', '--minutes', '2']
  const { code, out, err } = train(...small, '--out', join(folder, 'g2p'))
  expect({ code, out }).toMatchObject({ code: 0, out: expect.stringContaining('pronounce English') })
  expect(err).toMatch(/epoch 1\/1 · loss \d\.\d+ · validation loss/)
  const order = [
    'to learn from',
    'Trained on',
    'phoneme error',
    'published',
    'A dozen of them',
    'Saved in',
    'npx quarterturn pronounce',
  ]
  const places = order.map((part) => out.indexOf(part))
  expect(places).toEqual([...places].sort((a, b) => a - b))
  expect(places[0]).toBeGreaterThan(0)

  const spoken = start('dist/cli/main.js', 'pronounce', join(folder, 'g2p'), 'seabright')
  expect(spoken).toMatchObject({ code: 0, out: expect.stringMatching(/^seabright {2}/) })
  rmSync(folder, { recursive: true })
})

it.each([['--minutes=0'], ['--seed=x'], ['--width=1.5'], ['--epochs=3']])(
  '%s is wrong usage: exit code 2 and the help',
  (flag) => {
    const { code, err } = train(flag)
    expect(code).toBe(2)
    expect(err).toMatch(/--minutes M/)
    expect(err).not.toMatch(/\n {4}at /)
  },
)

it('an example of a ten-line model runs as a program', () => {
  const { code, out, err } = start('build/ts/examples/weather/cities.js')
  expect({ code, out }).toMatchObject({
    code: 0,
    out: expect.stringMatching(/found: this model \d+\.\d % · by the mean/),
  })
  expect(err).toMatch(/epoch 15\/15/)
})
