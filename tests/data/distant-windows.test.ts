// Windows over files: the same as those over the same series in memory, in every order; a scaling fitted block by block; values that are not finite by their row.
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { data } from 'quarterturn'
import { afterAll, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'quarterturn-distant-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Two columns: a wave far from zero, and another. */
const wave = (rows: number, k = 0) => ({
  column1: Float64Array.from({ length: rows }, (_, t) => 1e4 + Math.sin(t / 7 + k) + (t % 11) / 10),
  column2: Float64Array.from({ length: rows }, (_, t) => Math.cos(t / 5) * (1 + t / rows)),
})

function store(name: string, { column1, column2 }: ReturnType<typeof wave>, dtype: 'float64' | 'float32' = 'float64') {
  const rows = new (dtype === 'float64' ? Float64Array : Float32Array)(2 * column1.length)
  for (let i = 0; i < rows.length; i++) rows[i] = (i % 2 === 0 ? column1 : column2)[i >> 1] as number
  writeFileSync(join(folder, name), new Uint8Array(rows.buffer))
  return data.openRows(join(folder, name), { dtype, shape: [2] })
}

async function all(loader: data.WindowLoader, most = Infinity): Promise<number[][]> {
  const found: number[][] = []
  let batches = 0
  for await (const { past, future } of loader) {
    const [own, next] = [await past.data(), await future.data()]
    const count = past.shape[0] as number
    for (let i = 0; i < count; i++) {
      const piece = (values: ArrayLike<unknown>) =>
        Array.from(values, Number).slice((i * values.length) / count, ((i + 1) * values.length) / count)
      found.push([...piece(own as Float32Array), ...piece(next as Float32Array)])
    }
    if (++batches === most) break
  }
  return found
}

test('windows of files are those of the same series in memory, to the bit, also shuffled and continued', async () => {
  const [first, second] = [wave(300), wave(90, 1)]
  const files = [await store('a', first), await store('b', second)]
  const tables = [data.Table.of(first), data.Table.of(second)]
  for (const scale of ['none', 'minmax'] as const) {
    const options = { past: 7, future: 3, stride: 2, targets: 1, scale, batch: 16, seed: 5 }
    const [near, far] = [data.windows(tables, options), data.windows(files, options)]
    expect(far.length).toBe(near.length)
    const [own, parts] = [near.splitByTime(0.6, 0.2), await far.splitByTime(0.6, 0.2)]
    expect(parts.training.scaling.offset).toEqual(own.training.scaling.offset)
    expect(parts.training.scaling.factor).toEqual(own.training.scaling.factor)
    for (const part of ['training', 'validation', 'test'] as const) {
      const state = parts[part].state()
      const expected = await all(own[part])
      expect(expected.length).toBeGreaterThan(5)
      expect(await all(parts[part])).toEqual(expected)
      parts[part].restore(state)
      const head = await all(parts[part], 1)
      const again = (await far.splitByTime(0.6, 0.2))[part]
      again.restore(parts[part].state())
      expect([...head, ...(await all(again))]).toEqual(expected)
    }
  }
})

test('the scaling is that of the training part alone, over many blocks and float32 too', async () => {
  const series = wave(1_200_000)
  for (let t = 900_000; t < 1_200_000; t++) series.column1[t] = 1e9
  for (const dtype of ['float64', 'float32'] as const) {
    const stored = await store('long', series, dtype)
    const { training } = await data.windows(stored, { past: 5, future: 1, stride: 100 }).splitByTime(0.75)
    const round = dtype === 'float64' ? (x: number) => x : Math.fround
    const table = data.Table.of({
      column1: series.column1.subarray(0, 900_000).map(round),
      column2: series.column2.subarray(0, 900_000).map(round),
    })
    const expected = data.Scaling.fit(table)
    expect(training.scaling.names).toEqual(['column1', 'column2'])
    for (const i of [0, 1]) {
      expect((training.scaling.offset[i] as number) / (expected.offset[i] as number)).toBeCloseTo(1, 11)
      expect((training.scaling.factor[i] as number) / (expected.factor[i] as number)).toBeCloseTo(1, 9)
    }
  }
})

test('a sparse series of 8 GB is windowed within a small memory', async () => {
  const resident = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024
  const path = join(folder, 'sparse')
  const file = openSync(path, 'w')
  ftruncateSync(file, 8 * 2 ** 30)
  closeSync(file)
  const stored = await data.openRows(path, { dtype: 'float32', shape: [64] })
  const cut = data.windows(stored, { past: 168, future: 24, stride: 192, batch: 64, scale: 'none', seed: 1 })
  const { training } = await cut.splitByTime(0.9)
  let before = 0
  let batches = 0
  for await (const { past, future } of training) {
    expect([past.shape, await past.sum().item()]).toEqual([[64, 168, 64], 0])
    past.dispose()
    future.dispose()
    if (++batches === 10) before = resident()
    if (batches === 100) break
  }
  expect(resident() - before).toBeLessThan(150 * 2 ** 20)
})

test('values that are not finite, rows that are no columns and parts that are too short are refused', async () => {
  const series = wave(100)
  series.column2[41] = Number.NaN
  const stored = await store('holes', series)
  const cut = data.windows(stored, { past: 4, future: 1 })
  await expect(cut.splitByTime(0.5)).rejects.toMatchObject({
    code: 'ERR_NOT_FINITE',
    message: expect.stringMatching(/holes: column2 is NaN in row 41/),
  })
  expect((await cut.splitByTime(0.3)).training.rows).toBe(26)
  await expect(cut.splitByTime(0.97)).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  await expect(cut.splitByTime(2)).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  const square = await data.openRows(join(folder, 'holes'), { dtype: 'float64', shape: [2, 2] })
  expect(() => data.windows(square, { past: 4, future: 1 })).toThrowError(
    expect.objectContaining({ code: 'ERR_SHAPE' }),
  )
  const single = await data.openRows(join(folder, 'holes'), { dtype: 'float64', shape: [] })
  expect(() => data.windows([stored, single], { past: 4, future: 1 })).toThrowError(
    expect.objectContaining({ code: 'ERR_SHAPE' }),
  )
  expect((await data.windows(single, { past: 4, future: 1, scale: 'none' }).loader()).scaling.names).toEqual(['value'])
})
