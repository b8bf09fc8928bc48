// The loader: every row once per epoch, in an order that a saved state continues exactly; sequences padded and bucketed; little queued ahead.
import { data, Generator, matmul, memory, normal, type Tensor, tensor, Variable, zeros } from 'quarterturn'
import { expect, test } from 'vitest'
import { makeOrder, philox } from '../../src/data/order.js'

const numbers = (n: number): number[] => Array.from({ length: n }, (_, i) => i)
const list = async (x: Tensor): Promise<number[]> => Array.from(await x.data(), Number)

/** The batches of one epoch, one field as plain numbers. */
async function epoch(loader: data.Loader<{ id: number[] }>, most = Infinity): Promise<number[][]> {
  const batches: number[][] = []
  if (most === 0) return batches
  for await (const { id } of loader) {
    batches.push(await list(id))
    if (batches.length === most) break
  }
  return batches
}

/** Sequences of lengths 1 … 17, each element telling its row. */
const sequences = numbers(200).map((i) => numbers(1 + ((i * 7) % 17)).map((t) => 1000 * i + t))

test('the stream of the shuffles is Philox 4×32-10: the known answers of its authors', () => {
  const out = new Uint32Array(4)
  const block = (low: number, high: number, counter: number): string => {
    philox(out, low, high, counter)
    return [...out].map((word) => word.toString(16).padStart(8, '0')).join(' ')
  }
  expect(block(0, 0, 0)).toBe('6627e8d5 e169c58d bc57ac4c 9b00dbd8')
  expect(block(0, 0, 1)).not.toBe(block(0, 0, 2 ** 32))
})

test('a shuffle can put every row anywhere, about equally often', () => {
  const counts = new Float64Array(36)
  const trials = 6000
  for (let i = 0; i < trials; i++) {
    const { rows } = makeOrder({ rows: 6, batch: 2, dropLast: false, generator: new Generator(i) })
    for (const [at, row] of rows.entries()) counts[row * 6 + at]! += 1
  }
  const expected = trials / 6
  const chi = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
  expect(chi).toBeLessThan(25 + 5 * Math.sqrt(50)) // 25 degrees of freedom
})

test('without shuffle: the rows in order, the last batch smaller, or left out', async () => {
  const loader = new data.Loader({ id: numbers(10) }, { batch: 4 })
  expect(loader.length).toBe(3)
  expect(await epoch(loader)).toEqual([
    [0, 1, 2, 3],
    [4, 5, 6, 7],
    [8, 9],
  ])
  expect(await epoch(loader)).toEqual([
    [0, 1, 2, 3],
    [4, 5, 6, 7],
    [8, 9],
  ])
  const dropping = new data.Loader({ id: numbers(10) }, { batch: 4, dropLast: true })
  expect(dropping.length).toBe(2)
  expect(await epoch(dropping)).toEqual([
    [0, 1, 2, 3],
    [4, 5, 6, 7],
  ])
})

test('a shuffled epoch has every row once, another order each time, and the same orders for the same seed', async () => {
  const make = (seed: number) => new data.Loader({ id: numbers(50) }, { batch: 8, shuffle: true, seed })
  const loader = make(3)
  const [first, second] = [await epoch(loader), await epoch(loader)]
  for (const batches of [first, second]) expect(batches.flat().sort((a, b) => a - b)).toEqual(numbers(50))
  expect(first).not.toEqual(second)
  const again = make(3)
  expect([await epoch(again), await epoch(again)]).toEqual([first, second])
  expect(await epoch(make(4))).not.toEqual(first)
})

test('fields stay aligned, whatever they were given as, and get their dtypes', async () => {
  const n = 23
  const loader = new data.Loader(
    {
      whole: numbers(n),
      fraction: numbers(n).map((i) => i + 0.5),
      flags: numbers(n).map((i) => i % 3 === 0),
      big: numbers(n).map(BigInt),
      nested: numbers(n).map((i) => [
        [i, 2 * i],
        [3 * i, 4 * i],
      ]),
      flat: Float64Array.from(numbers(n)),
      shaped: { data: Float32Array.from(numbers(2 * n)), shape: [n, 2] },
      given: tensor(numbers(n)).to('float64'),
      forced: numbers(n),
      rows: numbers(n).map((i) => Float32Array.of(i, i + 0.25)),
    },
    { batch: 5, shuffle: true, seed: 1, dtypes: { forced: 'float32' } },
  )
  const seen: number[] = []
  for await (const batch of loader) {
    const ids = await list(batch.whole)
    seen.push(...ids)
    expect(batch.whole.dtype).toBe('int64')
    expect(batch.big.dtype).toBe('int64')
    expect(batch.fraction.dtype).toBe('float32')
    expect(batch.flags.dtype).toBe('bool')
    expect(batch.flat.dtype).toBe('float64')
    expect(batch.shaped.dtype).toBe('float32')
    expect(batch.given.dtype).toBe('float64')
    expect(batch.forced.dtype).toBe('float32')
    expect(batch.nested.shape).toEqual([ids.length, 2, 2])
    expect(await list(batch.big)).toEqual(ids)
    expect(await list(batch.flat)).toEqual(ids)
    expect(await list(batch.given)).toEqual(ids)
    expect(await list(batch.forced)).toEqual(ids)
    expect(await list(batch.fraction)).toEqual(ids.map((i) => i + 0.5))
    expect(await list(batch.flags)).toEqual(ids.map((i) => Number(i % 3 === 0)))
    expect(await list(batch.nested)).toEqual(ids.flatMap((i) => [i, 2 * i, 3 * i, 4 * i]))
    expect(await list(batch.shaped)).toEqual(ids.flatMap((i) => [2 * i, 2 * i + 1]))
    expect(await list(batch.rows)).toEqual(ids.flatMap((i) => [i, i + 0.25]))
  }
  expect(seen.sort((a, b) => a - b)).toEqual(numbers(n))
})

test('negative and large whole numbers keep their value', async () => {
  const values = [-1, -(2 ** 31), -(2 ** 32) - 5, 2 ** 31, 2 ** 52 + 1, 0]
  const loader = new data.Loader({ id: values }, { batch: 6 })
  expect(await epoch(loader)).toEqual([values])
})

test('sequences are padded to the longest of their batch with the value of their field', async () => {
  const vectors = sequences.map((row) => row.map((x) => [x, -x]))
  const loader = new data.Loader(
    { id: numbers(200), words: sequences, vectors },
    { batch: 7, shuffle: true, seed: 2, padding: { words: -100, vectors: 0.5 } },
  )
  for await (const { id, words, vectors: pairs } of loader) {
    const ids = await list(id)
    const longest = Math.max(...ids.map((i) => sequences[i]!.length))
    expect(words.shape).toEqual([ids.length, longest])
    expect(words.dtype).toBe('int64')
    expect(await list(words)).toEqual(ids.flatMap((i) => numbers(longest).map((t) => sequences[i]![t] ?? -100)))
    expect(pairs.shape).toEqual([ids.length, longest, 2])
    expect(await list(pairs)).toEqual(
      ids.flatMap((i) =>
        numbers(longest).flatMap((t) =>
          t < sequences[i]!.length ? [sequences[i]![t]!, -sequences[i]![t]!] : [0.5, 0.5],
        ),
      ),
    )
  }
})

test('empty sequences are all padding', async () => {
  const loader = new data.Loader({ words: [[], [1, 2], []] }, { batch: 3, padding: { words: 9 } })
  for await (const { words } of loader)
    expect(await words.toArray()).toEqual([
      [9, 9],
      [1, 2],
      [9, 9],
    ])
})

test('bucketing: batches of near-equal length, every row once, another grouping and order each epoch', async () => {
  const many = numbers(3000).map((i) => numbers(1 + ((i * 7) % 41)))
  const padded = async (
    options: data.LoaderOptions<{ id: number[]; words: number[][] }>,
  ): Promise<{ steps: number; ids: number[]; widths: number[] }> => {
    const loader = new data.Loader(
      { id: numbers(3000), words: many },
      { batch: 16, shuffle: true, seed: 5, padding: { words: 0 }, ...options },
    )
    const out = { steps: 0, ids: [] as number[], widths: [] as number[] }
    for await (const { id, words } of loader) {
      out.steps += words.size
      out.widths.push(words.shape[1]!)
      out.ids.push(...(await list(id)))
    }
    return out
  }
  const real = many.reduce((sum, row) => sum + row.length, 0)
  const bucketed = await padded({ bucketBy: 'words' })
  expect([...bucketed.ids].sort((a, b) => a - b)).toEqual(numbers(3000))
  expect(bucketed.steps / real).toBeLessThan(1.05)
  expect((await padded({})).steps / real).toBeGreaterThan(1.5)
  const sorted = [...bucketed.widths].sort((a, b) => a - b)
  expect(bucketed.widths).not.toEqual(sorted)
  const ordered = await padded({ bucketBy: 'words', shuffle: false })
  expect(ordered.widths).toEqual([...ordered.widths].sort((a, b) => a - b))
})

test('bucketing by two fields keeps both near equal', async () => {
  const [a, b] = [(i: number) => 1 + (i % 5), (i: number) => 1 + (Math.floor(i / 5) % 9)]
  const loader = new data.Loader(
    { a: numbers(450).map((i) => numbers(a(i))), b: numbers(450).map((i) => numbers(b(i))) },
    { batch: 10, shuffle: true, seed: 1, bucketBy: ['a', 'b'], padding: { a: -1, b: -1 } },
  )
  // 45 pairs of lengths with 10 rows each: every batch is one pair.
  for await (const batch of loader) {
    expect((await list(batch.a)).includes(-1)).toBe(false)
    expect((await list(batch.b)).includes(-1)).toBe(false)
  }
})

test('a state saved at any batch continues with exactly the rest, this epoch and the next', async () => {
  for (const options of [{ shuffle: true }, { shuffle: true, dropLast: true }, {}]) {
    const make = () => new data.Loader({ id: numbers(33) }, { batch: 4, seed: 11, ...options })
    const whole = make()
    const all = [await epoch(whole), await epoch(whole), await epoch(whole)].flat()
    const length = whole.length
    for (const at of [0, 1, length - 1, length, length + 3, 2 * length]) {
      const loader = make()
      for (let done = 0; done < at; done += length) await epoch(loader, Math.min(length, at - done))
      const saved = JSON.parse(JSON.stringify(loader.state()))
      const other = make()
      other.restore(saved)
      const rest: number[][] = []
      while (rest.length < 3 * length - at) rest.push(...(await epoch(other)))
      expect(rest).toEqual(all.slice(at))
    }
  }
})

test('a loop that is left early is an epoch: the next one has a new order', async () => {
  const loader = new data.Loader({ id: numbers(40) }, { batch: 4, shuffle: true, seed: 1 })
  const first = await epoch(loader, 3)
  const second = await epoch(loader)
  expect(second.flat().sort((a, b) => a - b)).toEqual(numbers(40))
  expect(second.slice(0, 3)).not.toEqual(first)
  expect(loader.state()).toMatchObject({ epoch: 2, position: 0 })
})

test('a state of other rows or options is refused', () => {
  const state = new data.Loader({ id: numbers(33) }, { batch: 4 }).state()
  const refused = expect.objectContaining({ code: 'ERR_CHECKPOINT' })
  expect(() => new data.Loader({ id: numbers(34) }, { batch: 4 }).restore(state)).toThrowError(refused)
  expect(() => new data.Loader({ id: numbers(33) }, { batch: 5 }).restore(state)).toThrowError(refused)
  expect(() => new data.Loader({ id: numbers(33) }, { batch: 4, shuffle: true }).restore(state)).toThrowError(refused)
})

test('the rows are the loader’s own: disposing or updating what they came from changes nothing', async () => {
  const plain = tensor([1, 2, 3])
  const variable = new Variable(tensor([1, 2, 3]))
  const loader = new data.Loader({ plain, variable }, { batch: 3, shuffle: true })
  plain.dispose()
  variable.assign(zeros([3]))
  for await (const batch of loader) {
    expect((await list(batch.plain)).sort()).toEqual([1, 2, 3])
    expect((await list(batch.variable)).sort()).toEqual([1, 2, 3])
  }
})

test('batches are values of their own, and what making them needed is freed', async () => {
  const loader = new data.Loader(
    { words: sequences, x: numbers(200).map((i) => [i, i]) },
    { batch: 10, shuffle: true, padding: { words: 0 } },
  )
  for await (const _ of loader) break
  const before = memory().tensors
  const kept: Tensor[] = []
  for await (const { words, x } of loader) kept.push(words, x)
  expect(memory().tensors).toBe(before + kept.length)
  for (const x of kept) x.dispose()
})

test('a loop that never waits runs at most about two steps ahead of the engine, and timers keep running', async () => {
  const w = normal([256, 256])
  const loader = new data.Loader({ x: { data: new Float32Array(40 * 256), shape: [40, 256] } }, { batch: 1 })
  let most = 0
  let ticks = 0
  const timer = setInterval(() => ticks++, 1)
  for await (const { x } of loader) {
    let y = x.expand([256, 256])
    for (let i = 0; i < 20; i++) y = matmul(y, w).tanh()
    most = Math.max(most, memory().queued)
  }
  clearInterval(timer)
  expect(most).toBeGreaterThan(0)
  expect(most).toBeLessThan(3 * 60) // 41 operations a step, and a few of the loader
  expect(ticks).toBeGreaterThan(5)
})

test('an error that nobody awaited is thrown at the next turn of the loader', async () => {
  const loader = new data.Loader({ id: numbers(100) }, { batch: 1 })
  let turns = 0
  const loop = async (): Promise<void> => {
    for await (const { id } of loader) {
      turns++
      if (turns === 3) tensor([1, 2]).indexSelect(0, id.add(50))
    }
  }
  await expect(loop()).rejects.toMatchObject({ code: 'ERR_RANGE' })
  expect(turns).toBeLessThan(8)
})

test('what cannot be a dataset is refused with its code', () => {
  const make =
    (fields: object, options: object = {}) =>
    () =>
      new data.Loader(fields as data.Fields, options)
  const code = (code: string, message = /./) =>
    expect.objectContaining({ code, message: expect.stringMatching(message) })
  expect(make({})).toThrowError(code('ERR_ARGUMENT'))
  expect(make({ x: [] })).toThrowError(code('ERR_ARGUMENT', /no rows/))
  expect(make({ x: 3 })).toThrowError(code('ERR_ARGUMENT'))
  expect(make({ x: null })).toThrowError(code('ERR_ARGUMENT'))
  expect(make({ step: [1] })).toThrowError(code('ERR_ARGUMENT', /step/))
  expect(make({ x: [1, 2], y: [1] })).toThrowError(code('ERR_SHAPE', /x has 2, y has 1/))
  expect(make({ x: [[1, 2], [3]] })).toThrowError(code('ERR_ARGUMENT', /padding: \{ x: 0 \}/))
  expect(make({ x: [[[1], [2]], [[3, 4]]] }, { padding: { x: 0 } })).toThrowError(code('ERR_SHAPE', /row 1/))
  expect(make({ x: [[[1, 2], [3]]] })).toThrowError(code('ERR_SHAPE', /row 0/))
  expect(make({ x: [1, [2]] })).toThrowError(code('ERR_SHAPE', /row 1/))
  expect(make({ x: [1, 'a'] })).toThrowError(code('ERR_DTYPE', /row 1/))
  expect(make({ x: [1, null] })).toThrowError(
    expect.objectContaining({ code: expect.stringMatching(/ERR_DTYPE|ERR_SHAPE/) }),
  )
  expect(make({ x: [true, 1] })).toThrowError(code('ERR_DTYPE'))
  expect(make({ x: [2n ** 60n] })).toThrowError(code('ERR_RANGE'))
  expect(make({ x: [1.5] }, { dtypes: { x: 'int64' } })).toThrowError(code('ERR_RANGE'))
  expect(make({ x: tensor(1) })).toThrowError(code('ERR_SHAPE'))
  for (const batch of [0, -1, 1.5, Number.NaN, '3', null])
    expect(make({ x: [1] }, { batch })).toThrowError(code('ERR_ARGUMENT', /batch/))
  for (const seed of [-1, 0.5, Number.NaN]) expect(make({ x: [1] }, { seed })).toThrowError(code('ERR_ARGUMENT'))
  expect(make({ x: [1] }, { bucketBy: 'x' })).toThrowError(code('ERR_ARGUMENT', /bucketBy/))
  expect(make({ x: [1] }, { bucketBy: 'y' })).toThrowError(code('ERR_ARGUMENT', /no field y/))
  expect(make({ x: [1] }, { padding: { y: 0 } })).toThrowError(code('ERR_ARGUMENT', /no field y/))
  expect(make({ x: [1] }, { dtypes: { x: 'float16' } })).toThrowError(code('ERR_DTYPE'))
  expect(make({ x: [1] }, { device: 'tpu' })).toThrowError(code('ERR_DEVICE'))
  const disposed = zeros([3])
  disposed.dispose()
  expect(make({ x: disposed })).toThrowError(code('ERR_DISPOSED'))
  expect(make({ x: new Float32Array(new SharedArrayBuffer(8)) })).toThrowError(code('ERR_ARGUMENT', /shared/))
  const detached = new Float32Array(4)
  structuredClone(detached.buffer, { transfer: [detached.buffer] })
  expect(make({ x: detached })).toThrowError(code('ERR_ARGUMENT', /detached/))
  expect(make({ x: [detached, detached] })).toThrowError(code('ERR_ARGUMENT', /detached/))
  const growing = ArrayBuffer as new (length: number, options: { maxByteLength: number }) => ArrayBuffer
  const resizable = new Float32Array(new growing(8, { maxByteLength: 16 }))
  expect(make({ x: resizable })).toThrowError(code('ERR_ARGUMENT', /resizable/))
  expect(make({ x: { data: resizable, shape: [2] } })).toThrowError(code('ERR_ARGUMENT', /resizable/))
  expect(make({ x: { data: new Float32Array(4), shape: [3] } })).toThrowError(code('ERR_SHAPE'))
})
