// DeepNet and TabularClassifier: each kind is its stack of the axis engine, learns, and comes back from its folder.
import { axis, data, grad, manualSeed, models, normal, type Tensor, train, type Variable } from 'quarterturn'
import { describe, expect, it } from 'vitest'
import { numbersOf } from '../../parity/checkOp.js'
import { expectClose } from '../../tolerances.js'
import { inFolder } from '../saved.js'

const labels = ['a', 'b', 'c']
const [width, layers] = [6, 4]

/** The stack of the axis engine with the weights of a net. */
function stackOf(net: models.DeepNet): axis.Stack {
  const { layer, nonlinearity, gateBias } = net.config
  const alongDepth = { plain: axis.plain(), residual: axis.residual(), highway: axis.highway({ gateBias }) }[layer]
  const alongTime = axis.dense({ nonlinearity })
  const made = new axis.Stack({ width, layers, alongTime, alongDepth, norm: 'none' })
  const state = net.stateDict()
  for (const [k, write] of made.writes.entries()) {
    const { map } = write.time as { map: { weight: Variable; bias: Variable } }
    if (layer !== 'highway') {
      map.weight.assign(state.get(`layers.${k}.weight`) as Tensor)
      map.bias.assign(state.get(`layers.${k}.bias`) as Tensor)
      continue
    }
    const { gate } = write.depth as { gate: { weight: Variable; bias: Variable } }
    const [weight, bias] = ['weight', 'bias'].map((name) => (state.get(`layers.${name}`) as Tensor).select(0, k)) as [
      Tensor,
      Tensor,
    ]
    map.weight.assign(weight.slice(0, 0, width))
    map.bias.assign(bias.slice(0, 0, width))
    gate.weight.assign(weight.slice(0, width))
    gate.bias.assign(bias.slice(0, width))
  }
  return made
}

describe.each(['plain', 'residual', 'highway'] as const)('%s', (layer) => {
  it.each(['relu', 'tanh'] as const)(
    'with %s is the stack of the axis engine with that carrier along depth, gradients too',
    async (nonlinearity) => {
      manualSeed(1)
      const net = new models.DeepNet({ inputs: 5, labels, layer, depth: layers + 1, width, nonlinearity, gateBias: -1 })
      const { logits, stream } = net.trace(normal([3, 5]))
      const [first, last] = [stream[0] as Tensor, stream.at(-1) as Tensor]
      const x = first.detach()
      const same = stackOf(net)
      const y = same.forward(x.reshape([3, 1, width]))
      expectClose(await numbersOf(last), await numbersOf(y), 'float32', 'the stream', 10)
      const { layers: own } = net
      const weight = 'weight' in own ? own.weight : (own[0]?.weight as Variable)
      const [write] = same.writes as [axis.Write]
      const { map } = write.time as { map: { weight: Variable } }
      const a = await numbersOf(grad(last.sin().sum(), [weight]).get(weight))
      const b = await numbersOf(grad(y.sin().sum(), [map.weight]).get(map.weight))
      expectClose(a.slice(0, b.length), b, 'float32', 'a gradient', 10)
      expect(logits.shape).toEqual([3, labels.length])
    },
  )

  it('learns; trace and forward agree; saved and loaded it answers the same', async () => {
    manualSeed(2)
    const rows = Array.from({ length: 60 }, (_, i) => [0, 1, 2].map((c) => (i % 3 === c ? 200 : (i * 31) % 90)))
    const images = { data: Uint8Array.from(rows.flat()), shape: [60, 3] }
    const model = new models.DeepNet({ inputs: 3, labels, layer, depth: 6, width: 12 })
    const loader = new data.Loader({ images, labels: rows.map((_, i) => i % 3) }, { batch: 20, shuffle: true, seed: 1 })
    await train.fit(model, loader, { epochs: 60, progress: false })
    const answers = await model.classify(images)
    expect(answers.filter(({ label }, i) => label === labels[i % 3]).length).toBeGreaterThan(55)
    const x = normal([4, 3])
    expectClose(await numbersOf(model.forward(x)), await numbersOf(model.trace(x).logits), 'float32', 'logits', 10)
    await inFolder(async (folder) => {
      await model.save(folder)
      expect(await (await models.DeepNet.load(folder)).classify(images)).toEqual(answers)
    })
  })
})

describe('DeepNet', () => {
  it('counts its layers as the paper does, and refuses what does not fit', async () => {
    const net = new models.DeepNet({ inputs: 784, labels, layer: 'plain', depth: 10, width: 71 })
    const counted = net.parameters().reduce((sum, { size }) => sum + size, 0)
    expect(counted).toBe(785 * 71 + 9 * 72 * 71 + 72 * 3)
    await expect(net.classify(normal([2, 28, 27]))).rejects.toMatchObject({ code: 'ERR_SHAPE' })
    expect(net.forward(normal([2, 1, 28, 28])).shape).toEqual([2, 3])
    for (const more of [
      { layer: 'deep' },
      { depth: 1 },
      { nonlinearity: 'gelu' },
      { scale: 'width' },
      { gateBias: 'low' },
    ])
      expect(() => new models.DeepNet({ inputs: 2, labels, ...more } as never)).toThrow(
        expect.objectContaining({ code: 'ERR_ARGUMENT' }),
      )
  })
})

describe('TabularClassifier', () => {
  const size = Array.from({ length: 120 }, (_, i) => (i % 7 === 0 ? Number.NaN : i / 60))
  const table = data.Table.of({
    size,
    colour: size.map((_, i) => (i % 2 ? 'red' : 'blue')),
    kind: size.map((_, i) => (i === 5 ? '' : i > 60 ? 'large' : i % 2 ? 'odd' : 'even')),
  })

  it('learns from numbers, categories and gaps; saved and loaded it answers the same', async () => {
    manualSeed(4)
    const model = models.TabularClassifier.of(table, { target: 'kind', width: 16 })
    expect(model.labels).toEqual(['even', 'large', 'odd'])
    await train.fit(model, model.loader(table, { seed: 1 }), { epochs: 30, progress: false })
    const fresh = data.Table.of({ size: [1.8, 0.1, 0.1], colour: ['red', 'red', 'blue'] })
    const answers = await model.predict(fresh)
    expect(answers.map(({ label }) => label)).toEqual(['large', 'odd', 'even'])
    await inFolder(async (folder) => {
      await model.save(folder)
      expect(await (await models.TabularClassifier.load(folder)).predict(fresh)).toEqual(answers)
    })
  })

  it('refuses a target that is an input, and labels that it does not know', () => {
    const model = models.TabularClassifier.of(table, { target: 'kind' })
    const other = data.Table.of({ size: [1], colour: ['red'], kind: ['round'] })
    expect(() => model.loader(other)).toThrow(/even, large, odd/)
    expect(() => models.TabularClassifier.of(table, { target: 'kind', inputs: ['kind'] })).toThrow(/cannot be an input/)
  })
})
