// The identities on axis.Stack: the same cell along time and along depth, in every form that it has.
import { axis, cat, type FloatDType, manualSeed, nn, normal, type Tensor, type Variable, zeros } from 'quarterturn'
import { beforeEach, describe, expect, test } from 'vitest'
import { law } from './law.js'
import { semiseparableRank } from './reference/mixing.js'
import { apart, apartRelative, at, matVec, sum, type Vec } from './reference/vector.js'
import { gradientsOf, numbers, toVecs } from './tensors.js'

const N = 8
const f64 = { dtype: 'float64' } as const

beforeEach(() => void manualSeed(7))

const input = (steps: number, dtype: FloatDType = 'float64', rows = 2): Tensor =>
  normal([rows, steps, N], 0, 1, { dtype })

function stack(options: Omit<axis.StackOptions, 'width'>, dtype: FloatDType = 'float64'): axis.Stack {
  return new axis.Stack({ width: N, norm: 'none', ...options }).to(dtype)
}

/** Gives `to` the values of `from`'s parameters, in order: the two have the same ones under other paths. */
function transfer(from: nn.Module, to: nn.Module): void {
  const [values, targets] = [from.parameters(), to.parameters()]
  expect(targets.map(({ shape }) => shape)).toEqual(values.map(({ shape }) => shape))
  for (const [i, target] of targets.entries()) target.assign(at(values, i))
}

/** The largest difference of two stacks' outputs and of the gradients of their parameters. */
async function differ(one: nn.Module, a: () => Tensor, other: nn.Module, b: () => Tensor): Promise<number> {
  const [x, y] = [a(), b()]
  const [dx, dy] = [
    await gradientsOf(x.sin().sum(), one.parameters()),
    await gradientsOf(y.sin().sum(), other.parameters()),
  ]
  return Math.max(apart(await numbers(x), await numbers(y)), apartRelative(dx, dy))
}

describe('one carrier, two axes', () => {
  const cells: [string, () => axis.Carrier][] = [
    ['elman', axis.elman],
    ['residualRNN', axis.residualRNN],
    ['lstm', axis.lstm],
    ['gru', axis.gru],
    ['janet', axis.janet],
    ['minGRU', axis.minGRU],
    ['minLSTM', axis.minLSTM],
    ['ema', axis.ema],
  ]

  test.each(cells)(
    'E1: %s over 64 steps is a tied net of 64 layers that is given x_k at layer k',
    async (name, make) => {
      const time = stack({ layers: 1, alongTime: make(), alongDepth: axis.plain() })
      const depth = stack({ layers: 64, alongTime: axis.none(), alongDepth: make(), tied: true, inject: 'sequence' })
      transfer(time, depth)
      const x = input(64)
      const residual = await differ(
        time,
        () => time.forward(x),
        depth,
        () => depth.forward(x),
      )
      law('E1', `axis ${name}: 64 steps ≡ 64 layers, tied, injected; outputs and gradients`, residual, 1e-11)
    },
  )

  test.each(cells)('E1: a quarter turn of %s, and another back, keep the outputs', async (name, make) => {
    const time = stack({ layers: 1, alongTime: make(), alongDepth: axis.plain() })
    const turned = axis.rotate(time)
    const back = axis.rotate(turned.stack)
    expect([turned.kept, back.kept, turned.fresh.length]).toEqual([true, true, 0])
    const x = input(16)
    const values = await numbers(time.forward(x))
    const residuals = [turned.stack, back.stack].map(async (net) => apart(await numbers(net.forward(x)), values))
    law(
      'E1',
      `axis.rotate(${name}), T=16, once and back: same outputs`,
      Math.max(...(await Promise.all(residuals))),
      1e-12,
    )
  })

  test('E1: the LSTM along depth is nn.LSTM along time', async () => {
    const depth = stack({ layers: 64, alongTime: axis.none(), alongDepth: axis.lstm(), tied: true, inject: 'sequence' })
    const net = new nn.LSTM(N, N, f64)
    transfer(depth, net)
    const x = input(64)
    const residual = await differ(
      depth,
      () => depth.forward(x),
      net,
      () => net.forward(x).output,
    )
    law('E1', 'axis.lstm along depth ≡ nn.LSTM along time; outputs and gradients', residual, 1e-11)
  })

  test('E3: dense layers carried by highway are nn.Highway', async () => {
    const net = new nn.Highway(N, { layers: 50, nonlinearity: 'tanh', ...f64 })
    const depth = stack({ layers: 50, alongTime: axis.dense(), alongDepth: axis.highway() })
    for (const [k, write] of depth.writes.entries()) {
      const { map } = write.time as { map: nn.Linear }
      const { gate } = write.depth as { gate: nn.Linear }
      const [weight, bias] = [net.weight.select(0, k), (net.bias as Tensor).select(0, k)]
      for (const [i, layer] of [map, gate].entries()) {
        layer.weight.assign(weight.slice(0, i * N, (i + 1) * N))
        layer.bias?.assign(bias.slice(0, i * N, (i + 1) * N))
      }
    }
    const x = input(3)
    law(
      'E3',
      'dense × highway, 50 layers ≡ nn.Highway',
      apart(await numbers(depth.forward(x)), await numbers(net.forward(x))),
      1e-12,
    )
  })

  test('a tied net that is given x at each layer is a residual RNN on constant input', async () => {
    const depth = stack({
      layers: 32,
      alongTime: axis.none(),
      alongDepth: axis.residualRNN(),
      tied: true,
      inject: 'each',
    })
    const time = stack({ layers: 1, alongTime: axis.residualRNN(), alongDepth: axis.plain() })
    transfer(time, depth)
    const x = input(1)
    const last = time.forward(x.expand([2, 32, N])).select(1, 31)
    law(
      'tied',
      'residual, 32 tied layers, x at each ≡ residual RNN on constant x',
      apart(await numbers(depth.forward(x)), await numbers(last)),
      1e-12,
    )
  })

  test('the gradient of a tied stack is the sum of the untied gradients', async () => {
    const options = { layers: 12, alongTime: axis.dense(), alongDepth: axis.highway() }
    const tied = stack({ ...options, tied: true })
    const untied = stack(options)
    const values = tied.parameters()
    for (const [i, p] of untied.parameters().entries()) p.assign(at(values, i % values.length))
    const x = input(3)
    const one = await gradientsOf(tied.forward(x).sin().sum(), values)
    const each = await gradientsOf(untied.forward(x).sin().sum(), untied.parameters())
    const sums = one.map((g, i) =>
      g.map((_, j) => each.reduce((s, part, k) => s + (k % one.length === i ? at(part, j) : 0), 0)),
    )
    law('tied', 'dense × highway, 12 tied layers: gradient ≡ Σ of untied', apartRelative(one, sums), 1e-11)
  })
})

test('E10: a Grid LSTM on the transposed grid with exchanged weights gives the transposed output', async () => {
  const [T, L] = [9, 4]
  const grid = (layers: number): axis.Stack => stack({ layers, alongTime: axis.gridLSTM(), tied: true })
  const [one, turned] = [grid(L), grid(T)]
  const swapped = (m: Tensor): Tensor => cat([m.slice(1, N), m.slice(1, 0, N)], 1)
  const find = (net: axis.Stack, name: string): Variable =>
    [...net.namedParameters()].find(([path]) => path.endsWith(name))?.[1] as Variable
  for (const [from, to] of [
    ['time', 'depth'],
    ['depth', 'time'],
  ]) {
    find(turned, `${to}.weight`).assign(swapped(find(one, `${from}.weight`)))
    find(turned, `${to}.bias`).assign(find(one, `${from}.bias`))
  }
  const [below, before] = [input(T, 'float64', 1), input(L, 'float64', 1)]
  const edge = (net: axis.Stack, x: Tensor): axis.StackState => {
    const state = net.initialState({ batch: 1 })
    const cells = x.unbind(1).map((h) => ({ h, c: h.mul(0) }))
    return { ...state, time: [cells] }
  }
  const a = one.run(below, edge(one, before))
  const b = turned.run(before, edge(turned, below))
  const hidden = async ({ time }: axis.StackState): Promise<Vec[]> =>
    Promise.all((time[0] as { h: Tensor }[]).map(({ h }) => numbers(h)))
  const residual = Math.max(
    apart(await toVecs(b.output.squeeze(0)), await hidden(a.state)),
    apart(await hidden(b.state), await toVecs(a.output.squeeze(0))),
  )
  law('E10', `axis.gridLSTM, ${T} × ${L}, axes exchanged ≡ output transposed`, residual, 1e-12)
})

/** Every carrier along time that the library's table has. */
const carriers: [string, () => axis.Carrier][] = [
  ['dense', axis.dense],
  ['none', axis.none],
  ...axis.carriers.flatMap(({ time, both = {} }) => Object.entries({ ...time, ...both })),
]

describe('forms', () => {
  test('there are carriers along time', () => {
    expect(carriers.map(([name]) => name)).toEqual(
      expect.arrayContaining(['elman', 'lstm', 'gru', 'minGRU', 'minLSTM', 'ema']),
    )
  })

  test.each(carriers)('%s: streaming is the sequence', async (name, make) => {
    const net = new axis.Stack({ width: N, layers: 2, alongTime: make() }).to('float64').eval()
    const x = input(20)
    let state = net.initialState({ batch: 2 })
    const steps: Vec[] = []
    for (let t = 0; t < 20; t++) {
      const next = net.step(x.select(1, t), state)
      state = next.state
      steps.push(await numbers(next.output))
    }
    const whole = await numbers((net.forward(x) as Tensor).transpose(0, 1))
    law('step', `axis ${name}, two layers, T=20: stream ≡ sequence`, apart(steps.flat(), whole), 1e-10)
  })

  const both = carriers.filter(([, make]) => make().parallelForm !== undefined && make().parallel !== undefined)
  const forms = both.flatMap(([name, make]) =>
    (
      [
        ['float64', 200, 1e-10],
        ['float32', 4096, 1e-4],
      ] as const
    ).map(([dtype, T, bound]) => [name, dtype, T, bound, make] as const),
  )
  test.each(forms)('%s in %s over %i steps: parallel is recurrent', async (name, dtype, T, bound, make) => {
    const net = stack({ layers: 1, alongTime: make(), alongDepth: axis.plain(), norm: 'layer' }, dtype).eval()
    const x = input(T, dtype, 1)
    // Where the state grows, the recurrent form costs T²: it takes over for the last steps, whose state is that of all before.
    const head = make().grows ? Math.max(0, T - 64) : 0
    net.form = make().parallelForm as axis.Form
    const whole = await numbers(net.forward(x).slice(1, head))
    const before = head > 0 ? net.run(x.slice(1, 0, head)).state : undefined
    net.form = 'recurrent'
    const outputs = [whole, await numbers(net.run(x.slice(1, head), before).output)]
    law(
      'par',
      `axis ${name} ${dtype}, T=${T}: ${make().parallelForm} ≡ recurrent`,
      apartRelative(at(outputs, 0), at(outputs, 1)),
      bound,
    )
  })
})

describe('the mixing matrix along depth', () => {
  const K = 10
  const structures: [string, () => axis.Carrier, string][] = [
    ['residual', axis.residual, 'all ones'],
    ['scaled', () => axis.scaled({ shortcut: 0.7 }), 'rows sum to one'],
    ['highway', () => axis.highway({ gateBias: -1 }), 'rows sum to one'],
    ['fullHighway', () => axis.fullHighway({ gateBias: -1 }), 'rank one'],
    ['reZero', axis.reZero, 'rank one'],
    ['layerScale', () => axis.layerScale({ init: 0.3 }), 'rank one'],
  ]
  test.each(structures)(
    '%s: the state is M times the writes, and M has its structure',
    async (name, make, structure) => {
      const net = stack({ layers: K, alongTime: axis.dense(), alongDepth: make() })
      if (name === 'reZero')
        for (const { depth } of net.writes) (depth as { alpha: Variable }).alpha.assign(zeros([1], f64).add(0.4))
      const carried = await axis.carry(net, input(1, 'float64', 1))
      for (let unit = 0; unit < N; unit++) {
        const m = axis.mixingMatrix(carried, unit)
        const writes = [at(carried.start, unit), ...carried.steps.map(({ v }) => at(v, unit))]
        const states = [at(carried.start, unit), ...carried.steps.map(({ s }) => at(s, unit))]
        const residual = apart(matVec(m, writes), states)
        if (unit === 0) law('mix', `axis ${name}, ${K} layers: state ≡ M · writes, ${structure}`, residual, 1e-12)
        expect(residual).toBeLessThan(1e-12)
        expect(semiseparableRank(m, 1e-9)).toBe(1)
        const sums = m.map(sum)
        const ones = sums.map(() => 1)
        if (structure === 'all ones') expect(m).toEqual(m.map((row, k) => row.map((_, i) => (i > k ? 0 : 1))))
        if (structure === 'rows sum to one') expect(apart(sums, ones)).toBeLessThan(1e-10)
        if (structure === 'rank one') expect(apart(sums, ones)).toBeGreaterThan(1e-2)
      }
    },
  )
})
