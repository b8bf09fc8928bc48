// predict: the outputs that the model gives in eval mode, as a stream or together, with nothing left behind.
import { data, dropout, manualSeed, memory, nn, normal, type Tensor, tensor, train } from 'quarterturn'
import { beforeEach, expect, test } from 'vitest'
import { takePending } from '../../src/tensor/queue.js'
import { loader, Net, type Points, rows } from './spiral.js'

beforeEach(() => {
  manualSeed(1)
})

/** Dropout in train mode: a call in the wrong mode shows. */
class Noisy extends nn.Module {
  forward(x: Tensor): Tensor {
    return this.training ? dropout(x, 0.9) : x.mul(2)
  }
}

test('of a tensor: rows in batches, joined or one by one, equal to one call', async () => {
  const model = new Noisy()
  const x = normal([10, 3])
  const wanted = await x.mul(2).toArray()
  expect(await (await train.predict(model, x).all()).toArray()).toEqual(wanted)
  expect(await (await train.predict(model, x, undefined, { batch: 4 }).all()).toArray()).toEqual(wanted)
  const sizes: number[] = []
  for await (const output of train.predict(model, x, undefined, { batch: 4 })) sizes.push(output.shape[0] as number)
  expect(sizes).toEqual([4, 4, 2])
  expect([model.training, x.isDisposed]).toEqual([true, false])
})

test('of batches: model.forward(x), or a function of one’s own, without gradients', async () => {
  const model = new Net()
  const batches = loader({ shuffle: false })
  const all = await train.predict(model, batches).all()
  expect([all.shape, all.requiresGrad]).toEqual([[rows, 2], false])
  const both = (net: Net, { x, y }: Points) => ({ label: net.forward(x).argmax(-1), target: [y] })
  const { label, target } = await train.predict(model, batches, both).all()
  expect(await label.toArray()).toEqual(await all.argmax(-1).toArray())
  const { accuracy } = await train.evaluate(model, batches, { accuracy: train.accuracy() })
  expect(await label.eq(target[0]!).to('float32').mean().item()).toBeCloseTo(accuracy, 6)
})

test('what a function passes on of the batch, and weights, are the taker’s own copies', async () => {
  const model = new Net()
  for await (const { x, w } of train.predict(model, loader(), (net, { x }: Points) => ({ x, w: net.first }))) {
    expect([x.isDisposed, (await x.data()).length > 0]).toEqual([false, true])
    w.dispose()
  }
  expect(model.first.isDisposed).toBe(false)
})

test('it runs only as far as it is asked, and leaving the loop leaves nothing behind', async () => {
  const model = new Net()
  let made = 0
  async function* endless() {
    for (;;) {
      made++
      yield { x: normal([4, 2]) }
    }
  }
  let taken = 0
  for await (const output of train.predict(model, endless())) {
    output.dispose()
    if (++taken === 5) break
  }
  expect(made).toBeLessThanOrEqual(6)
  const batches = loader()
  const before = memory().tensors
  for await (const output of train.predict(model, batches)) {
    output.dispose()
    break
  }
  expect(memory().tensors).toBe(before)
})

test('weights may change between the batches that are taken', async () => {
  const model = new nn.Linear(1, 1)
  const seen: number[] = []
  for await (const y of train.predict(model, tensor([[0], [0], [0]]), undefined, { batch: 1 })) {
    seen.push(await y.item())
    model.bias?.assign(tensor([seen.length]))
  }
  expect(seen.slice(1)).toEqual([1, 2])
})

test('errors: no field x, no rows, no batch, outputs that do not join, a function that throws or is async', async () => {
  const model = new Net()
  const words = new data.Loader({ words: [[1, 2]] }, { batch: 1 })
  await expect(train.predict(model, words).all()).rejects.toMatchObject({ code: 'ERR_ARGUMENT', op: 'predict' })
  expect(() => train.predict(model, tensor(3))).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  expect(() => train.predict(model, 3 as never)).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  expect(() => train.predict(model, words, 3 as never)).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  await expect(train.predict(model, []).all()).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  const ragged = [normal([2, 3]), normal([2, 4])]
  await expect(train.predict(new Noisy(), ragged).all()).rejects.toMatchObject({ code: 'ERR_SHAPE' })
  const throwing = () => {
    throw new Error('mine')
  }
  await expect(train.predict(model, words, throwing).all()).rejects.toMatchObject({
    code: 'ERR_CALLBACK',
    message: 'predict: the function threw: mine',
  })
  await expect(train.predict(model, words, (async () => normal([1])) as never).all()).rejects.toMatchObject({
    code: 'ERR_ARGUMENT',
  })
  await expect(train.predict(model, words, (() => 3) as never).all()).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  expect(model.training).toBe(true)
  expect(takePending()).toEqual([])
})
