// The dtypes of results: every pair of dtypes, with and without axes, and numbers, against PyTorch's promotion.

import { type Device, type DType, devices, Tensor, tensor } from 'quarterturn'
import { describe, expect, test } from 'vitest'
import type { OpName } from '../../src/tensor/ops/index.js'
import { type Result, record } from '../../src/tensor/record.js'
import { expectClose } from '../tolerances.js'
import { numbersOf, readJson } from './checkOp.js'

/** A dtype: a tensor [3]; a dtype and "()": one without axes; a number: itself. */
type Operand = string | number
type Cell = [operands: Operand[], dtype: DType | null, values: (number | string)[] | null]
interface Row {
  op: OpName
  attributes?: Record<string, unknown>
  cells: Cell[]
}

const { rows } = readJson('fixtures/promotion.json') as { rows: Row[] }

/** Where PyTorch has a result for bool and we have none: `sign` would be the identity, and `square` the only one of its kind. */
const refused = new Set(['sign bool', 'square bool'])

const first = [1, 0, 1]
const second = [1, 1, 0]

function operand(form: string, values: number[], device: Device): Tensor {
  const bare = form.endsWith('()')
  const dtype = form.replace('()', '') as DType
  return tensor(bare ? values.slice(0, 1) : values, { shape: bare ? [] : [3], dtype, device })
}

function run({ op, attributes = {} }: Row, operands: Operand[], device: Device): Tensor {
  const tensors = operands.map((form, i) =>
    typeof form === 'string' ? operand(form, i === 0 ? first : second, device) : undefined,
  )
  const numbers = operands.map((form) => (typeof form === 'number' ? form : undefined))
  const condition = op === 'where' ? [tensor([true, false, true], { device })] : []
  const scalars = op === 'where' ? { a: numbers[0], b: numbers[1] } : { scalar: numbers.find((x) => x !== undefined) }
  const given = Object.fromEntries(
    Object.entries(attributes).map(([key, value]) => [key, /Infinity$/.test(String(value)) ? Number(value) : value]),
  )
  return new Tensor(record(op, [...condition, ...tensors], { ...scalars, ...given } as never)[0] as Result)
}

describe.each(devices())('on %s', (device) => {
  test.each(rows.map((row): [string, Row] => [`${row.op} ${JSON.stringify(row.attributes ?? {})}`, row]))(
    '%s',
    async (_, row) => {
      const wrong: string[] = []
      for (const [operands, dtype, values] of row.cells) {
        const name = `${row.op} ${operands.join(' ')}`
        if (dtype === null || refused.has(name)) {
          expect(() => run(row, operands, device), name).toThrowError(expect.objectContaining({ code: 'ERR_DTYPE' }))
          continue
        }
        const y = run(row, operands, device)
        if (y.dtype !== dtype) wrong.push(`${name}: ${y.dtype}, PyTorch ${dtype}`)
        else expectClose(await numbersOf(y), (values as (number | string)[]).map(Number), dtype, name)
      }
      expect(wrong).toEqual([])
    },
  )
})

describe.skipIf(devices().length > 1)('on cuda', () => {
  test.skip(`${rows.length} rows: there is no CUDA device here`, () => {})
})
