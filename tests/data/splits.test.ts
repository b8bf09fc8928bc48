// Splits: every row in one part, groups whole, labels in proportion, hashes that stay; weights of classes; packing.
import { data } from 'quarterturn'
import { expect, test } from 'vitest'

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i)
const sizes = ({ training, validation, test }: data.Split) => [training.length, validation.length, test.length]
const whole = ({ training, validation, test }: data.Split) =>
  [...training, ...validation, ...test].sort((a, b) => a - b)

test('each row is in exactly one part, and parts have their shares', () => {
  const split = data.splitRows(1000, { validation: 0.2, test: 0.1, seed: 3 })
  expect(sizes(split)).toEqual([700, 200, 100])
  expect(whole(split)).toEqual(range(1000))
  expect(split).toEqual(data.splitRows(1000, { validation: 0.2, test: 0.1, seed: 3 }))
  expect(split.validation).not.toEqual(data.splitRows(1000, { validation: 0.2, test: 0.1, seed: 4 }).validation)
  expect(data.splitRows(10, { validation: 0.5 }).test).toEqual(new Int32Array(0))
})

test('labels keep their proportions in all parts', () => {
  const labels = range(600).map((i) => (i % 6 === 0 ? 'rare' : 'common'))
  const split = data.splitStratified(labels, { validation: 0.2, test: 0.1, seed: 1 })
  const rare = (rows: Int32Array) => [...rows].filter((row) => labels[row] === 'rare').length
  expect([rare(split.training), rare(split.validation), rare(split.test)]).toEqual([70, 20, 10])
  expect(sizes(split)).toEqual([420, 120, 60])
})

test('groups are never torn apart, and parts are as large as asked to within a group', () => {
  const groups = range(2000).map((i) => `g${Math.floor(Math.sqrt(i))}`)
  const split = data.splitByGroup(groups, { validation: 0.25, test: 0.1, seed: 5 })
  const of = (rows: Int32Array) => new Set([...rows].map((row) => groups[row]))
  const [a, b, c] = [of(split.training), of(split.validation), of(split.test)]
  expect([...a, ...b, ...c].length).toBe(new Set(groups).size)
  expect(whole(split)).toEqual(range(2000))
  expect(Math.abs(split.validation.length - 500)).toBeLessThan(50)
  expect(Math.abs(split.test.length - 200)).toBeLessThan(50)
})

test('a hash keeps rows in their parts when others are added, and is what it always was', () => {
  const keys = range(5000).map((i) => `user-${i}`)
  const split = data.splitByHash(keys, { validation: 0.2, test: 0.1 })
  const fewer = data.splitByHash(keys.slice(0, 1000), { validation: 0.2, test: 0.1 })
  expect([...split.validation].filter((row) => row < 1000)).toEqual([...fewer.validation])
  expect(Math.abs(split.validation.length - 1000)).toBeLessThan(100)
  expect(data.splitByHash(keys, { validation: 0.2, salt: 'b' }).validation).not.toEqual(split.validation)
  // Written down once: another hash would move rows of existing data from part to part.
  expect([...fewer.test.subarray(0, 8)]).toEqual([1, 23, 40, 44, 47, 53, 59, 69])
})

test('rare classes weigh more: N / (C · n)', () => {
  expect(data.classWeights([0, 0, 0, 1])).toEqual(Float32Array.of(4 / 6, 2))
  expect(data.classWeights(BigInt64Array.of(0n, 2n), 4)).toEqual(Float32Array.of(1, 0, 1, 0))
})

test('a loader over a part gives the rows of that part alone, shuffled and continued as any other', async () => {
  const rows = data.splitRows(40, { validation: 0.25, seed: 2 }).validation
  const make = () => new data.Loader({ id: range(40) }, { rows, batch: 4, shuffle: true, seed: 1 })
  const seen = async (loader: ReturnType<typeof make>) => {
    const ids: number[] = []
    for await (const { id } of loader) ids.push(...Array.from(await id.data(), Number))
    return ids
  }
  const loader = make()
  expect(loader.rows).toBe(10)
  const order = await seen(loader)
  expect(order).not.toEqual([...rows])
  expect([...order].sort((a, b) => a - b)).toEqual([...rows])
  const plain = new data.Loader({ id: range(40) }, { rows: [7, 3], batch: 1 })
  expect(await seen(plain as ReturnType<typeof make>)).toEqual([7, 3])
  for (const wrong of [[40], [-1], [0.5]]) {
    expect(() => new data.Loader({ id: range(40) }, { rows: wrong })).toThrowError(
      expect.objectContaining({ code: 'ERR_RANGE' }),
    )
  }
})

test('packed rows hold every sequence whole, with segments and positions, and little padding', () => {
  const sequences = range(500).map((i) => range(1 + ((i * 13) % 60)).map((t) => 1000 * i + t + 1))
  const { tokens, segments, positions } = data.packSequences(sequences, { length: 64, padding: -1 })
  const found = new Map<number, number[]>()
  tokens.data.forEach((token, at) => {
    expect(token === -1).toBe(segments.data[at] === 0)
    if (token === -1) return
    const i = Math.floor((token - 1) / 1000)
    expect(positions.data[at]).toBe((token - 1) % 1000)
    found.set(i, [...(found.get(i) ?? []), token])
  })
  for (const [i, sequence] of sequences.entries()) expect(found.get(i)).toEqual(sequence)
  const steps = sequences.reduce((sum, { length }) => sum + length, 0)
  expect(steps / tokens.data.length).toBeGreaterThan(0.97)
})

test('what cannot be is refused', () => {
  const cases: (() => unknown)[] = [
    () => data.splitRows(0, { validation: 0.5 }),
    () => data.splitRows(10, { validation: 0 }),
    () => data.splitByHash(['a'], { validation: 0.9, test: 0.1 }),
    () => data.splitByGroup(['a'], { validation: Number.NaN }),
    () => data.splitStratified(['a'], { validation: 0.5, test: -0.1 }),
    () => data.classWeights([]),
    () => data.classWeights([0, 1.5]),
    () => data.classWeights([3], 3),
    () => data.packSequences([[1, 2]], { length: 1 }),
    () => data.packSequences([[]], { length: 1 }),
  ]
  for (const run of cases) expect(run).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
})
