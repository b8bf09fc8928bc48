// Every operation of the table against PyTorch and finite differences, on every device that is there.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { type DType, devices, tensor } from 'quarterturn'
import { describe, expect, test } from 'vitest'
import { native } from '../../src/native.js'
import { ops } from '../../src/tensor/ops/index.js'
import {
  type Case,
  type CaseFixture,
  caseLines,
  checkOp,
  type Fixture,
  numbersOf,
  readJson,
} from '../parity/checkOp.js'

const { torch, casesSha256, cases } = readJson('fixtures/ops.json') as Fixture

/** Operations that a parity case cannot hold: effects, requests, programs, our own random numbers. The file and the name of the test of each. */
const elsewhere: Record<string, [file: string, test: string]> = {
  free: ['tensor/memory.test.ts', 'the engine keeps no slot of a tensor that is gone'],
  read: ['tensor/order.test.ts', 'a read sees the value at its place in the order'],
  mark: ['tensor/variable.test.ts', 'mark: '],
  save: ['tensor/file.test.ts', 'a save takes the values at its place in the order'],
  threads: ['tensor/random.test.ts', 'numbers do not depend on the number of threads'],
  assign: ['tensor/variable.test.ts', 'assign: '],
  requireGrad: ['tensor/variable.test.ts', 'requireGrad: '],
  grad: ['tensor/grad.test.ts', 'gradients of intermediate values'],
  define: ['tensor/programs.test.ts', 'scan: a recurrence equals its loop'],
  undefine: ['tensor/variable.test.ts', 'undefine: '],
  checkpoint: ['tensor/programs.test.ts', 'checkpoint: the same value and gradients as without'],
  customGrad: ['tensor/programs.test.ts', 'customGrad: the backward is the one given'],
  scan: ['tensor/programs.test.ts', 'scan: a recurrence equals its loop'],
  search: ['models/search.test.ts', 'wide enough it finds every sequence there is'],
  fromBytes: ['tensor/ops.test.ts', 'fromBytes: '],
  uniform: ['tensor/random.test.ts', 'moments and ranges are those of the distributions'],
  normal: ['tensor/random.test.ts', 'moments and ranges are those of the distributions'],
  randint: ['tensor/random.test.ts', 'moments and ranges are those of the distributions'],
  permutation: ['tensor/random.test.ts', 'a permutation holds every number once'],
  dropout: ['tensor/grad.test.ts', 'dropout: '],
  sgd: ['parity/layers.test.ts', 'ten losses'],
  adam: ['parity/optimizers.test.ts', '%s: parameters and states after ten steps'],
  adamw: ['parity/layers.test.ts', 'ten losses'],
  nadam: ['parity/optimizers.test.ts', '%s: parameters and states after ten steps'],
  rmsprop: ['parity/optimizers.test.ts', '%s: parameters and states after ten steps'],
  lion: ['optim/optimizer.test.ts', 'lion: '],
  adafactor: ['parity/optimizers.test.ts', '%s: parameters and states after ten steps'],
  minGRUCell: ['axis/stream.test.ts', 'is its map, norm and sequence of one step: %o'],
  minLSTMCell: ['axis/stream.test.ts', 'is its map, norm and sequence of one step: %o'],
  average: ['optim/ema.test.ts', 'average: '],
}

describe('the table of operations', () => {
  test('every operation has a parity case, or a named test elsewhere', () => {
    const covered = new Set(cases.map((fixture) => (JSON.parse(fixture.case) as Case).op as string))
    const missing = Object.keys(ops).filter((name) => !covered.has(name) && !Object.hasOwn(elsewhere, name))
    expect(missing).toEqual([])
    expect(Object.keys(elsewhere).filter((name) => covered.has(name) || !Object.hasOwn(ops, name))).toEqual([])
  })

  test.each(Object.entries(elsewhere))('%s is tested elsewhere: %j', (_, [path, name]) => {
    const file = new URL(`../${path}`, import.meta.url)
    expect(existsSync(file) ? readFileSync(file, 'utf8') : '').toContain(`('${name}`)
  })

  test('the addon has the same operations', () => {
    expect([...native().operations()].sort()).toEqual(Object.keys(ops).sort())
  })

  test('the fixture was made from these cases (if not: tests/parity/make_fixtures.py)', () => {
    expect(torch).toMatch(/^2\.11\.0\b/)
    expect(createHash('sha256').update(caseLines().join('\n')).digest('hex')).toBe(casesSha256)
  })
})

describe.each(devices())('on %s', (device) => {
  test.each(cases.map((fixture): [string, CaseFixture] => [fixture.case, fixture]))('%s', (_, fixture) =>
    checkOp(fixture, device),
  )

  test.each<[DType, number[]]>([
    ['float64', [0.1, -1e300, 5e-324]],
    ['float32', [0.5, -3, 1e30]],
    ['bfloat16', [0.5, -3, 256]],
    ['int64', [0, -(2 ** 53 - 1), 7]],
    ['int32', [0, -(2 ** 31), 2 ** 31 - 1]],
    ['uint8', [0, 255, 7]],
    ['bool', [1, 0, 1]],
  ])('fromBytes: %s is read back as it was given', async (dtype, values) => {
    const expected = dtype === 'float32' ? values.map(Math.fround) : values
    expect(await numbersOf(tensor(values, { dtype, device }))).toEqual(expected)
  })
})

describe.skipIf(devices().length > 1)('on cuda', () => {
  test.skip(`${cases.length} cases: there is no CUDA device here`, () => {})
})
