// FCN and ResNet1d: the networks of the paper by hand, series of different lengths, units, files, bad input.
import { cat, manualSeed, models, nn, normal, type Tensor, tensor, train } from 'quarterturn'
import { describe, expect, it } from 'vitest'
import { numbersOf } from '../../parity/checkOp.js'
import { expectClose } from '../../tolerances.js'
import { inFolder } from '../saved.js'

const wave = (step: number, length: number, start = 0): number[][] =>
  Array.from({ length }, (_, t) => [1000 + 300 * Math.sin(step * (t + start)), 0.001 * t])
const waves = (spread: number) =>
  Array.from({ length: 48 }, (_, i) => ({
    series: wave(i % 2 ? 0.5 : 1.1, 16 + (i % spread), i),
    label: i % 2 ? 'slow' : 'fast',
  }))

describe('the networks of Wang, Yan and Oates', () => {
  const labels = ['a', 'b', 'c']
  const count = (model: nn.Module): number => model.parameters().reduce((sum, { size }) => sum + size, 0)

  it('have their numbers of parameters', () => {
    // FCN: 8·128, 5·128·256, 3·256·128 and biases; norms of 2·512; the map. ResNet: as the figures of section 2.
    expect(count(new models.FCN({ inputs: 1, labels }))).toBe(
      8 * 128 + 128 + 5 * 128 * 256 + 256 + 3 * 256 * 128 + 128 + 2 * 512 + 128 * 3 + 3,
    )
    const block = (i: number, o: number): number =>
      8 * i * o + o + 5 * o * o + o + 3 * o * o + o + 6 * o + (i === o ? 2 * o : i * o + o + 2 * o)
    expect(count(new models.ResNet1d({ inputs: 1, labels }))).toBe(
      block(1, 64) + block(64, 128) + block(128, 128) + 128 * 3 + 3,
    )
  })

  it('pad as Keras does: an even kernel has one more step at the end', async () => {
    manualSeed(1)
    const model = new models.FCN({ inputs: 1, labels, width: 2 }).eval()
    const [first] = model.layers
    const x = normal([1, 1, 12])
    const padded = nn.functional.pad(x, [3, 4])
    const y = nn.functional.conv1d(padded, first?.conv.weight as Tensor, { bias: first?.conv.bias })
    expectClose(
      await numbersOf(first?.forward(x) as Tensor),
      await numbersOf(y.div(Math.sqrt(1 + 1e-5))),
      'float32',
      'the first convolution',
    )
  })
})

describe.each([models.FCN, models.ResNet1d])('%o', (Kind) => {
  it.each([1, 5])('learns series of %i lengths in raw units; saved and loaded it answers the same', async (spread) => {
    manualSeed(3)
    const examples = waves(spread)
    const model = Kind.of(examples, { width: 8 })
    await train.fit(model, model.loader(examples, { seed: 1 }), { epochs: 25, progress: false })
    const fresh = [wave(0.5, 20, 1000), wave(1.1, 18, 1000)]
    const answers = await model.predict(fresh)
    expect(answers.map(({ label }) => label)).toEqual(['slow', 'fast'])
    await inFolder(async (folder) => {
      await model.save(folder)
      expect(await Kind.load(folder).then((loaded) => loaded.predict(fresh))).toEqual(answers)
    })
  })

  it('the answer for a series depends neither on longer ones beside it nor on its units', async () => {
    const model = Kind.of(waves(3), { width: 4 })
    const [alone] = await model.predict([wave(1, 9)])
    const [beside] = await model.predict([wave(1, 9), wave(1, 40)])
    expect(beside?.probability).toBeCloseTo(alone?.probability as number, 5)
    const [scaled] = await model.predict([wave(1, 9).map(([a, b]) => [5 * (a as number) - 3, 7 * (b as number)])])
    expect(scaled?.probability).toBeCloseTo(alone?.probability as number, 5)
    const raw = Kind.of(waves(3), { width: 4, normalize: false })
    expect((await raw.predict([wave(1, 9)]))[0]?.probability).not.toBe(alone?.probability)
  })

  it('training counts no step beyond the end of a series: neither loss nor statistics depend on how far a batch is filled up', async () => {
    manualSeed(4)
    const model = Kind.of(waves(3), { width: 4 }).train()
    const sequence = normal([3, 12, 2])
    const batch = {
      sequence,
      length: tensor([12, 9, 8], { dtype: 'int64' }),
      label: tensor([0, 1, 1], { dtype: 'int64' }),
    }
    const wider = { ...batch, sequence: cat([sequence, normal([3, 5, 2]).mul(100)], 1) }
    const start = new Map([...model.stateDict()].map(([key, value]) => [key, value.clone()]))
    const state = async (given: models.SeriesBatch): Promise<number[]> => {
      model.loadStateDict(start)
      const { loss } = model.loss(given)
      const buffers = [...model.namedBuffers().values()].map((buffer) => numbersOf(buffer as unknown as Tensor))
      return [...(await numbersOf(loss)), ...(await Promise.all(buffers)).flat()]
    }
    expectClose(await state(wider), await state(batch), 'float32', 'loss and statistics')
  })

  it('answers in float64 as in float32, also series of different lengths', async () => {
    const model = Kind.of(waves(3), { width: 4 })
    const series = [wave(1, 9), wave(0.3, 12)]
    const narrow = await model.predict(series)
    const wide = await model.to('float64').predict(series)
    for (const [i, { probability }] of wide.entries())
      expect(probability).toBeCloseTo(narrow[i]?.probability as number, 4)
  })

  it('refuses a series shorter than the kernel, and what does not fit', async () => {
    const model = Kind.of(waves(3), { width: 4 })
    await expect(model.predict([wave(1, 7)])).rejects.toMatchObject({
      code: 'ERR_SHAPE',
      message: expect.stringContaining('got 7 steps'),
    })
    expect(() => model.loader([{ series: wave(1, 7), label: 'slow' }])).toThrow(/as long as the kernel/)
    expect(() => model.loader([{ series: wave(1, 9), label: 'none' }])).toThrow(/fast, slow/)
    await expect(model.predict([[[1, 2, 3]]])).rejects.toMatchObject({ code: 'ERR_SHAPE' })
    expect(() => model.forward(normal([2, 7, 2]))).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
    expect(() => Kind.of([])).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  })
})
