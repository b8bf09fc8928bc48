// openRows: a file larger than what is kept of it, read by position in every order; errors that belong to a batch.
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { data, tensor } from 'quarterturn'
import { afterAll, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'quarterturn-rows-'))
afterAll(() => rmSync(folder, { recursive: true }))
const path = (name: string): string => join(folder, name)

function resident(): number {
  const found = /VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))
  return Number(found?.[1]) * 1024
}

test('rows are read as they lie, shuffled, beside fields in memory, and continued from a state', async () => {
  const rows = 50
  const values = Float32Array.from({ length: rows * 6 }, (_, i) => i)
  const head = new Uint8Array(16).fill(255)
  writeFileSync(path('x.bin'), Buffer.concat([head, new Uint8Array(values.buffer)]))
  const x = await data.openRows(path('x.bin'), { dtype: 'float32', shape: [2, 3], offset: 16 })
  expect([x.rows, x.shape, x.dtype]).toEqual([50, [2, 3], 'float32'])
  const id = Array.from({ length: rows }, (_, i) => i)
  const make = () => new data.Loader({ x, id }, { batch: 8, shuffle: true, seed: 3 })
  const seen = async (loader: ReturnType<typeof make>, most = Infinity) => {
    const ids: number[] = []
    let batches = 0
    for await (const batch of loader) {
      const own = Array.from(await batch.id.data(), Number)
      const expected = own.map((row) => [0, 3].map((at) => [0, 1, 2].map((k) => 6 * row + at + k)))
      expect(await batch.x.toArray()).toEqual(expected)
      ids.push(...own)
      if (++batches === most) break
    }
    return ids
  }
  const whole = await seen(make())
  expect([...whole].sort((a, b) => a - b)).toEqual(id)
  const before = make()
  const begun = await seen(before, 2)
  const after = make()
  after.restore(before.state())
  expect([...begun, ...(await seen(after))]).toEqual(whole)
})

test('a sparse file of 20 GB is gone through in a random order within a small memory', async () => {
  const file = openSync(path('large.bin'), 'w')
  const width = 1024
  const rows = 5_000_000
  ftruncateSync(file, rows * width * 4)
  const marked = [0, 1_234_567, rows - 1]
  for (const row of marked)
    writeSync(file, new Uint8Array(new Float32Array(width).fill(row + 1).buffer), 0, width * 4, row * width * 4)
  closeSync(file)
  const x = await data.openRows(path('large.bin'), { dtype: 'float32', shape: [width] })
  expect(x.rows).toBe(rows)
  const few = new data.Loader({ x }, { rows: [...marked, 5], batch: 4 })
  for await (const batch of few) {
    const sums = await batch.x.mean(-1).toArray()
    expect(sums).toEqual([1, 1_234_568, rows, 0])
  }
  const loader = new data.Loader({ x }, { batch: 1024, shuffle: true, seed: 1 })
  let before = 0
  let batches = 0
  for await (const batch of loader) {
    expect(await batch.x.sum().item()).toBeGreaterThanOrEqual(0)
    batch.x.dispose()
    if (++batches === 20) before = resident()
    if (batches === 200) break
  }
  // 180 batches of 4 MB went through; what stays is a few of them.
  expect(resident() - before).toBeLessThan(150 * 2 ** 20)
})

test('a file that ends too soon is an error of the batch that needs it, and no other', async () => {
  writeFileSync(path('short.bin'), new Uint8Array(80))
  const x = await data.openRows(path('short.bin'), { dtype: 'float64', shape: [] })
  truncateSync(path('short.bin'), 40)
  const seen: number[] = []
  const run = async () => {
    for await (const batch of new data.Loader({ x }, { batch: 5 })) seen.push(batch.x.shape[0] as number)
  }
  await expect(run()).rejects.toMatchObject({ code: 'ERR_IO', message: expect.stringContaining('short.bin') })
  expect(seen).toEqual([5])
})

test('what does not fit is told when it is opened', async () => {
  writeFileSync(path('odd.bin'), new Uint8Array(10))
  const opening = (layout: object, name = 'odd.bin') => data.openRows(path(name), layout as data.RowLayout)
  await expect(opening({ dtype: 'float32', shape: [] })).rejects.toMatchObject({ code: 'ERR_DATA', got: '10' })
  await expect(opening({ dtype: 'float32', shape: [], rows: 3 })).rejects.toMatchObject({ code: 'ERR_DATA' })
  await expect(opening({ dtype: 'float32', shape: [0] })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  await expect(opening({ dtype: 'string', shape: [] })).rejects.toMatchObject({ code: 'ERR_DTYPE' })
  await expect(opening({ dtype: 'float32', shape: [] }, 'none')).rejects.toMatchObject({
    code: 'ERR_IO',
    got: 'ENOENT',
  })
  const two = await opening({ dtype: 'float32', shape: [], rows: 2 })
  expect(() => new data.Loader({ x: two, y: tensor([1, 2, 3]) })).toThrowError(
    expect.objectContaining({ code: 'ERR_SHAPE' }),
  )
})
