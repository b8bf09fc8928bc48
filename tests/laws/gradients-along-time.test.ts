// Gradients along time on a Stack: their norms and paths against Jacobians written out by hand, in plain f64.
import { axis, manualSeed, normal, type Tensor, tensor, type Variable } from 'quarterturn'
import { beforeEach, describe, expect, test } from 'vitest'
import { law } from './law.js'
import type { GateWeights } from './reference/axis.js'
import { lstmCell, lstmJacobian, lstmLoop } from './reference/lstm.js'
import {
  add,
  apart,
  apartRelative,
  at,
  eye,
  fill,
  type Mat,
  matAdd,
  matMul,
  matVec,
  mul,
  scaleRows,
  sum,
  transpose,
  type Vec,
} from './reference/vector.js'
import { numbers, toVecs } from './tensors.js'

const [N, T] = [3, 12]
const f64 = { dtype: 'float64' } as const

beforeEach(() => void manualSeed(11))

/** One layer over plain depth: what is along time, and nothing else. Biases are zero where the reference has one for two. */
async function one(carrier: axis.Carrier): Promise<{ stack: axis.Stack; x: Tensor; xs: Vec[]; weights: GateWeights }> {
  const stack = new axis.Stack({ width: N, layers: 1, alongTime: carrier, alongDepth: axis.plain(), norm: 'none' })
  stack.to('float64').eval()
  const parameters = at(stack.writes, 0).time as Record<'weightIh' | 'weightHh' | 'biasIh' | 'biasHh', Variable>
  for (const p of stack.parameters()) p.assign(p.mul(1.5))
  const [ih, hh] = [await toVecs(parameters.weightIh), await toVecs(parameters.weightHh)]
  const bias = add(await numbers(parameters.biasIh), await numbers(parameters.biasHh))
  const x = normal([1, T, N], 0, 1, f64)
  return { stack, x, xs: await toVecs(x.squeeze(0)), weights: { ih, hh, bias } }
}

/** Jacobians of the steps of h' = [h +] tanh(W x + U h + b): [1 +] diag(1 − tanh²) U. */
function plainJacobians({ ih, hh, bias }: GateWeights, xs: readonly Vec[], residual: boolean): Mat[] {
  let h = fill(N)
  return xs.map((x) => {
    const y = add(add(matVec(ih as Mat, x), matVec(hh, h)), bias).map(Math.tanh)
    h = residual ? add(h, y) : y
    const inner = scaleRows(
      y.map((v) => 1 - v * v),
      hh,
    )
    return residual ? matAdd(eye(N), inner) : inner
  })
}

function lstmJacobians(weights: GateWeights, xs: readonly Vec[]): Mat[] {
  const states = lstmLoop(xs, { h: fill(N), c: fill(N) }, weights)
  return xs.map((x, t) => lstmJacobian(x, at(states, t), weights))
}

/** ‖vᵀ J_T ⋯ J_(k+1)‖ for k = 0 … T. */
function normsOf(jacobians: readonly Mat[], v: Vec): Vec {
  const norms = [Math.hypot(...v)]
  let g = v
  for (const j of [...jacobians].reverse()) {
    g = matVec(transpose(j), g)
    norms.unshift(Math.hypot(...g))
  }
  return norms
}

const product = (jacobians: readonly Mat[]): Mat =>
  jacobians.reduce((p, j) => matMul(j, p), eye(at(jacobians, 0).length))

/** Least squares over 0, 1, 2, … */
function slope(values: Vec): number {
  const places = values.map((_, k) => k - (values.length - 1) / 2)
  return sum(mul(places, values)) / sum(mul(places, places))
}

describe('norms and Jacobians along time', () => {
  const cells: [string, () => axis.Carrier, (weights: GateWeights, xs: readonly Vec[]) => Mat[]][] = [
    ['elman', axis.elman, (weights, xs) => plainJacobians(weights, xs, false)],
    ['residualRNN', axis.residualRNN, (weights, xs) => plainJacobians(weights, xs, true)],
    ['lstm', axis.lstm, lstmJacobians],
  ]
  test.each(cells)('%s: products of the Jacobians of its steps', async (name, make, jacobiansOf) => {
    const { stack, x, xs, weights } = await one(make())
    const jacobians = jacobiansOf(weights, xs)
    const trace = axis.traceTime(stack, x)
    const v = (await numbers(normal([at(jacobians, 0).length], 0, 1, f64))) as Vec
    const loss = (parts: readonly Tensor[]): Tensor =>
      parts
        .map((part, i) =>
          part
            .reshape([N])
            .mul(tensor(v.slice(i * N, (i + 1) * N), f64))
            .sum(),
        )
        .reduce((total, term) => total.add(term))
    const { norms, exponent } = await axis.gradientNorms(trace, loss)
    const expected = normsOf(jacobians, v)
    law('E4', `axis ${name}: ‖∂L/∂s_t‖, T=${T} ≡ ‖vᵀ ∏ J‖`, apartRelative(norms, expected), 1e-12)
    expect(exponent).toBeCloseTo(-slope(expected.map(Math.log)), 10)
    for (const [from, to] of [
      [0, T],
      [4, 9],
      [T - 1, T],
    ] as const) {
      const found = await toVecs(axis.jacobian(trace, from, to))
      law(
        'E4',
        `axis ${name}: ∂s_${to}/∂s_${from} ≡ ∏ J`,
        apartRelative(found, product(jacobians.slice(from, to))),
        1e-12,
      )
    }
  })

  test('elman: the spectrum is that of the product, by its traces', async () => {
    const { stack, x, xs, weights } = await one(axis.elman())
    const j = product(plainJacobians(weights, xs, false).slice(0, 4))
    const { singularValues } = await axis.spectrum(axis.jacobian(axis.traceTime(stack, x), 0, 4))
    // Σ σ² = tr JᵀJ and Σ σ⁴ = tr (JᵀJ)².
    const gram = matMul(transpose(j), j)
    const trace = (m: Mat): number => sum(m.map((row, i) => at(row, i)))
    const squares = singularValues.map((s) => s * s)
    expect(sum(squares) / trace(gram)).toBeCloseTo(1, 10)
    expect(sum(mul(squares, squares)) / trace(matMul(gram, gram))).toBeCloseTo(1, 10)
  })

  test('an exponential average loses its decay at each step, which is the exponent', async () => {
    const stack = new axis.Stack({ width: N, layers: 1, alongTime: axis.ema(), alongDepth: axis.plain(), norm: 'none' })
    stack.to('float64').eval()
    const { decay } = at(stack.writes, 0).time as { decay: Variable }
    decay.assign(decay.mul(0).add(Math.log(4))) // σ = 0.8
    const { norms, exponent } = await axis.gradientNorms(axis.traceTime(stack, normal([2, T, N], 0, 1, f64)))
    expect(exponent).toBeCloseTo(Math.log(0.8), 10)
    expect(at(norms, 0) / at(norms, T)).toBeCloseTo(0.8 ** T, 12)
  })
})

describe('the direct path along time against the full one', () => {
  /** ∏ f_t, what the cell's carry alone lets through. */
  const carousel = (weights: GateWeights, xs: readonly Vec[]): Vec => {
    let state = { h: fill(N), c: fill(N) }
    return xs.reduce(
      (p, x) => {
        const next = lstmCell(x, state, weights)
        state = next
        return mul(p, at(next.gates, 1))
      },
      fill(N, 1),
    )
  }
  /** ∂c_T/∂c_0 of the stack. */
  const full = async (stack: axis.Stack, x: Tensor): Promise<Mat> =>
    (await toVecs(axis.jacobian(axis.traceTime(stack, x), 0, T))).slice(N).map((row) => row.slice(N))
  const diagonal = (v: Vec): Mat => scaleRows(v, eye(N))

  test('an LSTM whose gates read its state has more paths than its carousel', async () => {
    const { stack, x, xs, weights } = await one(axis.lstm())
    const [direct, all] = [carousel(weights, xs), await full(stack, x)]
    const byHand = product(lstmJacobians(weights, xs))
      .slice(N)
      .map((row) => row.slice(N))
    law(
      'E4',
      `axis lstm: ∂c_T/∂c_0 of a Stack ≡ ∏ J, T=${T}`,
      apartRelative(all, byHand),
      1e-12,
      `apart from ∏ f by ${apart(all, diagonal(direct)).toExponential(1)}`,
    )
    expect(apart(all, diagonal(direct))).toBeGreaterThan(0.01 * Math.max(...direct))
  })

  test('an LSTM whose gates read the input alone has the carousel and nothing else', async () => {
    const { stack, x, xs, weights } = await one(axis.lstm())
    const { weightHh } = at(stack.writes, 0).time as { weightHh: Variable }
    weightHh.assign(weightHh.mul(0))
    const direct = carousel({ ...weights, hh: weights.hh.map((row) => fill(row.length)) }, xs)
    law('E4', `axis lstm, W_hh = 0: ∂c_T/∂c_0 ≡ diag ∏ f, T=${T}`, apart(await full(stack, x), diagonal(direct)), 1e-14)
  })

  test('a linear carrier has the direct path alone: minLSTM, ∏ f/(f + i)', async () => {
    const stack = new axis.Stack({
      width: N,
      layers: 1,
      alongTime: axis.minLSTM(),
      alongDepth: axis.plain(),
      norm: 'none',
    })
    stack.to('float64').eval()
    const { weightIh, biasIh } = at(stack.writes, 0).time as { weightIh: Variable; biasIh: Variable }
    const [weight, bias] = [await toVecs(weightIh), await numbers(biasIh)]
    const x = normal([1, T, N], 0, 1, f64)
    const direct = (await toVecs(x.squeeze(0))).reduce(
      (p, row) => {
        const gates = add(matVec(weight, row), bias).map((v) => 1 / (1 + Math.exp(-v)))
        return p.map((value, j) => (value * at(gates, j)) / (at(gates, j) + at(gates, N + j)))
      },
      fill(N, 1),
    )
    const found = await toVecs(axis.jacobian(axis.traceTime(stack, x), 0, T))
    law('E4', `axis minLSTM: ∂h_T/∂h_0 ≡ diag ∏ f/(f + i), T=${T}`, apart(found, diagonal(direct)), 1e-14)
  })
})
