// windows: every window where it belongs, nothing of the validation part in the scaling, exact continuation.
import { data, nn, optim, type Tensor, tensor, train } from 'quarterturn'
import { expect, test } from 'vitest'

const numbers = (n: number, of = (i: number) => i): Float64Array => Float64Array.from({ length: n }, (_, i) => of(i))

/** All windows of a loader, as nested arrays, in the order in which they come. */
async function all(loader: data.WindowLoader, most = Infinity) {
  const found: { past: number[][]; future: number[][] }[] = []
  let batches = 0
  for await (const { past, future } of loader) {
    const [pasts, futures] = [(await past.toArray()) as number[][][], (await future.toArray()) as number[][][]]
    for (const [i, window] of pasts.entries()) found.push({ past: window, future: futures[i] as number[][] })
    if (++batches === most) break
  }
  return found
}

test('a window is past and future, one after the other; parts share no step', async () => {
  const table = data.Table.of({ a: numbers(20), b: numbers(20, (i) => 100 + i) })
  const cut = data.windows(table, { past: 3, future: 2, stride: 2, scale: 'none', shuffle: false, targets: 1 })
  expect(cut.length).toBe(8)
  const { training, validation } = cut.splitByTime(0.6)
  const first = await all(training)
  expect(first.map(({ past }) => past[0]?.[0])).toEqual([0, 2, 4, 6])
  expect(first[1]).toEqual({
    past: [
      [2, 102],
      [3, 103],
      [4, 104],
    ],
    future: [[5], [6]],
  })
  expect((await all(validation)).map(({ past, future }) => [past[0]?.[0], future[1]?.[0]])).toEqual([
    [12, 16],
    [14, 18],
  ])
  const three = cut.splitByTime(0.5, 0.25)
  expect([three.training.rows, three.validation.rows, three.test.rows]).toEqual([3, 1, 1])
  expect(cut.loader().rows).toBe(8)
})

test('the scaling is fitted on the training part alone, and its inverse gives the data back', async () => {
  const series = numbers(100, (i) => (i < 80 ? Math.sin(i) : 1e6))
  const training = series.subarray(0, 80)
  const mean = training.reduce((sum, x) => sum + x, 0) / 80
  const deviation = Math.sqrt(training.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 80)
  const parts = data.windows(series, { past: 6, future: 2, shuffle: false }).splitByTime(0.8)
  expect(parts.training.scaling.offset[0]).toBeCloseTo(mean, 12)
  expect(parts.training.scaling.factor[0]).toBeCloseTo(deviation, 12)
  expect(parts.validation.scaling).toBe(parts.training.scaling)
  const scaled = (await all(parts.training))[3]?.past as number[][]
  expect(scaled[0]?.[0]).toBeCloseTo((Math.sin(3) - mean) / deviation, 5)
  expect(parts.training.scaling.inverse(scaled)[5]?.[0]).toBeCloseTo(Math.sin(8), 5)
  const minmax = data.windows(series, { past: 6, future: 2, scale: 'minmax' }).splitByTime(0.8).training.scaling
  expect([minmax.offset[0], minmax.factor[0]]).toEqual([
    Math.min(...training),
    Math.max(...training) - Math.min(...training),
  ])
  const again = new data.Scaling(JSON.parse(JSON.stringify(minmax)) as data.ScalingData)
  expect(again.apply([[0.25]])).toEqual(minmax.apply([[0.25]]))
})

test('scaling works on tensors as on arrays, on the first columns too, and leaves a constant column finite', async () => {
  const scaling = data.Scaling.fit(data.Table.of({ a: [1, 3], b: [5, 5], c: [0, Number.NaN] }))
  expect(scaling.factor).toEqual([1, 1, 1])
  expect(scaling.apply([3, 5])).toEqual([1, 0])
  const x = tensor([[3, 6]])
  expect(await scaling.apply(x).toArray()).toEqual([[1, 1]])
  expect(await scaling.inverse(scaling.apply(x)).toArray()).toEqual([[3, 6]])
  expect(() => scaling.apply([1, 2, 3, 4])).toThrowError(expect.objectContaining({ code: 'ERR_SHAPE' }))
})

test('no window reaches from one series into another', async () => {
  const tables = [10, 4, 9].map((n, k) => data.Table.of({ x: numbers(n, (i) => 100 * k + i) }))
  const found = await all(data.windows(tables, { past: 3, future: 2, scale: 'none', shuffle: false }).loader())
  const starts = found.map(({ past }) => past[0]?.[0])
  expect(starts).toEqual([0, 1, 2, 3, 4, 5, 200, 201, 202, 203, 204])
  for (const { past, future } of found) {
    const steps = [...past, ...future].flat()
    expect(steps).toEqual(steps.map((_, t) => (steps[0] as number) + t))
  }
})

test('training is shuffled from a seed, and a saved state continues it exactly', async () => {
  const make = () =>
    data.windows(numbers(200), { past: 4, future: 1, batch: 16, scale: 'none', seed: 7 }).splitByTime(0.8)
  const whole = await all(make().training)
  expect(whole.map(({ past }) => past[0]?.[0]).sort((a, b) => (a as number) - (b as number))).toEqual([...numbers(156)])
  const before = make().training
  const head = await all(before, 3)
  const after = make().training
  after.restore(before.state())
  expect([...head, ...(await all(after))]).toEqual(whole)
})

test('values that are missing, parts that are too short and wrong options are refused', () => {
  const holes = data.Table.of({ x: [1, 2, Number.NaN, 4], y: [1, 2, 3, 4] })
  const cases: (() => unknown)[] = [
    () => data.windows(holes, { past: 1, future: 1 }),
    () => data.windows(numbers(10), { past: 0, future: 1 }),
    () => data.windows(numbers(10), { past: 1, future: 1, targets: 2 }),
    () => data.windows(numbers(10), { past: 1, future: 1, scale: 'log' as 'none' }).loader(),
    () => data.windows(numbers(10), { past: 8, future: 3 }).loader(),
    () => data.windows(numbers(100), { past: 8, future: 3 }).splitByTime(0.95),
    () => data.windows(numbers(100), { past: 8, future: 3 }).splitByTime(1),
    () => data.windows(numbers(100), { past: 8, future: 3 }).splitByTime(0.6, 0.4),
    () => data.windows([holes.select('y'), holes.select('x')], { past: 1, future: 1 }),
    () => data.windows('x' as unknown as number[], { past: 1, future: 1 }),
  ]
  for (const run of cases) expect(run).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  expect(() => data.windows(holes, { past: 1, future: 1 })).toThrowError('x is NaN in row 2')
  const texts = data.Table.of({ x: ['a', 'b', 'c'] })
  expect(() => data.windows(texts, { past: 1, future: 1 })).toThrowError(expect.objectContaining({ code: 'ERR_DTYPE' }))
})

test('fit takes the parts as they are', async () => {
  const { training, validation } = data
    .windows(
      numbers(300, (i) => Math.sin(i / 5)),
      { past: 10, future: 2, seed: 1 },
    )
    .splitByTime(0.8)
  const model = new nn.Linear(10, 2)
  const loss = (it: nn.Linear, { past, future }: { past: Tensor; future: Tensor }) =>
    nn.functional.mseLoss(it.forward(past.select(2, 0)), future.select(2, 0))
  const history = await train.fit(model, training, {
    validation,
    loss,
    optimizer: optim.adamW({ lr: 0.03 }),
    epochs: 6,
    progress: false,
  })
  expect(history.epochs.at(-1)?.validationLoss).toBeLessThan(0.1 * (history.epochs[0]?.loss as number))
})
