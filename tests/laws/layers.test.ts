// The same identities on the library's own layers: against the reference on plain arrays, and against each other.

import {
  type FloatDType,
  grad,
  manualSeed,
  nn,
  normal,
  scan,
  type Tensor,
  tensor,
  uniform,
  Variable,
  zeros,
} from 'quarterturn'
import { beforeEach, describe, expect, test } from 'vitest'
import { law } from './law.js'
import { type AxisStep, coupledStep, type GateWeights, gates, lstmStep, runAxis } from './reference/axis.js'
import { wavefront } from './reference/grid.js'
import { lstmJacobian, lstmLoop } from './reference/lstm.js'
import { newton } from './reference/newton.js'
import { lstmNewton } from './reference/problems.js'
import { scanParallel } from './reference/scan.js'
import {
  add,
  apart,
  apartRelative,
  at,
  Draws,
  eye,
  fill,
  type Mat,
  matMul,
  matVec,
  sigmoid,
  type Vec,
} from './reference/vector.js'
import { gradientsOf, numbers, toVecs } from './tensors.js'

const N = 8
const M = 5
const { functional: F } = nn
const f64 = { dtype: 'float64' } as const

beforeEach(() => void manualSeed(7))

/** The weights of layer `k` of an nn.LSTM, as the reference has them. */
async function lstmWeights(net: nn.LSTM, k = 0): Promise<GateWeights> {
  const { weightIh, weightHh, biasIh, biasHh } = at(net.weights, k)
  const [ih, hh] = [await toVecs(weightIh), await toVecs(weightHh)]
  return { ih, hh, bias: add(await numbers(biasIh as Tensor), await numbers(biasHh as Tensor)) }
}

describe('one integrator, two axes', () => {
  test.each([
    ['float64', 1e-12],
    ['float32', 1e-5],
  ] as const)('E1: nn.LSTM over 64 steps in %s is a tied, injected net of 64 layers', async (dtype, bound) => {
    const net = new nn.LSTM(M, N, { dtype })
    const x = normal([1, 64, M], 0, 1, { dtype })
    const [h, c] = [normal([1, 1, N], 0, 1, { dtype }), normal([1, 1, N], 0, 1, { dtype })]
    const { output, state } = net.forward(x, { h, c })
    const step = lstmStep(await lstmWeights(net))
    const depth = runAxis(
      Array.from({ length: 64 }, () => step),
      await numbers(c),
      { r0: await numbers(h), rho: Math.tanh, inputs: await toVecs(x.squeeze(0)) },
    )
    const residual = apart(
      [await toVecs(output.squeeze(0)), await numbers(state.c)],
      [depth.readouts.slice(1), depth.states.at(-1)],
    )
    law('E1', `nn.LSTM ${dtype}, T=64 ≡ 64 layers, tied, injected`, residual, bound)
  })

  test.each([
    ['float64', 1e-12],
    ['float32', 1e-5],
  ] as const)('E3: nn.Highway of 50 layers in %s is the coupled-gate engine', async (dtype, bound) => {
    const net = new nn.Highway(N, { layers: 50, nonlinearity: 'tanh', dtype })
    const x = normal([1, N], 0, 1, { dtype })
    const y = await numbers(net.forward(x))
    const [weight, bias] = [await toVecs(net.weight.reshape([50 * 2 * N, N])), await toVecs(net.bias as Tensor)]
    const steps = bias.map((b, k) => coupledStep({ hh: weight.slice(k * 2 * N, (k + 1) * 2 * N), bias: b }))
    law(
      'E3',
      `nn.Highway ${dtype}, 50 layers ≡ coupled-gate engine`,
      apart(y, runAxis(steps, await numbers(x)).states.at(-1)),
      bound,
    )
  })

  test('E9: nn.LSTM of 4 layers is the wavefront over its anti-diagonals', async () => {
    const net = new nn.LSTM(M, N, { numLayers: 4, ...f64 })
    const x = normal([1, 25, M], 0, 1, f64)
    const layers = await Promise.all([0, 1, 2, 3].map((k) => lstmWeights(net, k)))
    const { output, serial } = wavefront(await toVecs(x.squeeze(0)), layers)
    law(
      'E9',
      'nn.LSTM, 4 layers, T=25 ≡ wavefront',
      apart(await toVecs(net.forward(x).output.squeeze(0)), output),
      1e-12,
      `${serial} serial steps`,
    )
  })

  test('a tied residual net that is given x at each layer is a residual RNN on constant input', async () => {
    const [inner, outer] = [new nn.Linear(N, N, f64), new nn.Linear(M, N, { ...f64, bias: false })]
    const [x, s] = [normal([3, M], 0, 1, f64), normal([3, N], 0, 1, f64)]
    let h: Tensor = s
    for (let layer = 0; layer < 32; layer++) h = h.add(inner.forward(h).add(outer.forward(x)).tanh())
    const constant = x.unsqueeze(0).expand([32, 3, M])
    const time = scan(
      (carry: Tensor, u: Tensor) => {
        const next = carry.add(inner.forward(carry).add(outer.forward(u)).tanh())
        return { state: next, output: next }
      },
      s,
      constant,
      { axis: 0 },
    )
    law(
      'tied',
      'residual net, 32 tied layers ≡ scan over time of constant input',
      apart(await numbers(h), await numbers(time.state)),
      1e-12,
    )
  })
})

describe('gradients', () => {
  test('E4: libtorch’s gradient through 64 steps of nn.LSTM is the product of the analytic Jacobians', async () => {
    const net = new nn.LSTM(M, N, f64)
    const x = normal([1, 64, M], 0, 1, f64)
    const [h, c] = [new Variable(normal([1, 1, N], 0, 1, f64)), new Variable(normal([1, 1, N], 0, 1, f64))]
    const { state } = net.forward(x, { h, c })
    const rows: Vec[] = []
    for (const part of [state.h, state.c])
      for (let j = 0; j < N; j++) {
        const g = grad(part.reshape([N]).select(0, j), [h, c], { retain: true })
        rows.push([...(await numbers(g.get(h))), ...(await numbers(g.get(c)))])
      }
    const weights = await lstmWeights(net)
    const xs = await toVecs(x.squeeze(0))
    const states = lstmLoop(xs, { h: await numbers(h), c: await numbers(c) }, weights)
    const product = xs.reduce((p, u, t) => matMul(lstmJacobian(u, at(states, t), weights), p), eye(2 * N))
    law('E4', 'nn.LSTM, T=64: gradient of (h, c) ≡ ∏ of analytic Jacobians', apartRelative(rows, product), 1e-10)
  })

  test('the gradient of tied layers is the sum of those of untied layers that are equal', async () => {
    const [weight, bias] = [uniform([2 * N, N], -0.4, 0.4, f64), uniform([2 * N], -0.4, 0.4, f64)]
    const x = normal([3, N], 0, 1, f64)
    const [w, b] = [new Variable(weight), new Variable(bias)]
    const stacked = (v: Tensor): Tensor => v.unsqueeze(0).expand([20, ...v.shape])
    const [W, B] = [new Variable(stacked(weight)), new Variable(stacked(bias))]
    const loss = (one: Tensor, other: Tensor): Tensor => F.highway(x, one, other, { nonlinearity: 'tanh' }).sin().sum()
    const tied = await gradientsOf(loss(stacked(w), stacked(b)), [w, b])
    const untied = grad(loss(W, B), [W, B])
    const sums = [await numbers(untied.get(W).sum(0)), await numbers(untied.get(B).sum(0))]
    law('tied', 'Highway, 20 tied layers: gradient ≡ Σ of untied gradients', apartRelative(tied, sums), 1e-11)
  })

  test('the gradient of an LSTM’s weights over time is the sum of those of one layer per step', async () => {
    const net = new nn.LSTM(M, N, f64)
    const x = normal([2, 16, M], 0, 1, f64)
    const names = ['weightIh', 'weightHh', 'biasIh', 'biasHh'] as const
    const over = at(net.weights, 0)
    const tied = await gradientsOf(
      net.forward(x).output.sin().sum(),
      names.map((name) => over[name] as Variable),
    )
    const layers = Array.from({ length: 16 }, () =>
      Object.fromEntries(names.map((name) => [name, new Variable(over[name] as Tensor)])),
    ) as Record<(typeof names)[number], Variable>[]
    let state = { h: zeros([2, N], f64) as Tensor, c: zeros([2, N], f64) as Tensor }
    let loss: Tensor | undefined
    for (const [t, layer] of layers.entries()) {
      state = F.lstmCell(x.select(1, t), state, layer)
      const term = state.h.sin().sum()
      loss = loss === undefined ? term : loss.add(term)
    }
    const untied = grad(
      loss as Tensor,
      layers.flatMap((layer) => names.map((name) => layer[name])),
    )
    const sums: Vec[] = []
    for (const name of names) {
      let total = fill((over[name] as Tensor).size)
      for (const layer of layers) total = add(total, await numbers(untied.get(layer[name])))
      sums.push(total)
    }
    law('tied', 'nn.LSTM, T=16: gradient of weights ≡ Σ over 16 untied layers', apartRelative(tied, sums), 1e-11)
  })
})

/** nn.MinLSTM and nn.MinGRU as steps of the axis recurrence: gates that read only the input. */
const minimal: Record<'MinLSTM' | 'MinGRU', (weights: GateWeights) => AxisStep> = {
  MinLSTM: (weights) => (r, u) => {
    const [f, i, c] = gates(weights, r, u) as [Vec, Vec, Vec]
    const share = f.map((value, j) => sigmoid(value) / (sigmoid(value) + sigmoid(at(i, j))))
    return { a: share, b: share.map((s) => 1 - s), v: c }
  },
  MinGRU: (weights) => (r, u) => {
    const [z, c] = gates(weights, r, u) as [Vec, Vec]
    const b = z.map(sigmoid)
    return { a: b.map((s) => 1 - s), b, v: c }
  },
}

describe('parallel and recurrent forms', () => {
  const lengths: [FloatDType, number, number][] = [
    ['float64', 1000, 1e-10],
    ['float32', 4096, 1e-4],
  ]

  test.each(lengths)('E7: gatedScan in %s over %i steps is the parallel prefix', async (dtype, T, bound) => {
    const [a, b, h] = [
      uniform([1, T, N], 0, 1, { dtype }),
      normal([1, T, N], 0, 1, { dtype }),
      normal([1, N], 0, 1, { dtype }),
    ]
    const { output } = F.gatedScan(a, b, { h })
    const parallel = scanParallel(await toVecs(a.squeeze(0)), await toVecs(b.squeeze(0)), await numbers(h))
    law(
      'E7',
      `gatedScan ${dtype}, T=${T} ≡ parallel prefix`,
      apart(await toVecs(output.squeeze(0)), parallel.output),
      bound,
      `${parallel.levels} levels`,
    )
  })

  test.each(
    lengths.flatMap(([dtype, T, bound]) =>
      (['MinLSTM', 'MinGRU'] as const).map((name) => [name, dtype, T, bound] as const),
    ),
  )('nn.%s in %s over %i steps is the axis recurrence, and its own parallel form', async (name, dtype, T, bound) => {
    const net = new nn[name](M, N, { dtype })
    const x = normal([1, T, M], 0, 1, { dtype })
    const { output } = net.forward(x)
    const { weightIh, biasIh } = at(net.weights, 0)
    const count = name === 'MinLSTM' ? 3 : 2
    const weights = {
      hh: Array.from({ length: count * N }, () => fill(N)),
      ih: await toVecs(weightIh),
      bias: await numbers(biasIh as Tensor),
    }
    const step = minimal[name](weights)
    const run = runAxis(
      Array.from({ length: T }, () => step),
      fill(N),
      { inputs: await toVecs(x.squeeze(0)) },
    )
    const ours = await toVecs(output.squeeze(0))
    law('par', `nn.${name} ${dtype}, T=${T} ≡ recurrence`, apart(ours, run.states.slice(1)), bound)
    const writes = run.terms.map(({ b, v }) => b.map((value, j) => value * at(v, j)))
    const parallel = scanParallel(
      run.terms.map(({ a }) => a),
      writes,
      fill(N),
    )
    law('par', `nn.${name} ${dtype}, T=${T} ≡ parallel prefix`, apart(ours, parallel.output), bound)
  })

  test('E8: Newton’s states are those of the library’s LSTM', async () => {
    const { recurrence, start, weights, xs } = lstmNewton(new Draws(8), 256)
    const asTensor = (values: Vec | Mat): Tensor => tensor(values as number[], f64)
    const { output } = F.lstm(asTensor(xs).unsqueeze(0), undefined, {
      weightIh: asTensor(weights.ih as Mat),
      weightHh: asTensor(weights.hh),
      biasIh: asTensor(weights.bias),
      biasHh: zeros([4 * N], f64),
    })
    const solved = newton(recurrence, start, 256)
    law(
      'E8',
      'Newton ≡ nn.functional.lstm, T=256',
      apart(
        solved.states.map((s) => s.slice(0, N)),
        await toVecs(output.squeeze(0)),
      ),
      1e-11,
      `${solved.iterations} iterations`,
    )
  })

  const streams: [
    string,
    (dtype: FloatDType) => { forward(x: Tensor, state?: never): { output: Tensor; state: unknown } },
  ][] = [
    ['LSTM', (dtype) => new nn.LSTM(M, N, { numLayers: 2, dtype })],
    ['GRU', (dtype) => new nn.GRU(M, N, { numLayers: 2, dtype })],
    ['RNN', (dtype) => new nn.RNN(M, N, { numLayers: 2, dtype })],
    ['MinLSTM', (dtype) => new nn.MinLSTM(M, N, { numLayers: 2, dtype })],
    ['MinGRU', (dtype) => new nn.MinGRU(M, N, { numLayers: 2, dtype })],
  ]
  test.each(streams)('nn.%s fed step by step is the same as the whole sequence', async (name, make) => {
    for (const [dtype, bound] of [
      ['float64', 1e-10],
      ['float32', 1e-5],
    ] as const) {
      const net = make(dtype)
      const x = normal([2, 24, M], 0, 1, { dtype })
      let state: unknown
      const steps: Vec[] = []
      for (let t = 0; t < 24; t++) {
        const next = net.forward(x.slice(1, t, t + 1), state as never)
        state = next.state
        steps.push(await numbers(next.output))
      }
      const whole = await numbers(net.forward(x).output.transpose(0, 1))
      law('step', `nn.${name} ${dtype}, two layers, T=24: stream ≡ sequence`, apart(steps.flat(), whole), bound)
    }
  })
})

test('a law sees a change of one weight', async () => {
  const net = new nn.Highway(N, { layers: 2, nonlinearity: 'tanh', ...f64 })
  const x = normal([1, N], 0, 1, f64)
  const before = await numbers(net.forward(x))
  net.weight.assign(net.weight.mul(1.001))
  expect(apart(await numbers(net.forward(x)), before)).toBeGreaterThan(1e-6)
  expect(matVec(eye(2), [1, 2])).toEqual([1, 2])
})
