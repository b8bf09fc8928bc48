// "An LSTM is a ResNet turned by 90 degrees", on plain arrays in float64: the identities E1 to E10, each by two independent computations.
import { describe, expect, test } from 'vitest'
import { law } from './law.js'
import {
  type AxisStep,
  coupledStep,
  decayStep,
  type GateWeights,
  lstmStep,
  residualStep,
  runAxis,
} from './reference/axis.js'
import { lstmComplexStep } from './reference/complex.js'
import { gridLstm, layerByLayer, rotateGrid, wavefront } from './reference/grid.js'
import { lstmJacobian, lstmLoop } from './reference/lstm.js'
import { mixingMatrix, semiseparableRank, writesOf } from './reference/mixing.js'
import { loop, newton } from './reference/newton.js'
import { lstmNewton, residualNewton } from './reference/problems.js'
import { scanLoop, scanParallel } from './reference/scan.js'
import {
  add,
  apart,
  apartRelative,
  at,
  Draws,
  eye,
  fill,
  type Mat,
  matAdd,
  matMul,
  matVec,
  mul,
  sigmoid,
  sum,
  transpose,
  type Vec,
} from './reference/vector.js'

const N = 8
const M = 5

function gateWeights(draws: Draws, count: number, { inputs = M, reads = N, gain = 1 } = {}): GateWeights {
  const weights = { hh: draws.mat(count * N, reads, gain / Math.sqrt(reads)), bias: draws.vec(count * N, 0.1) }
  return inputs === 0 ? weights : { ...weights, ih: draws.mat(count * N, inputs, 1 / Math.sqrt(inputs)) }
}

const vectors = (draws: Draws, count: number, n: number): Vec[] => Array.from({ length: count }, () => draws.vec(n))
const tied = (step: AxisStep, count: number): AxisStep[] => Array.from({ length: count }, () => step)

describe('one integrator, two axes', () => {
  test('E1: an LSTM over 64 steps is a tied, injected net of 64 layers', () => {
    const draws = new Draws(1)
    const weights = gateWeights(draws, 4)
    const xs = vectors(draws, 64, M)
    const [h, c] = [draws.vec(N), draws.vec(N)]
    const time = lstmLoop(xs, { h, c }, weights)
    const depth = runAxis(tied(lstmStep(weights), 64), c, { r0: h, rho: Math.tanh, inputs: xs })
    const residual = apart([depth.states, depth.readouts], [time.map((s) => s.c), time.map((s) => s.h)])
    law('E1', 'LSTM, T=64 ≡ 64 layers, tied, injected', residual, 0, 'bit for bit')
    const untied = runAxis(
      xs.map(() => lstmStep(gateWeights(draws, 4))),
      c,
      { r0: h, rho: Math.tanh, inputs: xs },
    )
    expect(apart(untied.states, depth.states), 'without tying it must be another net').toBeGreaterThan(0.1)
  })

  test('E3: 50 untied Highway layers are 50 steps of an LSTM with coupled gates, o = 1, ρ = id, no input', () => {
    const draws = new Draws(3)
    const layers = Array.from({ length: 50 }, () => gateWeights(draws, 2, { inputs: 0 }))
    const x = draws.vec(N)
    let y = x
    for (const { hh, bias } of layers) {
      const p = add(matVec(hh, y), bias)
      const [h, t] = [p.slice(0, N).map(Math.tanh), p.slice(N).map(sigmoid)]
      y = y.map((value, i) => at(h, i) * at(t, i) + value * (1 - at(t, i)))
    }
    const { states } = runAxis(layers.map(coupledStep), x)
    law('E3', 'Highway, 50 layers ≡ coupled-gate engine', apart(states.at(-1), y), 1e-15)
  })

  test('a tied residual net that is given x at each layer is a residual RNN on constant input', () => {
    const draws = new Draws(11)
    const weights = gateWeights(draws, 1)
    const [x, s] = [draws.vec(M), draws.vec(N)]
    let h = s
    for (let t = 0; t < 64; t++)
      h = add(h, add(add(matVec(weights.hh, h), matVec(weights.ih as Mat, x)), weights.bias).map(Math.tanh))
    const net = runAxis(tied(residualStep(weights), 64), s, { inputs: vectors(draws, 64, M).map(() => x) })
    law(
      'tied',
      'residual net, 64 tied layers, x at each ≡ residual RNN on constant x',
      apart(net.states.at(-1), h),
      1e-13,
    )
  })

  test('E10: a Grid LSTM on the transposed grid with swapped weights gives the transposed output', () => {
    const draws = new Draws(10)
    const weights = {
      time: gateWeights(draws, 4, { inputs: 0, reads: 2 * N }),
      depth: gateWeights(draws, 4, { inputs: 0, reads: 2 * N }),
    }
    const states = (count: number) => Array.from({ length: count }, () => ({ h: draws.vec(N), c: draws.vec(N) }))
    const edges = { time: states(4), depth: states(9) }
    const grid = gridLstm(weights, edges)
    const turned = gridLstm(rotateGrid(weights), { time: edges.depth, depth: edges.time })
    const numbers = (cells: { h: Vec; c: Vec }[][]): Vec[][] => cells.map((row) => row.map(({ h, c }) => [...h, ...c]))
    const flip = (cells: Vec[][]): Vec[][] => at(cells, 0).map((_, l) => cells.map((row) => at(row, l)))
    const residual = apart(
      [numbers(turned.depth), numbers(turned.time)],
      [flip(numbers(grid.time)), flip(numbers(grid.depth))],
    )
    law('E10', 'Grid LSTM 9 × 4, axes exchanged ≡ output transposed', residual, 1e-14)
    const unswapped = gridLstm({ time: weights.depth, depth: weights.time }, { time: edges.depth, depth: edges.time })
    expect(
      apart(numbers(unswapped.depth), flip(numbers(grid.time))),
      'the halves of the weights matter',
    ).toBeGreaterThan(0.01)
  })
})

describe('the closed form', () => {
  test('E2: the state is a weighted sum over the writes', () => {
    const draws = new Draws(2)
    const xs = vectors(draws, 64, M)
    const c = draws.vec(N)
    const run = runAxis(tied(lstmStep(gateWeights(draws, 4)), 64), c, { r0: draws.vec(N), rho: Math.tanh, inputs: xs })
    const sums = fill(N).map((_, unit) => matVec(mixingMatrix(run.terms, unit), writesOf(c, run.terms, unit)))
    law('E2', 'LSTM, all 65 states ≡ mixing matrix · writes', apart(transpose(sums), run.states), 1e-14)
  })

  test('E5: the Jacobian of 10 residual blocks is the sum over all 2^10 paths', () => {
    const draws = new Draws(5)
    const branches = Array.from({ length: 10 }, () => draws.mat(6, 6, 0.3))
    const product = branches.reduce((p, branch) => matMul(matAdd(eye(6), branch), p), eye(6))
    let paths = eye(6).map((row) => row.map(() => 0))
    for (let path = 0; path < 2 ** 10; path++) {
      let through = eye(6)
      for (const [k, branch] of branches.entries()) if ((path >> k) & 1) through = matMul(branch, through)
      paths = matAdd(paths, through)
    }
    law('E5', '∏(I + A_k), 10 blocks ≡ Σ over 1024 paths', apartRelative(paths, product), 1e-13)
  })

  test('E6: the mixing weights of Highway sum to one', () => {
    const draws = new Draws(6)
    const { terms } = runAxis(
      Array.from({ length: 50 }, () => coupledStep(gateWeights(draws, 2, { inputs: 0 }))),
      draws.vec(N),
    )
    const sums = fill(N).flatMap((_, unit) => mixingMatrix(terms, unit).map(sum))
    law('E6', 'Highway, 50 layers: every row of M sums to 1', apart(sums, fill(sums.length, 1)), 1e-14)
  })

  const kinds: [name: string, make: (weights: GateWeights) => AxisStep, gates: number, structure: string][] = [
    ['residual', residualStep, 1, 'all ones'],
    ['highway', coupledStep, 2, 'rows sum to one'],
    ['scaled shortcut', (weights) => decayStep(weights, 0.7), 1, 'rows sum to one'],
    ['LSTM over depth', lstmStep, 4, 'semiseparable'],
  ]
  test.each(kinds)('the carried state of %s is M · writes, and M has its structure', (name, make, gates, structure) => {
    const draws = new Draws(20)
    const x = draws.vec(N)
    const run = runAxis(
      Array.from({ length: 12 }, () => make(gateWeights(draws, gates, { inputs: 0 }))),
      x,
      name.startsWith('LSTM') ? { rho: Math.tanh } : {},
    )
    const matrices = fill(N).map((_, unit) => mixingMatrix(run.terms, unit))
    const sums = matrices.map((m, unit) => matVec(m, writesOf(x, run.terms, unit)))
    law(
      'mix',
      `${name}, 12 layers: state ≡ M · writes, M ${structure}, rank 1`,
      apart(transpose(sums), run.states),
      1e-14,
    )
    for (const m of matrices) {
      expect(semiseparableRank(m)).toBe(1)
      if (structure === 'all ones') expect(m.every((row, k) => row.every((w, i) => w === (i > k ? 0 : 1)))).toBe(true)
      if (structure === 'rows sum to one') for (const row of m) expect(sum(row)).toBeCloseTo(1, 13)
    }
  })

  test('a dense mixing matrix (DenseFormer, attention over depth) has a larger semiseparable rank', () => {
    const draws = new Draws(21)
    const softmax = draws.mat(9, 9).map((row, k) => {
      const weights = row.map((w, i) => (i <= k ? Math.exp(w) : 0))
      return weights.map((w) => w / sum(weights))
    })
    expect(semiseparableRank(softmax)).toBe(5)
  })
})

describe('gradients', () => {
  test('E4: the product of the block Jacobians of 64 LSTM steps is the complex-step derivative', () => {
    const draws = new Draws(4)
    const weights = gateWeights(draws, 4)
    const xs = vectors(draws, 64, M)
    const start = { h: draws.vec(N), c: draws.vec(N) }
    const states = lstmLoop(xs, start, weights)
    const product = xs.reduce((p, x, t) => matMul(lstmJacobian(x, at(states, t), weights), p), eye(2 * N))
    const columns = fill(2 * N).map((_, entry) => lstmComplexStep(xs, start, weights, entry))
    const forget = runAxis(tied(lstmStep(weights), 64), start.c, { r0: start.h, rho: Math.tanh, inputs: xs })
    const direct = Math.max(...forget.terms.reduce((p, { a }) => mul(p, a), fill(N, 1)))
    const full = Math.hypot(...product.slice(N).flatMap((row) => row.slice(N)))
    law(
      'E4',
      '∏ of 64 analytic Jacobians ≡ complex step',
      apartRelative(product, transpose(columns)),
      1e-12,
      `carousel alone ${direct.toExponential(1)}, full ‖∂c_T/∂c_0‖ ${full.toExponential(1)}`,
    )
  })
})

describe('parallel in time and depth', () => {
  test('E7: the scan in 10 levels is the loop over 1000 steps', () => {
    const draws = new Draws(7)
    const a = vectors(draws, 1000, N).map((v) => v.map(sigmoid))
    const [b, start] = [vectors(draws, 1000, N), draws.vec(N)]
    const { output, levels } = scanParallel(a, b, start)
    law('E7', 'parallel scan, T=1000 ≡ loop', apart(output, scanLoop(a, b, start)), 1e-14, `${levels} levels`)
    expect(levels).toBe(10)
  })

  test.each([64, 256, 1024])('E8: Newton solves an LSTM of %i steps', (T) => {
    const { recurrence, start } = lstmNewton(new Draws(8), T)
    const solved = newton(recurrence, start, T)
    law(
      'E8',
      `Newton ≡ loop, LSTM T=${T}`,
      apart(solved.states, loop(recurrence, start, T)),
      1e-12,
      `${solved.iterations} iterations`,
    )
    expect(solved.converged).toBe(true)
    expect(solved.iterations).toBeLessThanOrEqual(10)
  })

  test.each([50, 200])('E8: Newton solves a tanh-ResNet of %i layers', (D) => {
    const { recurrence, start } = residualNewton(new Draws(9), D)
    const solved = newton(recurrence, start, D)
    law(
      'E8',
      `Newton ≡ loop, tanh-ResNet D=${D}`,
      apart(solved.states, loop(recurrence, start, D)),
      1e-11,
      `${solved.iterations} iterations`,
    )
    expect(solved.converged).toBe(true)
  })

  test('E8: where Newton does not converge within its cap, the loop runs and the result is right', () => {
    const { recurrence, start } = lstmNewton(new Draws(8), 256, 8)
    const solved = newton(recurrence, start, 256, { cap: 10 })
    law('E8', 'capped Newton, weight gain 8, falls back ≡ loop', apart(solved.states, loop(recurrence, start, 256)), 0)
    expect(solved.converged).toBe(false)
    expect(solved.iterations).toBe(10)
  })

  test('E9: the wavefront of a 4-layer LSTM takes 28 serial steps instead of 100', () => {
    const draws = new Draws(12)
    const layers = Array.from({ length: 4 }, (_, l) => gateWeights(draws, 4, { inputs: l === 0 ? M : N }))
    const xs = vectors(draws, 25, M)
    const [one, other] = [wavefront(xs, layers), layerByLayer(xs, layers)]
    law(
      'E9',
      'anti-diagonals ≡ layer by layer, 4 layers, T=25',
      apart(one.output, other.output),
      0,
      `${one.serial} serial steps against ${other.serial}`,
    )
    expect([one.serial, other.serial]).toEqual([28, 100])
  })
})

test('the oracle of the oracle: a wrong weight shows in every comparison', () => {
  expect(apart([1, [2]], [1, [2.5]])).toBe(0.5)
  expect(apart([1], [Number.NaN])).toBeNaN()
  expect(apart([1], [1, 2])).toBeNaN()
  expect(mul([2], [3])).toEqual([6])
})
