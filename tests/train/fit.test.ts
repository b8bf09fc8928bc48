// fit: it equals the loop that a user would write, learns, validates, stops early, and tells how it goes.
import {
  data,
  dropout,
  Generator,
  grad,
  manualSeed,
  memory,
  nn,
  noGrad,
  normal,
  optim,
  type Tensor,
  tensor,
  train,
  Variable,
  withGenerator,
} from 'quarterturn'
import { beforeEach, expect, test } from 'vitest'
import { Progress } from '../../src/train/progress.js'
import { adamW, digest, fit, loader, loss, Net, type Points, quiet, rows } from './spiral.js'

beforeEach(() => {
  manualSeed(1)
})

test('it learns: the loss falls, and history.best is the best epoch', async () => {
  const { epochs, best, ended } = await fit(new Net(), { epochs: 40 })
  expect(epochs.map(({ epoch }) => epoch)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1))
  expect(epochs.at(-1)!.loss).toBeLessThan(0.5 * epochs[0]!.loss)
  expect(best).toEqual([...epochs].sort((a, b) => a.loss - b.loss)[0])
  expect(ended).toBe('epochs')
})

test('it equals the loop written by hand, bit for bit', async () => {
  const fitted = new Net()
  const looped = new Net()
  looped.loadStateDict(fitted.stateDict())
  const { epochs } = await fit(fitted, { epochs: 2, clipNorm: 1 })

  const optimizer = adamW(looped.parameters())
  const own = new Generator(7)
  const batches = loader()
  const means: number[] = []
  for (let epoch = 0; epoch < 2; epoch++) {
    let sum = 0
    for await (const batch of batches) {
      const value = withGenerator(own, () => loss(looped, batch))
      optimizer.step(grad(value, looped.parameters()).clipByNorm(1))
      sum += (await value.item()) * (batch.x.shape[0] as number)
    }
    means.push(sum / rows)
  }
  expect(epochs.map((epoch) => epoch.loss)).toEqual(means)
  expect(await digest(fitted)).toBe(await digest(looped))
})

test('the same seeds give the same weights and history; another seed does not', async () => {
  const run = async (seed: number) => {
    manualSeed(3)
    const model = new Net()
    const history = await fit(model, { epochs: 2, seed })
    return [await digest(model), history.epochs]
  }
  const first = await run(1)
  expect(await run(1)).toEqual(first)
  expect((await run(2))[0]).not.toBe(first[0])
})

test('without a seed the run draws from the ambient generator, and leaves it in place', async () => {
  const run = async () => {
    const ambient = manualSeed(3)
    const model = new Net()
    await fit(model, { seed: undefined })
    expect((await import('quarterturn')).generator()).toBe(ambient)
    return digest(model)
  }
  expect(await run()).toBe(await run())
})

test('validation runs in eval mode without gradients, averaged over rows; metrics get their names', async () => {
  const model = new Net()
  const seen: [boolean, boolean][] = []
  const validation = loader({ shuffle: false, batch: 48 })
  const accuracy = (net: Net, { x, y }: Points) => net.forward(x).argmax(-1).eq(y).to('float32').mean()
  const { epochs } = await fit(model, {
    validation,
    metrics: {
      accuracy: (net, batch) => {
        seen.push([net.training, net.forward(batch.x).requiresGrad])
        return accuracy(net, batch)
      },
    },
  })
  expect(seen).toEqual(Array.from({ length: 5 }, () => [false, false]))
  expect(Object.keys(epochs[0]!)).toEqual(['epoch', 'loss', 'validationLoss', 'accuracy'])
  model.eval()
  for await (const batch of loader({ shuffle: false, batch: rows })) {
    expect(epochs[0]!.validationLoss).toBeCloseTo(await loss(model, batch).item(), 5)
    expect(epochs[0]!.accuracy).toBeCloseTo(await accuracy(model, batch).item(), 6)
  }
})

test('the model is in train mode during the loss only, and keeps its own mode outside', async () => {
  const model = new Net()
  model.eval()
  const during: boolean[] = []
  let outside: boolean | undefined
  await fit(model, {
    loss: (net, batch) => {
      during.push(net.training)
      queueMicrotask(() => (outside ??= net.training))
      return loss(net, batch)
    },
  })
  expect(new Set(during)).toEqual(new Set([true]))
  expect(outside).toBe(false)
  expect(model.training).toBe(false)
})

test('a part that a model keeps in eval mode stays there', async () => {
  class Part extends nn.Module {
    forward(x: Tensor): Tensor {
      seen.push(this.training)
      return this.training ? dropout(x, 0.5) : x
    }
  }
  class Whole extends Net {
    frozen = new Part()
    override train(mode = true): this {
      super.train(mode)
      this.frozen.training = false
      return this
    }
    override forward(x: Tensor): Tensor {
      return super.forward(this.frozen.forward(x))
    }
  }
  const seen: boolean[] = []
  await fit(new Whole())
  expect(new Set(seen)).toEqual(new Set([false]))
})

test('early stopping ends after `patience` epochs without improvement and restores the best weights', async () => {
  const model = new Net()
  const losses = [3, 2, 1, 1.5, 0.95, 1.2, 5]
  const weights: string[] = []
  const history = await fit(model, {
    epochs: 20,
    validation: [{} as Points & { step: number }],
    loss: (net, batch) => (net.training ? loss(net, batch) : tensor(losses[weights.length] as number)),
    earlyStopping: { patience: 3, minDelta: 0.1, restoreBest: true },
    callbacks: {
      onEpochEnd: async () => {
        weights.push(await digest(model))
      },
    },
  })
  // 0.95 is the lowest, but no improvement on 1 by 0.1.
  expect(history.epochs.map(({ validationLoss }) => validationLoss).map((x) => Number(x?.toFixed(4)))).toEqual([
    3, 2, 1, 1.5, 0.95, 1.2,
  ])
  expect(history.ended).toBe('earlyStopping')
  expect(history.best?.epoch).toBe(5)
  expect(await digest(model)).toBe(weights[4])
  expect(weights[5]).not.toBe(weights[4])
})

test('clipNorm bounds the step', async () => {
  const moved = async (clipNorm: number | undefined) => {
    const v = new Variable(tensor([0, 0]))
    class Plain extends nn.Module {
      v = v
      forward(): Tensor {
        return this.v.mul(1000).sum()
      }
    }
    await train.fit(new Plain(), [0], {
      loss: (model) => model.forward(),
      optimizer: optim.sgd({ lr: 1 }),
      clipNorm,
      progress: false,
    })
    return (await v.square().sum().item()) ** 0.5
  }
  expect(await moved(undefined)).toBeGreaterThan(1000)
  expect(await moved(0.5)).toBeCloseTo(0.5, 3)
})

test('frozen parameters stay, and one that the loss does not use is named unless zeros are asked for', async () => {
  class Two extends Net {
    idle = new Variable(normal([3]))
  }
  const frozen = new Net()
  frozen.first.requiresGrad = false
  const before = await frozen.first.toArray()
  await fit(frozen)
  expect(await frozen.first.toArray()).toEqual(before)
  await expect(fit(new Two())).rejects.toMatchObject({ code: 'ERR_UNUSED', message: expect.stringContaining('idle') })
  await fit(new Two(), { unused: 'zeros' })
})

test('a model may bring its own loss and optimizer', async () => {
  class Own extends Net implements train.SelfTraining<Points> {
    loss(batch: Points): Tensor {
      return loss(this, batch)
    }
    optimizer() {
      return adamW
    }
  }
  const { epochs } = await train.fit(new Own(), loader(), { epochs: 2, progress: false })
  expect(epochs[1]!.loss).toBeLessThan(epochs[0]!.loss)
  await expect(train.fit(new Net(), loader())).rejects.toMatchObject({
    code: 'ERR_ARGUMENT',
    message: expect.stringContaining('loss'),
  })
})

test('data may be an array of batches, or any async iterable', async () => {
  const batches: (Points & { step: number })[] = []
  for await (const batch of loader({ shuffle: false })) batches.push(batch)
  const [a, b, c] = [new Net(), new Net(), new Net()]
  for (const model of [b, c]) model.loadStateDict(a.stateDict())
  await fit(a, { epochs: 2 }, loader({ shuffle: false }))
  await train.fit(b, batches, { ...quiet, epochs: 2 })
  await train.fit(
    c,
    {
      [Symbol.asyncIterator]: async function* () {
        yield* batches
      },
    },
    { ...quiet, epochs: 2 },
  )
  expect(await digest(b)).toBe(await digest(a))
  expect(await digest(c)).toBe(await digest(a))
  expect(batches[0]!.x.isDisposed).toBe(false)
})

test('each step frees what it made: live tensors do not grow', async () => {
  const model = new Net()
  await fit(model)
  const counts: number[] = []
  await fit(model, { epochs: 30, callbacks: { onEpochEnd: () => void counts.push(memory().tensors) } })
  expect(new Set(counts.slice(1)).size).toBe(1)
})

test('the event loop keeps turning during fit', async () => {
  let ticks = 0
  const timer = setInterval(() => ticks++, 1)
  const slow = normal([400, 400])
  await fit(new Net(), {
    epochs: 2,
    loss: (net, batch) => {
      let y = slow
      for (let i = 0; i < 10; i++) y = noGrad(() => y.matmul(slow).tanh())
      return loss(net, batch).add(y.mean().mul(0))
    },
  })
  clearInterval(timer)
  expect(ticks).toBeGreaterThan(20)
})

test('evaluate gives means over rows in eval mode', async () => {
  const model = new Net()
  const { a, b } = await train.evaluate(model, loader({ batch: 150 }), {
    a: (_, { x }) => x.to('float64').mean(),
    b: (net) => tensor(net.training ? 1 : 0),
  })
  let sum = 0
  for await (const { x } of loader()) sum += await x.to('float64').sum().item()
  expect(a).toBeCloseTo(sum / rows / 2, 10)
  expect(b).toBe(0)
  expect(model.training).toBe(true)
})

test('start tells typed events, in order, and its history is that of fit', async () => {
  const [model, same] = [new Net(), new Net()]
  same.loadStateDict(model.stateDict())
  const run = train.start(model, loader(), { ...quiet, epochs: 3 })
  const events: train.RunEvent[] = []
  for await (const event of run) events.push(event)
  const epochs = events.filter((event) => event.type === 'epoch')
  expect(epochs.map(({ epoch }) => epoch)).toEqual([1, 2, 3])
  expect(events.at(-1)?.type).toBe('end')
  const history = await run.history
  expect(epochs.map(({ metrics }) => metrics)).toEqual(history.epochs)
  expect(history.epochs).toEqual((await fit(same, { epochs: 3 })).epochs)
  expect(await digest(model)).toBe(await digest(same))
})

test('step events are sampled and say where the run is', async () => {
  const run = train.start(new Net(), loader({ batch: 1 }), { ...quiet, epochs: 2 })
  const steps: train.StepEvent[] = []
  for await (const event of run) if (event.type === 'step') steps.push(event)
  expect(steps.length).toBeGreaterThan(2)
  expect(steps.length).toBeLessThan(2 * rows)
  for (const { epoch, step, steps: of, totalSteps, loss, epochLoss, rate } of steps) {
    expect(of).toBe(rows)
    expect(totalSteps).toBe((epoch - 1) * rows + step)
    for (const number of [loss, epochLoss, rate]) expect(number).toBeGreaterThan(0)
  }
})

test('leaving the loop over events stops the run; the model can be fitted again', async () => {
  const model = new Net()
  const run = train.start(model, loader(), { ...quiet, epochs: 1000 })
  for await (const event of run) if (event.type === 'epoch' && event.epoch === 2) break
  const history = await run.history
  expect(history.ended).toBe('stopped')
  expect(history.epochs.length).toBeGreaterThanOrEqual(2)
  expect(history.epochs.length).toBeLessThan(100)
  await fit(model)
})

test('nobody needs to take the events, and one who takes some and forgets the rest holds nothing up', async () => {
  const run = train.start(new Net(), loader({ batch: 1 }), { ...quiet, epochs: 3 })
  const iterator = run[Symbol.asyncIterator]()
  await iterator.next()
  expect((await run.history).epochs.length).toBe(3)
})

test('a callback can stop the run', async () => {
  const { epochs, ended } = await fit(new Net(), {
    epochs: 50,
    callbacks: [{}, { onEpochEnd: ({ epoch }, run) => (epoch === 3 ? run.stop() : undefined) }],
  })
  expect(epochs.length).toBe(3)
  expect(ended).toBe('stopped')
})

test('progress: one line that is rewritten on a terminal, one line per epoch elsewhere', () => {
  const record = { epoch: 2, loss: 0.41234, validationLoss: 0.00012345 }
  const epoch: train.EpochEvent = { type: 'epoch', epoch: 2, metrics: record, best: true, totalSteps: 80, seconds: 75 }
  const step: train.StepEvent = {
    type: 'step',
    epoch: 2,
    step: 10,
    steps: 40,
    totalSteps: 50,
    loss: 0.5,
    epochLoss: 0.55,
    rate: 7.5,
  }
  const written = (isTTY: boolean): string => {
    let text = ''
    const progress = new Progress(9, { isTTY, columns: 200, write: (piece) => (text += piece) })
    progress.step(step)
    progress.epoch(epoch)
    progress.end()
    return text
  }
  expect(written(false)).toBe('epoch 2/9 · loss 0.4123 · validation loss 1.23e-4 · 1:15 · best\n')
  expect(written(true)).toBe(`epoch 2/9 · step 10/40 · 7.5 steps/s · 4.0 s left · loss 0.55\r\x1b[K${written(false)}`)
})

test('a loader on rows of different lengths trains a recurrent model', async () => {
  const words = Array.from({ length: 64 }, (_, i) => Array.from({ length: 2 + (i % 7) }, (_, t) => (i * t) % 5))
  class Counter extends nn.Module {
    embed = new nn.Embedding(6, 8)
    rnn = new nn.LSTM(8, 12)
    head = new nn.Linear(12, 5)
    forward(x: Tensor): Tensor {
      return this.head.forward(this.rnn.forward(this.embed.forward(x)).output)
    }
  }
  const batches = new data.Loader(
    { x: words, y: words },
    { batch: 8, shuffle: true, bucketBy: 'x', padding: { x: 5, y: -100 }, seed: 1 },
  )
  const { epochs } = await train.fit(new Counter(), batches, {
    loss: (model, { x, y }) => nn.functional.crossEntropy(model.forward(x), y),
    optimizer: optim.adamW({ lr: 0.02 }),
    epochs: 15,
    progress: false,
  })
  expect(epochs.at(-1)!.loss).toBeLessThan(0.5 * epochs[0]!.loss)
})
