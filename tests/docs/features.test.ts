// The table of features names what is there: every name of ours is exported, and every name of PyTorch's exists in it.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import * as quarterturn from 'quarterturn'
import { expect, it } from 'vitest'

const text = readFileSync(new URL('../../docs/features.md', import.meta.url), 'utf8')
const python = join(
  process.env.QUARTERTURN_CACHE ?? join(homedir(), '.cache/quarterturn'),
  'python-torch-2.11.0/bin/python',
)

/** The cells of the table rows: feature, Keras, PyTorch, TensorFlow.js, Quarterturn. */
const rows = text
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| |'))
  .map((line) =>
    line
      .slice(1, -1)
      .split(' | ')
      .map((cell) => cell.trim()),
  )

const codeIn = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code as string)

/** Options and words of the language that are named and not exported. */
const words = [
  'await x.data()',
  'recompute',
  'lengths',
  'numLayers',
  'bidirectional',
  'projSize',
  'notFinite',
  'earlyStopping',
  'reduceOnPlateau',
  'checkpoints',
  'resume',
  'signals',
  'state',
  'restore',
  'bucketBy',
  'augment',
]

it('every row has a cell for each library', () => {
  expect(rows.length).toBeGreaterThan(50)
  for (const row of rows) expect([row[0], row.length]).toEqual([row[0], 5])
})

it('what is said to be here is here', () => {
  const ours = rows.flatMap((row) => codeIn(row[4] as string)).filter((name) => !words.includes(name))
  expect(ours.length).toBeGreaterThan(60)
  const missing = ours.filter((name) => {
    const found = name
      .split('.')
      .reduce<unknown>((space, key) => (space as Record<string, unknown> | undefined)?.[key], quarterturn)
    return found === undefined
  })
  expect(missing).toEqual([])
  const source = [
    'data/loader.ts',
    'train/options.ts',
    'nn/stacked.ts',
    'nn/recurrent.ts',
    'nn/lstm.ts',
    'optim/optimizer.ts',
  ]
    .map((name) => readFileSync(new URL(`../../src/${name}`, import.meta.url), 'utf8'))
    .join('\n')
  for (const word of words.slice(1)) expect(source).toMatch(new RegExp(`\\b${word}\\b`))
})

it.skipIf(!existsSync(python))('what is said to be in PyTorch is there', () => {
  const theirs = rows.flatMap((row) => codeIn(row[2] as string)).filter((name) => /^torch\.[\w.]+$/.test(name))
  expect(theirs.length).toBeGreaterThan(30)
  // Some are modules that are there only once they are imported.
  const program = `
import importlib, json, sys, torch
def there(name):
    try:
        importlib.import_module(name)
        return True
    except ImportError:
        space, _, key = name.rpartition('.')
        return hasattr(importlib.import_module(space), key)
print(json.dumps([name for name in json.load(sys.stdin) if not there(name)]))`
  const missing = execFileSync(python, ['-c', program], { input: JSON.stringify(theirs), encoding: 'utf8' })
  const last = missing.trim().split('\n').at(-1) as string
  // torch.utils.tensorboard needs a package beside torch.
  expect(JSON.parse(last).filter((name: string) => name !== 'torch.utils.tensorboard')).toEqual([])
})
