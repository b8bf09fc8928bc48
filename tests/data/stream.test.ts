// stream: samples of any source in batches, no more taken than needed, shuffled by blocks, continued exactly.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { data, manualSeed, nn, optim, type Tensor, train } from 'quarterturn'
import { expect, test } from 'vitest'

type Sample = { id: number; x: readonly number[] }
const sample = (id: number): Sample => ({ id, x: [id / 2, 0.25] })
function* samples(n: number): Generator<Sample> {
  for (let id = 0; id < n; id++) yield sample(id)
}
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i)

/** The ids of the batches of one pass. */
async function ids(loader: AsyncIterable<data.Batch<Sample>>, most = Infinity): Promise<number[][]> {
  const found: number[][] = []
  for await (const { id, x, step } of loader) {
    expect(step % 1).toBe(0)
    const own = Array.from(await id.data(), Number)
    expect(await x.toArray()).toEqual(own.map((i) => [i / 2, 0.25]))
    found.push(own)
    if (found.length === most) break
  }
  return found
}

/** Counts what is taken and whether it was closed; can be put at a place. */
class Counter implements AsyncIterable<Sample>, data.StatefulSource {
  taken = 0
  closed = 0
  #at = 0
  constructor(readonly n: number) {}
  state(): unknown {
    return { at: this.#at }
  }
  restore(state: unknown): void {
    this.#at = (state as { at: number }).at
  }
  async *[Symbol.asyncIterator](): AsyncGenerator<Sample> {
    try {
      while (this.#at < this.n) {
        this.taken++
        yield sample(this.#at++)
      }
      this.#at = 0
    } finally {
      this.closed++
    }
  }
}

test('arrays, generators, async iterables, Node and web streams give the same batches', async () => {
  const web = () =>
    new ReadableStream<Sample>({
      start(controller) {
        for (const each of samples(10)) controller.enqueue(each)
        controller.close()
      },
    }) as unknown as AsyncIterable<Sample>
  const sources: (data.SampleSource<Sample> | (() => data.SampleSource<Sample>))[] = [
    [...samples(10)],
    samples(10),
    () => samples(10),
    new Counter(10),
    Readable.from(samples(10)),
    web(),
    web,
  ]
  for (const source of sources) {
    expect(await ids(data.stream(source, { batch: 4 }))).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9],
    ])
  }
  expect(await ids(data.stream(() => samples(10), { batch: 4, dropLast: true }))).toEqual([
    [0, 1, 2, 3],
    [4, 5, 6, 7],
  ])
})

test('no more samples are taken than the next batch needs, and a loop that is left closes the source', async () => {
  const source = new Counter(1000)
  for await (const { step } of data.stream(source, { batch: 8 })) {
    expect(source.taken).toBe(8 * (step + 1))
    if (step === 4) break
  }
  expect([source.taken, source.closed]).toEqual([40, 1])
  const endless = Readable.from(
    (function* () {
      for (let id = 0; ; id++) yield sample(id)
    })(),
  )
  await ids(data.stream<Sample>(endless, { batch: 4 }), 2)
  expect(endless.destroyed).toBe(true)
})

test('shuffling keeps every sample once, within its block, in another order each epoch', async () => {
  const loader = data.stream(() => samples(100), { batch: 8, shuffleBuffer: 30, seed: 3 })
  const [first, second] = [(await ids(loader)).flat(), (await ids(loader)).flat()]
  for (const order of [first, second]) {
    expect([...order].sort((a, b) => a - b)).toEqual(range(100))
    for (const [at, id] of order.entries()) expect(Math.floor(id / 32)).toBe(Math.floor(at / 32))
  }
  expect(first).not.toEqual(second)
  expect(first).not.toEqual(range(100))
})

test('a saved state continues exactly, from any batch of any epoch; a source with a state is not read from its start', async () => {
  const make = (source: () => data.SampleSource<Sample>) =>
    data.stream(source, { batch: 4, shuffleBuffer: 10, seed: 5 })
  const whole = make(() => new Counter(50))
  const epochs = [await ids(whole), await ids(whole)]
  for (const [epoch, at] of [
    [0, 0],
    [0, 1],
    [0, 3],
    [0, 12],
    [1, 2],
    [1, 5],
  ] as const) {
    const before = make(() => new Counter(50))
    if (epoch === 1) await ids(before)
    const head = at === 0 ? [] : await ids(before, at)
    const state = JSON.parse(JSON.stringify(before.state())) as data.StreamState
    const source = new Counter(50)
    const after = make(() => source)
    after.restore(state)
    expect([...head, ...(await ids(after))]).toEqual(epochs[epoch])
    expect(source.taken).toBeLessThanOrEqual(50 - Math.floor(at / 3) * 12)
    if (epoch === 0) expect(await ids(after)).toEqual(epochs[1])
  }
})

test('a source without a state is passed over, with a warning', async () => {
  const warnings: string[] = []
  const heard = (warning: Error & { code?: string }) => warnings.push(String(warning.code))
  process.on('warning', heard)
  const make = () => data.stream(() => samples(30), { batch: 4, shuffleBuffer: 8, seed: 1 })
  const whole = await ids(make())
  const before = make()
  const head = await ids(before, 3)
  const after = make()
  after.restore(before.state())
  expect([...head, ...(await ids(after))]).toEqual(whole)
  await new Promise((resolve) => setImmediate(resolve))
  process.off('warning', heard)
  expect(warnings).toEqual(['QUARTERTURN_PASSED_OVER'])
})

test('sequences are padded to the longest of their batch', async () => {
  const source = [[1], [2, 3, 4], [5, 6]].map((words) => ({ words }))
  const shapes: unknown[] = []
  for await (const { words } of data.stream(source, { batch: 2, padding: { words: 0 } }))
    shapes.push(await words.toArray())
  expect(shapes).toEqual([
    [
      [1, 0, 0],
      [2, 3, 4],
    ],
    [[5, 6]],
  ])
})

test('a second pass over a source that can be gone through once, and samples that do not fit, are refused', async () => {
  for (const source of [samples(4), Readable.from(samples(4))]) {
    const loader = data.stream<Sample>(source)
    await ids(loader)
    await expect(ids(loader)).rejects.toMatchObject({ code: 'ERR_ARGUMENT', expected: 'a function' })
  }
  const odd = [sample(0), { id: 1 } as Sample]
  await expect(ids(data.stream(odd))).rejects.toMatchObject({ code: 'ERR_ARGUMENT', got: 'id' })
  await expect(ids(data.stream([null as unknown as Sample]))).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  await expect(ids(data.stream(() => 7 as unknown as Sample[]))).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  expect(() => data.stream(7 as unknown as Sample[])).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  const state = data.stream([sample(0)], { batch: 2 }).state()
  expect(() => data.stream([sample(0)], { batch: 3 }).restore(state)).toThrowError(
    expect.objectContaining({ code: 'ERR_CHECKPOINT' }),
  )
  const failing = data.stream(function* () {
    yield sample(0)
    throw new RangeError('no more')
  })
  await expect(ids(failing)).rejects.toThrow('no more')
})

test('fit takes a stream as it is', async () => {
  const points = data.stream(
    function* () {
      for (let i = 0; i < 512; i++) yield { x: [Math.sin(i)], y: [3 * Math.sin(i) + 1] }
    },
    { batch: 32, shuffleBuffer: 128, seed: 2 },
  )
  const history = await train.fit(new nn.Linear(1, 1), points, {
    loss: (model, { x, y }) => nn.functional.mseLoss(model.forward(x), y),
    optimizer: optim.adamW({ lr: 0.1 }),
    epochs: 5,
    progress: false,
  })
  expect(history.epochs.at(-1)?.loss).toBeLessThan(0.01)
})

test('a run over a stream that is stopped within an epoch and resumed ends with the same weights', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'quarterturn-stream-'))
  const points = () =>
    data.stream(
      function* () {
        for (let i = 0; i < 200; i++) yield { x: [Math.sin(i), Math.cos(i)], y: [Math.sin(2 * i)] }
      },
      { batch: 8, shuffleBuffer: 40, seed: 4 },
    )
  const train3 = async (options: object) => {
    manualSeed(1)
    const model = new nn.Linear(2, 1)
    const history = await train.fit(model, points(), {
      loss: (it, { x, y }) => nn.functional.mseLoss(it.forward(x), y),
      optimizer: optim.adamW({ lr: 0.01 }),
      epochs: 3,
      seed: 1,
      progress: false,
      ...options,
    })
    return { history, weights: await model.weight.toArray() }
  }
  const whole = await train3({})
  const stop = new AbortController()
  let made = 0
  const loss = (it: nn.Linear, { x, y }: { x: Tensor; y: Tensor }) => {
    if (++made === 37) stop.abort()
    return nn.functional.mseLoss(it.forward(x), y)
  }
  await expect(train3({ checkpoints: folder, signal: stop.signal, loss })).rejects.toThrow()
  expect(made).toBeLessThan(40)
  const resumed = await train3({ checkpoints: folder, resume: 'auto' })
  expect(resumed.weights).toEqual(whole.weights)
  expect(resumed.history.epochs).toHaveLength(3)
  rmSync(folder, { recursive: true })
})
