// Misuse and bad luck during fit: each gets its typed error, and the model and the process stay usable.
import { data, manualSeed, nn, noGrad, normal, type Tensor, tensor, train, Variable, zeros } from 'quarterturn'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { takePending } from '../../src/tensor/queue.js'
import { Watch } from '../../src/train/history.js'
import { runModule } from '../child.js'
import { digest, fit, loader, loss, Net, type Points, quiet } from '../train/spiral.js'

type Options = Partial<train.FitOptions<Net, Points & { step: number }>>

let model: Net
beforeEach(() => {
  manualSeed(1)
  model = new Net()
})
/** Whatever happened, the model trains on, in its own mode, and nothing is left behind. */
afterEach(async () => {
  expect(model.training).toBe(true)
  expect(takePending()).toEqual([])
  const { epochs } = await fit(model)
  expect(epochs[0]!.loss).toBeGreaterThan(0)
})

const rejects = (options: Options, code: string, message = /./) =>
  expect(fit(model, options)).rejects.toMatchObject({ code, message: expect.stringMatching(message) })

test('a second fit of a model that is being fitted is refused, from outside and from a callback', async () => {
  const first = fit(model, { epochs: 2 })
  await rejects({}, 'ERR_BUSY')
  expect(() => train.start(model, loader(), quiet)).toThrowError(expect.objectContaining({ code: 'ERR_BUSY' }))
  await first
  const reentrant = { onEpochEnd: () => fit(model).then(() => {}) }
  await expect(fit(model, { callbacks: reentrant })).rejects.toMatchObject({
    code: 'ERR_CALLBACK',
    cause: { code: 'ERR_BUSY' },
  })
})

test('two models can be fitted at once, and each is what it would be alone', async () => {
  const [alone, a, b] = [new Net(), new Net(), new Net()]
  for (const other of [a, b]) other.loadStateDict(alone.stateDict())
  const history = await fit(alone, { epochs: 2 })
  expect(await Promise.all([fit(a, { epochs: 2 }), fit(b, { epochs: 2 })])).toEqual([history, history])
  expect(await digest(a)).toBe(await digest(alone))
  expect(await digest(b)).toBe(await digest(alone))
})

test('a callback that throws or rejects ends the run with what it threw as the cause', async () => {
  const cause = new Error('mine')
  const throwing = () => {
    throw cause
  }
  const failing: train.Callbacks[] = [
    { onEpochEnd: throwing },
    { onEpochEnd: () => Promise.reject(cause) },
    { onEnd: throwing },
    { onStep: throwing },
  ]
  for (const callbacks of failing) {
    await expect(fit(model, { callbacks, epochs: callbacks.onStep ? 100_000 : 2 })).rejects.toMatchObject({
      name: 'CallbackError',
      code: 'ERR_CALLBACK',
      message: expect.stringMatching(/on\w+ threw: mine/),
      cause,
    })
  }
  await rejects({ loss: throwing }, 'ERR_CALLBACK', /loss threw: mine/)
  await rejects({ validation: loader(), metrics: { bad: throwing } }, 'ERR_CALLBACK', /bad threw: mine/)
})

test('our own errors in the loss come through as they are', async () => {
  await rejects({ loss: (net, { x }) => net.forward(x.transpose()).sum() }, 'ERR_SHAPE', /matmul/)
  await rejects({ loss: (net, { y }) => net.forward(y.reshape([-1, 1])).sum() }, 'ERR_DTYPE')
  const gone = zeros([1])
  gone.dispose()
  await rejects({ loss: (net, batch) => loss(net, batch).add(gone) }, 'ERR_DISPOSED')
  let kept: Tensor | undefined
  const keeping: Options['loss'] = (net, batch) => {
    kept ??= net.forward(batch.x)
    return kept.sum()
  }
  await rejects({ loss: keeping }, 'ERR_DISPOSED')
})

test('a loss that is not a scalar, not a tensor, not synchronous, or without a gradient', async () => {
  await rejects({ loss: (net, { x }) => net.forward(x) }, 'ERR_ARGUMENT', /scalar/)
  await rejects({ loss: (() => 3) as never }, 'ERR_ARGUMENT', /scalar tensor, got number/)
  await rejects({ loss: (() => undefined) as never }, 'ERR_ARGUMENT')
  await rejects(
    { loss: (async (net: Net, batch: Points) => loss(net, batch)) as never },
    'ERR_ARGUMENT',
    /synchronous|Promise/,
  )
  await rejects({ loss: (net, batch) => noGrad(() => loss(net, batch)) }, 'ERR_ARGUMENT', /grad/)
})

test('an error that depends on data ends the run with its own code, and later steps are not stale', async () => {
  const far = (net: Net, { x, y, step }: Points & { step: number }) => {
    const picked = net.forward(x).indexSelect(0, step === 5 ? y.add(1000) : y)
    return picked.square().mean()
  }
  await rejects({ loss: far, epochs: 2 }, 'ERR_RANGE', /indexSelect/)
  await rejects(
    { validation: loader(), loss: (net, batch) => (net.training ? loss(net, batch) : far(net, { ...batch, step: 5 })) },
    'ERR_RANGE',
  )
  expect(takePending()).toEqual([])
})

test('a data source that throws ends the run with what it threw', async () => {
  const cause = new Error('no more data')
  async function* source() {
    for await (const batch of loader()) {
      if (batch.step === 3) throw cause
      yield batch
    }
  }
  await expect(train.fit(model, source(), quiet)).rejects.toBe(cause)
})

test('an abort before, during training or validation, and by time-out', async () => {
  const stopped = new AbortController()
  stopped.abort('enough')
  await expect(fit(model, { signal: stopped.signal })).rejects.toMatchObject({
    name: 'AbortedError',
    code: 'ERR_ABORTED',
    cause: 'enough',
  })
  for (const training of [true, false]) {
    const stop = new AbortController()
    let calls = 0
    const aborting: Options['loss'] = (net, batch) => {
      if (net.training === training && ++calls === 4) stop.abort()
      return loss(net, batch)
    }
    await expect(
      fit(model, { loss: aborting, validation: loader(), epochs: 9, signal: stop.signal }),
    ).rejects.toMatchObject({ code: 'ERR_ABORTED' })
    expect(calls).toBeLessThan(7)
  }
  await expect(fit(model, { epochs: 100_000, signal: AbortSignal.timeout(50) })).rejects.toMatchObject({
    code: 'ERR_ABORTED',
    cause: { name: 'TimeoutError' },
  })
})

test('an abort that comes when all is done changes nothing', async () => {
  const stop = new AbortController()
  const { ended } = await fit(model, { signal: stop.signal, callbacks: { onEpochEnd: () => stop.abort() } })
  expect(ended).toBe('epochs')
})

// ---- NaN -----------------------------------------------------------------------------------------------------------

/** Without dropout, so that a run without the bad batch draws the same. */
const steady = (net: Net, batch: Points) => nn.functional.crossEntropy(net.eval().forward(batch.x), batch.y)

async function batchesWith(bad: number): Promise<(Points & { step: number })[]> {
  const batches: (Points & { step: number })[] = []
  for await (const batch of loader({ shuffle: false }))
    batches.push(batch.step === bad ? { ...batch, x: batch.x.mul(Number.NaN) } : batch)
  return batches
}

const finite = async (net: Net): Promise<boolean> => {
  for (const tensor of net.stateDict().values()) if (!(await tensor.isFinite().all().item())) return false
  return true
}

test('NaN in the data, policy error: the step and a parameter are named, and the weights are finite', async () => {
  const failing = train.fit(model, await batchesWith(7), { ...quiet, loss: steady })
  await expect(failing).rejects.toMatchObject({
    name: 'NotFiniteError',
    code: 'ERR_NOT_FINITE',
    message: expect.stringMatching(/step 7 .*(first|second)/),
  })
  expect(await finite(model)).toBe(true)
})

test('policy skip: as if the batch had not been there', async () => {
  const clean = new Net()
  clean.loadStateDict(model.stateDict())
  const batches = await batchesWith(7)
  const skipping = await train.fit(model, batches, { ...quiet, loss: steady, epochs: 2, notFinite: 'skip' })
  const without = await train.fit(
    clean,
    batches.filter(({ step }) => step !== 7),
    { ...quiet, loss: steady, epochs: 2 },
  )
  expect(skipping.epochs).toEqual(without.epochs.map((record) => ({ ...record, skipped: 1 })))
  expect(await digest(model)).toBe(await digest(clean))
})

test('policy stop: the run ends with the epochs done', async () => {
  const { epochs, ended } = await train.fit(model, await batchesWith(7), {
    ...quiet,
    loss: steady,
    epochs: 5,
    notFinite: 'stop',
  })
  expect([epochs.length, ended]).toEqual([0, 'notFinite'])
  expect(await finite(model)).toBe(true)
})

test('a gradient that is not finite behind a finite loss is noticed too', async () => {
  const sharp = (net: Net, batch: Points) => steady(net, batch).add(net.first.mul(0).abs().sqrt().sum())
  await expect(fit(model, { loss: sharp })).rejects.toMatchObject({
    code: 'ERR_NOT_FINITE',
    message: expect.stringContaining('first'),
  })
  const before = await digest(model)
  expect((await fit(model, { loss: sharp, notFinite: 'stop' })).ended).toBe('notFinite')
  await fit(model, { loss: sharp, notFinite: 'skip' })
  expect(await digest(model)).toBe(before)
})

test('the best epoch is never one that is not finite', () => {
  const watch = new Watch({ patience: 2 })
  const told = [Number.NaN, 3, Number.NEGATIVE_INFINITY, 2].map((validationLoss, i) =>
    watch.add({ epoch: i + 1, loss: 1, validationLoss }),
  )
  expect(told).toEqual([false, true, false, true])
  expect(watch.best?.epoch).toBe(4)
})

// ---- Options -------------------------------------------------------------------------------------------------------

test('options that make no sense are refused before anything happens', async () => {
  const before = await digest(model)
  const wrong: Record<string, unknown>[] = [
    { epochs: 0 },
    { epochs: Number.NaN },
    { epochs: '3' },
    { keep: 0 },
    { clipNorm: 0 },
    { clipNorm: Number.NaN },
    { notFinite: 'ignore' },
    { checkpoints: '' },
    { checkpoints: 3 },
    { checkpointEvery: 5 },
    { checkpointEvery: 0.5, checkpoints: '/tmp/never' },
    { resume: 'auto' },
    { resume: true },
    { validation: 3 },
    { metrics: { accuracy: () => tensor(1) } },
    { metrics: { loss: () => tensor(1) }, validation: [] },
    { earlyStopping: { patience: 0 } },
    { earlyStopping: { patience: 1, minDelta: -1 } },
    { seed: -1 },
  ]
  for (const options of wrong)
    await expect([options, await fit(model, options as Options).catch((error) => error.code)]).toEqual([
      options,
      'ERR_ARGUMENT',
    ])
  for (const bad of [undefined, null, 3, {}])
    await expect(train.fit(model, bad as never, quiet)).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  expect(() => train.start(model, loader(), { ...quiet, epochs: -1 })).toThrowError(
    expect.objectContaining({ code: 'ERR_ARGUMENT' }),
  )
  expect(await digest(model)).toBe(before)
})

test('data without a batch give an epoch without a loss, not a hang', async () => {
  const { epochs, best } = await train.fit(model, [], quiet)
  expect(epochs).toEqual([{ epoch: 1, loss: Number.NaN }])
  expect(best).toBeUndefined()
})

test('a model without parameters is an error', async () => {
  class Empty extends nn.Module {
    forward(x: Tensor): Tensor {
      return x
    }
  }
  await expect(
    train.fit(new Empty(), loader(), { ...quiet, loss: (_: Empty, { x }: Points) => x.sum() } as never),
  ).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
})

// ---- start ---------------------------------------------------------------------------------------------------------

test('start: an error comes from the loop and from history', async () => {
  const run = train.start(model, loader(), { ...quiet, loss: (net, { x }) => net.forward(x) })
  const watching = (async () => {
    for await (const _ of run);
  })()
  await expect(watching).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  await expect(run.history).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
})

test('start: an error that nobody looks at ends the process', async () => {
  const { code, stderr } = await runModule(`
    import { data, nn, optim, train, Variable, zeros } from 'quarterturn'
    class Net extends nn.Module { w = new Variable(zeros([1])); forward(x) { return this.w } }
    train.start(new Net(), [1], { loss: () => { throw new Error('unseen') }, optimizer: optim.sgd({ lr: 1 }) })
  `)
  expect(code).toBe(1)
  expect(stderr).toContain('unseen')
})

test('start: a loop that throws stops the run', async () => {
  const run = train.start(model, loader(), { ...quiet, epochs: 100_000 })
  const watching = (async () => {
    for await (const _ of run) throw new Error('mine')
  })()
  await expect(watching).rejects.toThrow('mine')
  expect((await run.history).ended).toBe('stopped')
})

// ---- Exits ---------------------------------------------------------------------------------------------------------

test('process.exit and an uncaught throw during fit keep their exit codes', async () => {
  const program = (last: string): string => `
    import { data, nn, normal, optim, train, Variable } from 'quarterturn'
    class Net extends nn.Module { w = new Variable(normal([64, 64])); forward(x) { return x.matmul(this.w) } }
    const loader = new data.Loader({ x: { data: new Float32Array(6400).fill(0.5), shape: [100, 64] } }, { batch: 4 })
    const fitting = train.fit(new Net(), loader, { loss: (m, { x }) => m.forward(x).square().mean(), optimizer: optim.sgd({ lr: 1e-3 }), epochs: 1e6, progress: false })
    ${last}
  `
  const ends = await Promise.all([
    runModule(program('setTimeout(() => process.exit(7), 100)')),
    runModule(program("setTimeout(() => { throw new Error('mine') }, 100)")),
    runModule(program("setTimeout(() => process.kill(process.pid, 'SIGTERM'), 100)")),
  ])
  expect(ends.map(({ code, signal }) => [code, signal])).toEqual([
    [7, null],
    [1, null],
    [null, 'SIGTERM'],
  ])
})

test('a model whose forward uses data of one device only says so', async () => {
  const rowsOfTwo = new data.Loader({ x: [[0.5, 1]], y: [0] }, { batch: 1 })
  class Lost extends Net {
    offset = new Variable(normal([3]))
    override forward(x: Tensor): Tensor {
      return super.forward(x).add(this.offset)
    }
  }
  await expect(fit(new Lost(), {}, rowsOfTwo as never)).rejects.toMatchObject({
    code: 'ERR_SHAPE',
    message: expect.stringContaining('add'),
  })
})
