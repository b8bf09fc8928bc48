// The Stack: what it computes in known cases, its options, its states, rotations, descriptions and what it refuses.
import { axis, grad, manualSeed, nn, normal, sigmoid, type Tensor, tensor, zeros } from 'quarterturn'
import { beforeEach, describe, expect, test } from 'vitest'
import { numbersOf } from '../parity/checkOp.js'
import { expectClose } from '../tolerances.js'

const { functional: F } = nn
const float64 = { dtype: 'float64' } as const

beforeEach(() => void manualSeed(5))

async function same(a: Tensor, b: Tensor, what: string, loose = 1): Promise<void> {
  expect(a.shape).toEqual(b.shape)
  expectClose(await numbersOf(a), await numbersOf(b), b.dtype, what, loose)
}

const leaky = axis.carrier({
  name: 'leaky',
  parameters: ({ width }) => ({ decay: nn.init.uniform([width], 1, 4), write: new nn.Linear(width, width) }),
  initialState: ({ batch, width }) => zeros([batch, width]),
  step: ({ decay, write }, state, input) => {
    const d = sigmoid(decay)
    const next = d.mul(state).add(d.neg().add(1).mul(write.forward(input)))
    return { state: next, output: next }
  },
})

describe('what is computed', () => {
  test('an LSTM over a residual depth is its layers, one after the other', async () => {
    const net = new axis.Stack({ width: 4, layers: 3, alongTime: axis.lstm(), mlp: 2 }).to('float64')
    const x = normal([2, 6, 4], 0, 1, float64)
    let s: Tensor = x
    for (const { norm, time, mlp } of net.writes) {
      const r = F.layerNorm(s, [4], { weight: norm?.weight, bias: (norm as nn.LayerNorm).bias })
      if (time) s = s.add(F.lstm(r, undefined, time as nn.functional.LSTMWeights).output)
      else if (mlp) s = s.add(mlp.linear2.forward(F.gelu(mlp.linear1.forward(r), { approximate: true })))
    }
    await same(net.forward(x), s, 'output')
  })

  test('tied layers, given the input at each, are the residual recurrence on a constant input', async () => {
    const shared = { width: 4, alongTime: axis.none(), alongDepth: axis.residualRNN(), tied: true }
    const depth = new axis.Stack({ ...shared, layers: 7, inject: 'each' }).to('float64')
    const time = new axis.Stack({
      width: 4,
      layers: 1,
      alongTime: axis.residualRNN(),
      alongDepth: axis.plain(),
      norm: 'none',
    })
    time.to('float64')
    for (const [path, variable] of time.namedParameters())
      variable.assign(depth.namedParameters().get(path.replace('time', 'depth')) as Tensor)
    const x = normal([3, 1, 4], 0, 1, float64)
    await same(depth.forward(x), time.forward(x.expand([3, 7, 4])).slice(1, 6), 'last state')
  })

  test('checkpoints change neither outputs nor gradients', async () => {
    const net = (checkpoint: 'none' | 'time' | 'depth') => {
      manualSeed(9)
      const made = new axis.Stack({
        width: 4,
        layers: 2,
        alongTime: axis.lstm(),
        mlp: 2,
        checkpoint,
        alongDepth: axis.highway(),
      })
      return made.to('float64')
    }
    const x = normal([2, 10, 4], 0, 1, float64)
    const of = (stack: axis.Stack): Tensor[] => {
      const y = stack.forward(x)
      const parameters = stack.parameters()
      const gradients = grad(y.sin().sum(), parameters)
      return [y, ...parameters.map((p) => gradients.get(p))]
    }
    const plain = of(net('none'))
    for (const kind of ['time', 'depth'] as const)
      for (const [i, part] of of(net(kind)).entries()) await same(part, plain[i] as Tensor, `${kind} ${i}`)
  })

  test.each([axis.linearAttention, axis.retention, axis.gatedLinearAttention])(
    'a matrix state goes on from chunk to chunk: %o',
    async (make) => {
      const net = new axis.Stack({ width: 8, layers: 1, alongTime: make({ heads: 2 }) }).to('float64')
      const x = normal([2, 37, 8], 0, 1, float64)
      const chunked = net.forward(x)
      net.form = 'recurrent'
      await same(chunked, net.forward(x), 'chunked against recurrent', 10)
    },
  )

  test('attention with several heads from a state is the whole sequence', async () => {
    const net = new axis.Stack({
      width: 8,
      layers: 2,
      alongTime: axis.attention({ heads: 2 }),
      alongDepth: axis.attention(),
    })
    net.to('float64')
    expect(net.alongDepth?.name).toBe('attentionResiduals')
    const x = normal([2, 9, 8], 0, 1, float64)
    const first = net.run(x.slice(1, 0, 4))
    await same(net.run(x.slice(1, 4), first.state).output, net.forward(x).slice(1, 4), 'second part', 10)
  })

  test('what is random in training is left out in use, and drawn anew at each step', async () => {
    const net = new axis.Stack({
      width: 16,
      layers: 1,
      alongTime: axis.zoneout({ keep: 0.5 }),
      alongDepth: axis.plain(),
    })
    const x = normal([2, 30, 16])
    const [a, b] = [net.forward(x), net.forward(x)]
    expect(await a.sub(b).abs().amax().item()).toBeGreaterThan(0.01)
    // A unit that was kept has the value of the step before: not the same units at each step.
    const kept = (await numbersOf(
      a
        .slice(1, 1)
        .eq(a.slice(1, 0, 29))
        .to('float32')
        .mean(0),
    )) as number[]
    expect(new Set(kept).size).toBeGreaterThan(1)
    net.eval()
    await same(net.forward(x), net.forward(x), 'in use')
  })
})

describe('rotate', () => {
  test.each([axis.lstm, axis.gru, axis.elman, axis.minLSTM, axis.residualRNN])(
    'a recurrence over its steps is a net of tied layers (E1), and back: %o',
    async (make: () => axis.Carrier) => {
      const net = new axis.Stack({ width: 5, layers: 1, alongTime: make(), alongDepth: axis.plain(), norm: 'none' })
      net.to('float64')
      const x = normal([3, 64, 5], 0, 1, float64)
      const turned = axis.rotate(net)
      expect(turned).toMatchObject({ kept: true, fresh: [] })
      await same(turned.stack.forward(x), net.forward(x), 'turned once')
      const back = axis.rotate(turned.stack)
      expect(back.kept).toBe(true)
      await same(back.stack.forward(x), net.forward(x), 'turned twice')
    },
  )

  test('a grid whose axes and weights are exchanged gives the exchanged outputs (E10)', async () => {
    const [B, T, L, D] = [2, 6, 3, 4]
    const net = new axis.Stack({ width: D, layers: L, alongTime: axis.gridLSTM(), tied: true }).to('float64')
    const { stack: turned, kept } = axis.rotate(net, { layers: T })
    expect(kept).toBe(true)
    const [x, left] = [normal([B, T, D], 0, 1, float64), normal([B, L, D], 0, 1, float64)]
    const edge = (h: Tensor, of: string): axis.StackState => ({
      of,
      time: [h.unbind(1).map((part) => ({ h: part, c: part.mul(0) }))],
    })
    const one = net.run(x, edge(left, net.signature))
    const other = turned.run(left, edge(x, turned.signature))
    const hidden = (state: axis.StackState): Tensor[] => (state.time[0] as { h: Tensor }[]).map(({ h }) => h)
    for (const [t, h] of hidden(other.state).entries()) await same(h, one.output.select(1, t), `top ${t}`)
    for (const [l, h] of hidden(one.state).entries()) await same(h, other.output.select(1, l), `right ${l}`)
  })

  test('elsewhere the rows change places, and what starts anew is listed', () => {
    const turned = axis.rotate(new axis.Stack({ width: 4, layers: 2, alongTime: axis.lstm(), mlp: 2 }))
    expect(turned.kept).toBe(false)
    expect(turned.stack.alongTime.name).toBe('residualRNN')
    expect(turned.stack.alongDepth?.name).toBe('lstm')
    expect(turned.fresh).toContain('writes.0.time.weightIh')
    expect(turned.fresh).not.toContain('writes.0.depth.weightIh')
    expect(turned.fresh).not.toContain('writes.1.mlp.linear1.weight')
  })

  test('static dense weights change places: DenseFormer and the long convolution', () => {
    const net = new axis.Stack({
      width: 4,
      layers: 2,
      alongTime: axis.longConvolution({ length: 8 }),
      alongDepth: axis.denseFormer(),
    })
    const { stack } = axis.rotate(net)
    expect([stack.alongTime.name, stack.alongDepth?.name]).toEqual(['longConvolution', 'denseFormer'])
    const turned = axis.rotate(
      new axis.Stack({ width: 4, layers: 2, alongTime: axis.lstm(), alongDepth: axis.denseFormer() }),
    )
    expect([turned.stack.alongTime.name, turned.stack.alongDepth?.name]).toEqual(['longConvolution', 'lstm'])
  })

  test.each([
    [axis.lstm(), axis.postNorm(), /postNorm.*normalised/],
    [axis.recurrentHighway(), undefined, /recurrentHighway.*micro-steps/],
  ])('says why it cannot turn %#', (alongTime, alongDepth, why) => {
    const net = new axis.Stack({ width: 4, layers: 2, alongTime, ...(alongDepth && { alongDepth }) })
    expect(() => axis.rotate(net)).toThrow(why)
  })
})

test('describe counts parameters, serial steps and state', () => {
  const net = new axis.Stack({ width: 8, layers: 3, alongTime: axis.lstm(), norm: 'none' })
  const told = axis.describe(net, { steps: 100 })
  expect(told).toMatchObject({
    form: 'recurrent',
    serialSteps: 102,
    parameters: 3 * 4 * (2 * 64 + 16),
    stateBytes: 3 * 2 * 8 * 4,
    grows: false,
  })
  expect(told.time).toMatchObject({ a: 'f', b: 'i', tied: true, injected: 'each step' })
  expect(told.depth).toMatchObject({ a: '1', b: '1', tied: false, injected: 'the first step' })
  expect(String(told)).toContain('serial steps 102')
  const scan = new axis.Stack({ width: 8, layers: 3, alongTime: axis.minLSTM() })
  expect(axis.describe(scan, { steps: 1024 })).toMatchObject({ form: 'scan', serialSteps: 30 })
  scan.form = 'recurrent'
  expect(axis.describe(scan, { steps: 1024 }).form).toBe('recurrent')
  const attention = new axis.Stack({ width: 8, layers: 2, alongTime: axis.attention() })
  expect(axis.describe(attention, { steps: 10 })).toMatchObject({
    form: 'direct',
    grows: true,
    stateBytes: 2 * 2 * 8 * 10 * 4,
  })
  // A window: its bytes grow with its length and not with the steps.
  const window = new axis.Stack({ width: 8, layers: 2, alongTime: axis.longConvolution({ length: 32 }) })
  for (const steps of [10, 1000])
    expect(axis.describe(window, { steps })).toMatchObject({
      form: 'direct',
      serialSteps: 2,
      grows: false,
      stateBytes: 2 * 31 * 8 * 4,
    })
})

describe('a carrier of your own', () => {
  test('is held to the rules on both axes', async () => {
    expect(Object.keys(await axis.check(leaky))).toEqual(['time', 'depth'])
    const net = new axis.Stack({ width: 8, layers: 2, alongTime: leaky(), alongDepth: axis.highway() })
    expect(net.forward(zeros([2, 5, 8])).shape).toEqual([2, 5, 8])
  })

  const base = { parameters: () => ({}), initialState: ({ batch, width }: axis.StateSizes) => zeros([batch, width]) }
  const step = (_: object, state: Tensor, x: Tensor) => ({
    state: state.mul(0.5).add(x),
    output: state.mul(0.5).add(x),
  })

  test.each<[string, Partial<axis.CustomCarrier<object, Tensor>>, RegExp, string]>([
    [
      'an output of a wrong shape',
      { step: (_, s, x) => ({ state: s, output: x.slice(-1, 0, 1) }) },
      /axis.odd.*output/,
      'ERR_SHAPE',
    ],
    [
      'a state that changes its form',
      { step: (_, s, x) => ({ state: s.slice(-1, 0, 1), output: x }) },
      /axis.odd.*state/,
      'ERR_SHAPE',
    ],
    ['no output', { step: (() => ({})) as never }, /axis.odd.*output/, 'ERR_SHAPE'],
    [
      'a step that is not linear',
      { linear: true, step: (_, s, x) => ({ state: s.tanh().add(x), output: x }) },
      /axis.odd.*linear/,
      'ERR_ARGUMENT',
    ],
    [
      'a parallel form that is another',
      { step, parallel: (_, x, s) => ({ state: s, output: x }) },
      /axis.odd.*parallel/,
      'ERR_ARGUMENT',
    ],
    [
      'a gradient that is cut',
      { step: (_, s, x) => ({ state: s, output: x.tanh().detach().add(s) }) },
      /axis.odd.*gradient/,
      'ERR_ARGUMENT',
    ],
  ])('%s is refused', async (_, part, message, code) => {
    const odd = axis.carrier({ name: 'odd', ...base, step, ...part })
    await expect(axis.check(odd)).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
  })

  test('what is missing is named', () => {
    expect(() => axis.carrier({ name: 'x' } as never)).toThrow(/parameters is missing/)
  })
})

describe('what does not fit is refused, naming the carrier and the rule', () => {
  const sizes = { width: 4, layers: 2, alongTime: axis.lstm() }

  test.each<[string, () => unknown, RegExp, string]>([
    [
      'a depth carrier along time',
      () => new axis.Stack({ ...sizes, alongTime: axis.highway() }),
      /highway.*along time.*gru/,
      'ERR_ARGUMENT',
    ],
    [
      'a time carrier along depth',
      () => new axis.Stack({ ...sizes, alongDepth: axis.ssm() }),
      /ssm.*along depth/,
      'ERR_ARGUMENT',
    ],
    [
      'a second carrier beside one of both axes',
      () => new axis.Stack({ ...sizes, alongTime: axis.gridLSTM(), alongDepth: axis.plain() }),
      /gridLSTM.*both/,
      'ERR_ARGUMENT',
    ],
    ['no carrier', () => new axis.Stack({ width: 4, layers: 2 } as never), /alongTime/, 'ERR_ARGUMENT'],
    ['a form that it has not', () => new axis.Stack({ ...sizes, form: 'scan' }), /lstm.*form/, 'ERR_ARGUMENT'],
    ['another width', () => new axis.Stack(sizes).forward(zeros([2, 3, 5])), /lstm × residual.*width=4/, 'ERR_SHAPE'],
    [
      'heads that do not divide',
      () => new axis.Stack({ ...sizes, alongTime: axis.attention({ heads: 3 }) }),
      /attention.*heads/,
      'ERR_SHAPE',
    ],
    [
      'coupled gates without one',
      () => axis.lstm({ coupled: true, forgetGate: false }),
      /lstm.*forget/,
      'ERR_ARGUMENT',
    ],
    [
      'a state of another stack',
      () =>
        new axis.Stack(sizes).step(
          zeros([2, 4]),
          new axis.Stack({ ...sizes, alongTime: axis.gru() }).initialState({ batch: 2 }),
        ),
      /lstm.*another stack.*gru/,
      'ERR_ARGUMENT',
    ],
    [
      'a state of another batch',
      () => new axis.Stack(sizes).step(zeros([3, 4]), new axis.Stack(sizes).initialState({ batch: 2 })),
      /lstm.*3 rows/,
      'ERR_SHAPE',
    ],
    [
      'no state',
      () => new axis.Stack(sizes).step(zeros([3, 4]), undefined as never),
      /lstm.*another stack/,
      'ERR_ARGUMENT',
    ],
    [
      'a state that has lost its parts',
      () => {
        const net = new axis.Stack(sizes)
        net.step(zeros([2, 4]), { of: net.signature, time: [] })
      },
      /lstm: a state of this stack has 2 parts/,
      'ERR_ARGUMENT',
    ],
    [
      'a factory for a carrier',
      () => new axis.Stack({ ...sizes, alongTime: axis.lstm as never }),
      /alongTime.*lstm\(\)/,
      'ERR_ARGUMENT',
    ],
    ['text for a factor', () => axis.layerScale({ init: '1' as never }), /layerScale: init.*finite/, 'ERR_ARGUMENT'],
    ['NaN for a bias', () => axis.highway({ gateBias: Number.NaN }), /highway: gateBias/, 'ERR_ARGUMENT'],
    [
      'text for a flag',
      () => axis.lstm({ peepholes: 'no' as never }),
      /lstm: peepholes.*true or false/,
      'ERR_ARGUMENT',
    ],
    ['a keep beyond 1', () => axis.zoneout({ keep: 2 }), /zoneout: keep.*0 … 1/, 'ERR_ARGUMENT'],
    ['a keep of nothing', () => axis.stochasticDepth({ keep: 0 }), /stochasticDepth: keep/, 'ERR_ARGUMENT'],
    [
      'an axis that is none',
      () =>
        axis.carrier({
          name: 'odd',
          parameters: () => ({}),
          initialState: () => [],
          step: () => ({}),
          axes: ['up'],
        } as never),
      /odd: axes.*'time' and 'depth', got \[up\]/,
      'ERR_ARGUMENT',
    ],
  ])('%s', (_, act, message, code) => {
    expect(act).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }))
  })
})

test('starts keep the carry open', async () => {
  const bias = (stack: axis.Stack) => numbersOf((stack.writes[0] as { time: { biasIh: Tensor } }).time.biasIh)
  const one = await bias(new axis.Stack({ width: 4, layers: 1, alongTime: axis.lstm({ forgetBias: 3 }) }))
  expect([...one].slice(4, 8)).toEqual([3, 3, 3, 3])
  const chrono = [...(await bias(new axis.Stack({ width: 64, layers: 1, alongTime: axis.lstm({ chrono: 100 }) })))]
  const [i, f] = [chrono.slice(0, 64), chrono.slice(64, 128)]
  expect(i).toEqual(f.map((value) => -value))
  expect(Math.max(...f)).toBeLessThanOrEqual(Math.log(99))
  expect(Math.min(...f)).toBeGreaterThanOrEqual(0)
  const deep = new axis.Stack({ width: 4, layers: 30, alongTime: axis.dense(), alongDepth: axis.highway() })
  const gate = (deep.writes[7] as { depth: { gate: nn.Linear } }).depth.gate.bias as Tensor
  expect([...(await numbersOf(gate))]).toEqual([-3, -3, -3, -3])
  const x = tensor([[[1, 2, 3, 4]]])
  const zero = new axis.Stack({ width: 4, layers: 5, alongTime: axis.lstm(), alongDepth: axis.reZero() })
  expect(await zero.forward(x).toArray()).toEqual([[[1, 2, 3, 4]]])
})
