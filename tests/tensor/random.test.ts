// Randomness: counters drawn when recorded, so the same program gives the same numbers.
import {
  dropout,
  Generator,
  generator,
  manualSeed,
  normal,
  permutation,
  randint,
  setThreads,
  type Tensor,
  threads,
  uniform,
  withGenerator,
  zeros,
} from 'quarterturn'
import { expect, test } from 'vitest'

const list = async (x: Tensor): Promise<number[]> => Array.from((await x.data()) as ArrayLike<number>)

test('the same seed gives the same numbers, another seed others', async () => {
  const draw = async (seed: number): Promise<number[]> => {
    manualSeed(seed)
    return [
      ...(await list(uniform([5]))),
      ...(await list(normal([5]))),
      ...(await list(dropout(zeros([8]).add(1), 0.5))),
    ]
  }
  expect(await draw(1)).toEqual(await draw(1))
  expect(await draw(1)).not.toEqual(await draw(2))
})

test('numbers do not depend on the number of threads', async () => {
  const before = threads()
  const draw = async (n: number): Promise<number[]> => {
    setThreads(n)
    manualSeed(5)
    return list(normal([100_001]))
  }
  const [one, two] = [await draw(1), await draw(2)]
  setThreads(before)
  expect(one).toEqual(two)
})

test('a generator continues exactly where its state was taken', async () => {
  const g = manualSeed(9)
  await list(uniform([3]))
  const state = g.state()
  const first = await list(normal([7]))
  g.restore(state)
  expect(await list(normal([7]))).toEqual(first)
})

test('moments and ranges are those of the distributions', async () => {
  manualSeed(0)
  const n = 200_000
  const z = await list(normal([n], 2, 3))
  const mean = z.reduce((a, b) => a + b, 0) / n
  const sd = Math.sqrt(z.reduce((a, b) => a + (b - mean) ** 2, 0) / n)
  expect(Math.abs(mean - 2)).toBeLessThan(0.03)
  expect(Math.abs(sd - 3)).toBeLessThan(0.03)
  const u = await list(uniform([n], -1, 1))
  expect(Math.min(...u.slice(0, 50_000))).toBeGreaterThanOrEqual(-1)
  expect(Math.max(...u.slice(0, 50_000))).toBeLessThan(1)
  expect(Math.abs(u.reduce((a, b) => a + b, 0) / n)).toBeLessThan(0.01)
  const kept = (await list(dropout(zeros([n]).add(1), 0.25))).filter((x) => x !== 0)
  expect(Math.abs(kept.length / n - 0.75)).toBeLessThan(0.005)
  expect(kept[0]).toBeCloseTo(4 / 3, 6)
  const r = (await list(randint([10_000], -2, 3) as never)).map(Number)
  expect([...new Set(r)].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2])
})

test('a permutation holds every number once, and is not the identity', async () => {
  manualSeed(4)
  const p = (await list(permutation(1000) as never)).map(Number)
  expect([...p].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i))
  expect(p).not.toEqual([...p].sort((a, b) => a - b))
})

test('a generator of one’s own leaves the ambient one alone', async () => {
  manualSeed(1)
  const before = generator().state()
  withGenerator(new Generator(2), () => uniform([10]))
  expect(generator().state()).toEqual(before)
})

test('forked generators are independent and reproducible', async () => {
  const draw = (g: Generator): Promise<number[]> => withGenerator(g, () => list(uniform([4])))
  const a = new Generator(3)
  const [first, second] = [a.fork(), a.fork()]
  expect(await draw(first)).not.toEqual(await draw(second))
  expect(await draw(new Generator(3).fork())).toEqual(await draw(new Generator(3).fork()))
})

test('seeds out of range are refused', () => {
  for (const seed of [-1, 1.5, Number.NaN, 2 ** 60])
    expect(() => manualSeed(seed)).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  expect(() => manualSeed(2n ** 64n)).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
})
