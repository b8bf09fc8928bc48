// ResNet against torchvision and plain torch: keys, counts, outputs, ten steps; what its options do; folding, saving, bad input.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import {
  grad,
  loadSafetensors,
  manualSeed,
  models,
  normal,
  optim,
  saveSafetensors,
  type Tensor,
  tensor,
  train,
} from 'quarterturn'
import { describe, expect, it } from 'vitest'
import { numbersOf } from '../../parity/checkOp.js'
import { expectClose } from '../../tolerances.js'
import { inFolder } from '../saved.js'

const fixture = JSON.parse(readFileSync(new URL('fixtures/resnets.json', import.meta.url), 'utf8'))
const { ResNet } = models
const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `c${i}`)

/** The formula of resnets.py. */
function filled(state: Map<string, Tensor>): Map<string, Tensor> {
  const result = new Map<string, Tensor>()
  for (const [place, [key, { shape, size, dtype, rank }]] of [...state].entries()) {
    const x = new Float64Array(size)
    const scale = Math.sqrt(24 / (size / (shape[0] ?? 1)))
    for (let i = 0; i < size; i++) {
      const u = ((i * 2654435761 + place * 40503) % 2 ** 32) / 2 ** 32
      if (rank > 1) x[i] = (u - 0.5) * scale
      else x[i] = key.endsWith('running_var') || key.endsWith('weight') ? 0.5 + u : (u - 0.5) * 0.2
    }
    if (key.endsWith('num_batches_tracked')) x[0] = 1
    result.set(key, tensor(x, { shape }).to(dtype) as Tensor)
  }
  return result
}

function images(n: number, channels: number, size: number): Tensor {
  const values = Float64Array.from({ length: n * channels * size * size }, (_, i) => ((i * 7919) % 1013) / 1013)
  return tensor(values, { shape: [n, channels, size, size] }) as Tensor
}

const small = (more: object = {}) => new ResNet({ labels: names(3), depth: 14, width: 4, channels: 3, ...more })

describe('the ImageNet family', () => {
  it.each([18, 34, 50, 101, 152])('ResNet-%i has the parameters of torchvision', (depth) => {
    expect(ResNet.sizes({ labels: 1000, depth }).parameters).toBe(fixture.imagenet[depth].parameters)
  })

  it.each([18, 50])('ResNet-%i has the keys, shapes and outputs of torchvision', async (depth) => {
    const model = new ResNet({ labels: names(1000), depth }).eval()
    const state = model.stateDict()
    const lines = [...state].map(([key, { shape }]) => `${key} [${shape.join(', ')}]\n`).join('')
    expect(createHash('sha256').update(lines).digest('hex')).toBe(fixture.imagenet[depth].fingerprint)
    const counted = model.parameters().reduce((sum, { size }) => sum + size, 0)
    expect(counted).toBe(fixture.imagenet[depth].parameters)
    model.loadStateDict(filled(state))
    const logits = model.forward(images(2, 3, 64).to('float32')).slice(1, 0, 8)
    // Tens of layers in float32.
    expectClose(await numbersOf(logits), fixture.imagenet[depth].logits, 'float32', 'logits', 20)
    const folded = model.folded()
    expect([...folded.stateDict().keys()].some((key) => key.includes('bn'))).toBe(false)
    const again = folded.forward(images(2, 3, 64).to('float32')).slice(1, 0, 8)
    expectClose(await numbersOf(again), fixture.imagenet[depth].logits, 'float32', 'logits of the folded one', 20)
  })
})

describe.each(['original', 'preactivation'] as const)('the CIFAR family, %s', (order) => {
  // In float32 norm, addition and ReLU are one operation in training.
  it.each([
    ['float64', 1, 1e3],
    ['float32', 10, 100],
  ] as const)(
    'gives the outputs, ten losses and running statistics of plain torch in %s',
    async (dtype, loose, trained) => {
      const { keys, logits, losses, after } = fixture[order]
      const model = small({ order, labelSmoothing: 0.1 }).to(dtype)
      expect([...model.stateDict().keys()]).toEqual(keys)
      model.loadStateDict(filled(model.stateDict())).eval()
      const x = images(6, 3, 8).to(dtype)
      expectClose(await numbersOf(model.forward(x)), logits, dtype, 'logits', loose)
      model.train()
      const labels = tensor([0, 1, 2, 2, 1, 0], { dtype: 'int64' }) as Tensor
      const optimizer = new optim.SGD(model.parameters(), { lr: 0.05, momentum: 0.9, weightDecay: 1e-3 })
      const found: number[] = []
      for (let i = 0; i < 10; i++) {
        const { loss } = model.loss({ images: x, labels })
        optimizer.step(grad(loss, model.parameters()))
        found.push(await loss.item())
      }
      // Ten steps of training multiply what rounding differs by.
      expectClose(found, losses, dtype, 'losses', trained)
      expectClose(await numbersOf(model.eval().forward(x)), after, dtype, 'logits after training', 10 * trained)
    },
  )

  it.each([20, 56])('ResNet-%i has as many parameters as its sizes say', (depth) => {
    for (const shortcut of ['identity', 'conv', 'exclusiveGate', 'none'] as const)
      for (const transition of ['pad', 'projection'] as const)
        for (const tied of [false, true]) {
          const options = { labels: names(10), depth, order, shortcut, transition, tied }
          const counted = new ResNet(options).parameters().reduce((sum, { size }) => sum + size, 0)
          expect([options, ResNet.sizes(options).parameters]).toEqual([options, counted])
        }
  })

  it('folded gives the same within 1e-5, also of tied convolutions', async () => {
    for (const tied of [false, true]) {
      manualSeed(5)
      const model = small({ order, tied, transition: 'projection' })
      const x = normal([4, 3, 8, 8])
      // Running statistics other than those of the start.
      for (let i = 0; i < 3; i++) model.forward(x)
      model.eval()
      const [a, b] = [await numbersOf(model.forward(x)), await numbersOf(model.folded().forward(x))]
      for (const [i, value] of a.entries()) expect(Math.abs(value - (b[i] as number))).toBeLessThan(1e-5)
    }
  })
})

describe('sizes of the paper', () => {
  it.each([
    [20, 0.27],
    [32, 0.46],
    [44, 0.66],
    [56, 0.85],
    [110, 1.73],
  ])('ResNet-%i of CIFAR has %f million parameters', (depth, millions) => {
    const { parameters, layers } = ResNet.sizes({ labels: 10, depth })
    expect(parameters / 1e6).toBeCloseTo(millions, 1)
    expect(layers).toBe(depth)
  })
})

describe('shortcuts', () => {
  const step = async (more: object): Promise<number[]> => {
    manualSeed(2)
    const model = small(more)
    const x = normal([4, 3, 8, 8])
    return numbersOf(model.eval().forward(x))
  }
  it('are what their formulas say: a closed gate is the identity, an open one the plain branch', async () => {
    manualSeed(3)
    const x = normal([2, 3, 8, 8])
    const base = small().eval()
    const like = (more: object): InstanceType<typeof ResNet> =>
      small(more).loadStateDict(base.stateDict(), { strict: false }).eval()
    const identity = await numbersOf(base.forward(x))
    expectClose(
      await numbersOf(like({ shortcut: 'shortcutGate', gateBias: -60 }).forward(x)),
      identity,
      'float32',
      'shut',
    )
    expectClose(await numbersOf(like({ shortcut: 'dropout' }).forward(x)), identity, 'float32', 'dropout in use')
    const one = { shortcut: 'constant', shortcutScale: 1, branchScale: 1 }
    expectClose(await numbersOf(like(one).forward(x)), identity, 'float32', 'scales of 1')
    const block = base.blocks[1] as (typeof base.blocks)[number]
    const open = like({ shortcut: 'exclusiveGate', gateBias: 60 }).blocks[1] as typeof block
    const bare = like({ shortcut: 'none' }).blocks[1] as typeof block
    const s = normal([2, 4, 8, 8])
    expectClose(await numbersOf(open.forward(s)), await numbersOf(bare.forward(s)), 'float32', 'open')
    const half = like({ shortcut: 'constant', shortcutScale: 0.25, branchScale: 0.5 }).blocks[1] as typeof block
    const branch = block.bn2?.forward(
      block.conv2.forward((block.bn1 as never as typeof block.bn2)?.forward(block.conv1.forward(s)).relu() as Tensor),
    )
    expectClose(
      await numbersOf(half.forward(s)),
      await numbersOf(
        s
          .mul(0.25)
          .add((branch as Tensor).mul(0.5))
          .relu(),
      ),
      'float32',
      'scaled',
    )
  })

  it('each gives another network', async () => {
    const all = await Promise.all(
      ['identity', 'constant', 'exclusiveGate', 'shortcutGate', 'conv', 'none'].map((shortcut) =>
        step({ shortcut, gateBias: -1 }),
      ),
    )
    expect(new Set(all.map(([first]) => first)).size).toBe(6)
  })
})

describe('blocks', () => {
  it('left out, their shortcut goes on; in another order, the values differ; paths keep values and cut gradients', async () => {
    manualSeed(4)
    const model = new ResNet({ labels: names(3), depth: 20, width: 4, order: 'preactivation' }).eval()
    const x = normal([2, 3, 8, 8])
    const whole = await numbersOf(model.forward(x))
    expect(model.blocks).toHaveLength(9)
    expectClose(await numbersOf(model.forward(x, { blocks: [0, 1, 2, 3, 4, 5, 6, 7, 8] })), whole, 'float32', 'all')
    const { stream } = model.trace(x, { blocks: [0, 2] })
    // Two blocks and the shortcuts of the two stages that follow.
    expect(stream.map(({ shape }) => shape[1])).toEqual([4, 4, 4, 8, 16])
    expect(await numbersOf(model.forward(x, { blocks: [0, 2, 1, 3, 4, 5, 6, 7, 8] }))).not.toEqual(whole)
    const images = normal([2, 3, 8, 8])
    const paths = Array<'shortcut'>(9).fill('shortcut')
    const { logits, stream: cut } = model.trace(images, { paths })
    expectClose(await numbersOf(logits), await numbersOf(model.forward(images)), 'float32', 'cut')
    // Along shortcuts alone the branches take no gradient: the first stream of a stage gets what the last does.
    const [from, to] = [cut[7] as Tensor, cut[9] as Tensor]
    const gradients = grad(logits.sum(), [from, to])
    expectClose(
      await numbersOf(gradients.get(from)),
      await numbersOf(gradients.get(to)),
      'float32',
      'identity all the way',
    )
  })

  it('refuses orders that the shapes do not allow', () => {
    const x = normal([1, 3, 8, 8])
    const refused = (more: object, blocks: number[]): void =>
      expect(() => small(more).forward(x, { blocks })).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
    refused({}, [0, 3, 2])
    refused({}, [2, 0])
    refused({}, [99])
    refused({ shortcut: 'none' }, [0, 1, 3, 4, 5])
    expect(small({ shortcut: 'none' }).forward(x, { blocks: [0, 2, 3, 4, 5] }).shape).toEqual([1, 3])
  })

  it('stochastic depth leaves blocks out in training by the linear rule, and all parameters have gradients', async () => {
    manualSeed(6)
    const model = small({ keepLast: 0 })
    expect(model.blocks.map(({ place }) => place.keep)).toEqual(
      [5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0].map((p) => expect.closeTo(p, 12)),
    )
    const x = normal([4, 3, 8, 8])
    const labels = tensor([0, 1, 2, 0], { dtype: 'int64' }) as Tensor
    const last = model.blocks[5]?.conv2.weight as Tensor
    const gradients = grad(model.loss({ images: x, labels }).loss, model.parameters())
    expect(Math.max(...(await numbersOf(gradients.get(last))).map(Math.abs))).toBe(0)
    manualSeed(6)
    const same = await numbersOf(small({ keepLast: 0.5 }).forward(x))
    manualSeed(6)
    expect(await numbersOf(small({ keepLast: 0.5 }).forward(x))).toEqual(same)
    // In use a branch that is never kept counts for nothing.
    model.eval()
    expectClose(
      await numbersOf(model.forward(x)),
      await numbersOf(model.forward(x, { blocks: [0, 1, 2, 3, 4] })),
      'float32',
      'p = 0',
    )
  })

  it('tied blocks share their convolutions and have norms of their own', () => {
    const model = new ResNet({ labels: names(3), depth: 20, width: 4, tied: true })
    const [, one, two] = model.layer1
    expect(two?.conv1).toBe(one?.conv1)
    expect(two?.bn1).not.toBe(one?.bn1)
    expect(model.layer1[0]?.conv1).not.toBe(one?.conv1)
  })
})

describe('training and use', () => {
  const bytes = Uint8Array.from({ length: 12 * 3 * 8 * 8 }, (_, i) => (i * 7919) % 251)
  const fields = { images: { data: bytes, shape: [12, 3, 8, 8] }, labels: Array.from({ length: 12 }, (_, i) => i % 3) }

  it.each([
    { order: 'original' },
    { order: 'preactivation' },
    { family: 'imagenet', depth: 18, width: 4 },
    { tied: true, depth: 14 },
    { keepLast: 0.8 },
    { shortcut: 'exclusiveGate', gateBias: -1 },
  ] as const)('%j overfits a batch of bytes; saved and loaded it answers the same', async (more) => {
    manualSeed(1)
    const model = small({ depth: 8, ...more, moments: { mean: [0.5, 0.5, 0.5], deviation: [0.3, 0.3, 0.3] } })
    const history = await train.fit(model, model.loader(fields, { batch: 12, seed: 1 }), {
      epochs: 60,
      progress: false,
    })
    expect(history.epochs.at(-1)?.loss).toBeLessThan(0.3)
    const answers = await model.classify(fields.images)
    expect(answers.filter(({ label }, i) => label === `c${i % 3}`).length).toBeGreaterThan(8)
    await inFolder(async (folder) => {
      await model.save(folder)
      const loaded = await ResNet.load(folder)
      expect(loaded.config).toEqual(model.config)
      expect(await loaded.classify(fields.images)).toEqual(answers)
    })
  })

  it('classifies arrays ahead of what is queued, some rows at a time', async () => {
    const model = new models.ResNet({ labels: ['a', 'b'], depth: 8, width: 2, channels: 1 })
    const shape = [130, 1, 8, 8]
    const bytes = new Uint8Array(130 * 64).map((_, i) => (i * 37) % 251)
    let busy: Tensor = normal([700, 700])
    const before = await model.classify({ data: bytes, shape })
    const factor = normal([700, 700]).div(30)
    for (let i = 0; i < 60; i++) busy = busy.matmul(factor)
    const order: string[] = []
    const queued = busy.data().then(() => order.push('queue'))
    const answers = await model.classify({ data: bytes, shape })
    order.push('answers')
    await queued
    expect(order).toEqual(['answers', 'queue'])
    expect(answers).toEqual(before)
    expect(await model.classify(tensor(bytes, { dtype: 'uint8', shape }))).toEqual(answers)
    expect(await model.classify({ data: new Uint8Array(0), shape: [0, 1, 8, 8] })).toEqual([])
    for (const wrong of [
      { data: bytes, shape: [1, 1, 8, 8] },
      { data: bytes, shape: [] },
    ])
      await expect(model.classify(wrong)).rejects.toMatchObject({ code: 'ERR_SHAPE' })
    await expect(model.classify({ data: bytes } as never)).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_/),
    })
  })

  it('takes augmented images and mixed labels; normalisation is its own', async () => {
    manualSeed(2)
    const model = small({ depth: 8, labelSmoothing: 0.1 })
    const augment = { padCrop: 2, flip: true, mixup: { alpha: 0.5, labels: 'labels', classes: 3 } }
    const loader = model.loader(fields, { batch: 6, seed: 3, augment })
    const { epochs } = await train.fit(model, loader, { epochs: 2, progress: false })
    expect(epochs.every(({ loss }) => Number.isFinite(loss))).toBe(true)
    const normalize = { mean: 0.5, std: 0.5 }
    expect(() => model.loader(fields, { augment: { normalize } })).toThrow(/the model normalises/)
    // Shares of one class are the class.
    const labels = tensor([2, 0], { dtype: 'int64' }) as Tensor
    const shares = tensor([
      [0, 0, 1],
      [1, 0, 0],
    ]) as Tensor
    const x = normal([2, 3, 8, 8])
    model.train()
    const [one, other] = [model.loss({ images: x, labels }), model.loss({ images: x, labels: shares })]
    expect(await one.loss.item()).toBeCloseTo((await other.loss.item()) as number, 5)
  })

  it('checkpointed: the same loss, gradients and running statistics', async () => {
    const run = async (checkpoint: boolean): Promise<number[][]> => {
      manualSeed(8)
      const model = small({ checkpoint, depth: 8 }).to('float64')
      const x = normal([4, 3, 8, 8], 0, 1, { dtype: 'float64' })
      const { loss } = model.loss({ images: x, labels: tensor([0, 1, 2, 0], { dtype: 'int64' }) as Tensor })
      const gradients = grad(loss, model.parameters())
      const statistics = [...model.namedBuffers()].filter(([key]) => !key.endsWith('num_batches_tracked'))
      const values = [
        loss,
        ...model.parameters().map((each) => gradients.get(each)),
        ...statistics.map(([, value]) => value),
      ]
      return Promise.all(values.map(numbersOf))
    }
    const [plain, again] = [await run(false), await run(true)]
    for (const [i, values] of plain.entries()) expectClose(again[i] as number[], values, 'float64', `value ${i}`, 100)
  })

  it('trains in bfloat16 with masters', async () => {
    manualSeed(9)
    const model = small({ depth: 8, moments: { mean: [0.5, 0.5, 0.5], deviation: [0.3, 0.3, 0.3] } }).to('bfloat16')
    const optimizer = optim.sgd({ lr: 0.05, momentum: 0.9, masters: true })
    const loader = model.loader(fields, { batch: 12, seed: 1 })
    const { epochs } = await train.fit(model, loader, { epochs: 20, optimizer, progress: false })
    expect(epochs.at(-1)?.loss).toBeLessThan((epochs[0]?.loss as number) / 2)
    expect(model.fc.weight.dtype).toBe('bfloat16')
  })

  it('refuses a state of another depth, naming the keys; takes one without counts of batches', async () => {
    await inFolder(async (folder) => {
      const file = `${folder}/weights.safetensors`
      const state = new ResNet({ labels: names(3), depth: 20, width: 4 }).stateDict()
      await saveSafetensors(file, state)
      const read = await loadSafetensors(file)
      expect(() => small().loadStateDict(read)).toThrow(
        expect.objectContaining({
          code: 'ERR_CHECKPOINT',
          message: expect.stringContaining('layer1.2.conv1.weight is unexpected'),
        }),
      )
      const without = new Map([...state].filter(([key]) => !key.endsWith('num_batches_tracked')))
      expect(() => new ResNet({ labels: names(3), depth: 20, width: 4 }).loadStateDict(without)).not.toThrow()
    })
  })

  it('a batch with NaN ends the training with ERR_NOT_FINITE, and no weight has changed', async () => {
    const model = small()
    const before = await numbersOf(model.fc.weight)
    const images = { data: new Float32Array(2 * 3 * 64).fill(Number.NaN), shape: [2, 3, 8, 8] }
    const data = model.loader({ images, labels: [0, 1] })
    await expect(train.fit(model, data, { progress: false })).rejects.toMatchObject({ code: 'ERR_NOT_FINITE' })
    expect(await numbersOf(model.fc.weight)).toEqual(before)
  })

  it('refuses what does not fit', async () => {
    const model = small()
    await expect(model.classify(normal([2, 1, 8, 8]))).rejects.toMatchObject({ code: 'ERR_SHAPE' })
    await expect(model.classify(normal([3, 8, 8]))).rejects.toMatchObject({ code: 'ERR_SHAPE' })
    for (const options of [
      { labels: names(3), depth: 21 },
      { labels: names(3), depth: 20, family: 'imagenet' },
      { labels: ['one'] },
      { labels: names(3), shortcut: 'long' },
      { labels: names(3), keepLast: 0.5, shortcut: 'none' },
      { labels: names(3), tied: true, folded: true },
      { labels: names(3), moments: { mean: [0], deviation: [1] } },
    ])
      expect(() => new ResNet(options as never)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  })
})
