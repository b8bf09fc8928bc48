// The long convolution along time: its f64 reference, its mixing matrix, and the exponential average as one of its filters.
import { axis, grad, manualSeed, type nn, normal, type Tensor, tensor, Variable } from 'quarterturn'
import { beforeEach, expect, test } from 'vitest'
import { law } from './law.js'
import { convolve, toeplitz } from './reference/convolution.js'
import { semiseparableRank } from './reference/mixing.js'
import { add, apart, at, fill, type Mat, matVec, sigmoid, transpose, type Vec } from './reference/vector.js'
import { numbers, toVecs } from './tensors.js'

const N = 4
const f64 = { dtype: 'float64' } as const

beforeEach(() => void manualSeed(5))

const net = (alongTime: axis.Carrier): axis.Stack =>
  new axis.Stack({ width: N, layers: 1, alongTime, alongDepth: axis.plain(), norm: 'none' }).to('float64').eval()

type Parameters = { filter: Variable; write: nn.Linear }
const parametersOf = (stack: axis.Stack): Parameters => at(stack.writes, 0).time as Parameters

/** h_0 … h_(K−1), each with a weight for every unit. */
async function filterOf(stack: axis.Stack): Promise<Vec[]> {
  return transpose(await toVecs(parametersOf(stack).filter.squeeze(1))).reverse()
}

/** With weights that are no exponential average. */
function drawn(length: number): axis.Stack {
  const stack = net(axis.longConvolution({ length }))
  const { filter } = parametersOf(stack)
  filter.assign(normal(filter.shape, 0, 1, f64))
  return stack
}

test.each([1, 2, 7, 40])('a filter of %i weights is the sum that it says, in both forms', async (length) => {
  const stack = drawn(length)
  const x = normal([1, 23, N], 0, 1, f64)
  const { write } = parametersOf(stack)
  const [weight, bias] = [await toVecs(write.weight), await numbers(write.bias as Tensor)]
  const expected = convolve(
    await filterOf(stack),
    (await toVecs(x.squeeze(0))).map((row) => add(matVec(weight, row), bias)),
  )
  for (const form of ['direct', 'recurrent'] as const) {
    stack.form = form
    const found = await toVecs(stack.forward(x).squeeze(0))
    law('conv', `axis longConvolution, K=${length}, T=23, ${form} ≡ reference`, apart(found, expected), 1e-12)
  }
})

test('M is Toeplitz and banded: what is read depends on how long ago it was written, K steps back', async () => {
  const [K, T] = [5, 9]
  const stack = drawn(K)
  const carrier = stack.alongTime
  const parameters = parametersOf(stack)
  // The identity for W, so that what is given is what is written.
  parameters.write.weight.assign(
    tensor(
      fill(N).map((_, i) => fill(N).map((_, j) => (i === j ? 1 : 0))),
      f64,
    ),
  )
  parameters.write.bias?.assign(tensor(fill(N), f64))
  const writes = Array.from({ length: T }, () => new Variable(normal([1, N], 0, 1, f64)))
  const context = { axis: 'time', index: 0, layers: 1, training: false } as const
  let state = carrier.initialState({ batch: 1, width: N, layers: 1 })
  state = Object.fromEntries(Object.entries(state).map(([key, part]) => [key, (part as Tensor).to('float64')])) as never
  const readouts = writes.map((v) => {
    const next = carrier.step(parameters, state, v, context)
    state = next.state
    return next.output
  })
  const h = await filterOf(stack)
  for (const unit of [0, N - 1]) {
    const m: Mat = []
    for (const r of readouts) {
      const gradients = grad(r.reshape([N]).select(0, unit), writes, { retain: true, unused: 'zeros' })
      m.push(await Promise.all(writes.map(async (v) => at(await numbers(gradients.get(v)), unit))))
    }
    const learned = toeplitz(
      h.map((row) => at(row, unit)),
      T,
    )
    law('mix', `axis longConvolution, unit ${unit}: ∂r/∂v is the Toeplitz matrix of h`, apart(m, learned), 1e-14)
    const values = await Promise.all(writes.map(async (v) => at(await numbers(v), unit)))
    const read = await Promise.all(readouts.map(async (r) => at(await numbers(r), unit)))
    law('mix', `axis longConvolution, unit ${unit}: readout ≡ M · writes`, apart(matVec(m, values), read), 1e-12)
    for (const [t, row] of m.entries()) {
      for (const [i, weight] of row.entries()) {
        if (i > t || t - i >= K) expect(weight).toBe(0)
        else expect(weight).toBe(at(at(m, t - i), 0)) // constant along diagonals
      }
    }
    expect(semiseparableRank(m)).toBeGreaterThan(1) // no state of one number would do
  }
})

test('the exponential average is the long convolution with the filter (1 − d) d^k', async () => {
  const T = 50
  const [average, filter] = [net(axis.ema()), net(axis.longConvolution({ length: T }))]
  const { decay, write } = at(average.writes, 0).time as { decay: Variable; write: nn.Linear }
  const target = parametersOf(filter)
  for (const [i, p] of target.write.parameters().entries()) p.assign(write.parameters()[i] as Tensor)
  const d = (await numbers(decay)).map(sigmoid)
  const lags = fill(T).map((_, i) => T - 1 - i)
  target.filter.assign(
    tensor(
      d.map((x) => [lags.map((k) => (1 - x) * x ** k)]),
      f64,
    ),
  )
  const x = normal([2, T, N], 0, 1, f64)
  const [one, other] = [await numbers(average.forward(x)), await numbers(filter.forward(x))]
  law('conv', `axis ema ≡ longConvolution with h_k = (1 − d) d^k, T=${T}`, apart(other, one), 1e-12)
  expect(
    semiseparableRank(
      toeplitz(
        lags.map((_, k) => at(d, 0) ** k),
        12,
      ),
      1e-9,
    ),
  ).toBe(1)
})

test('at the start it averages over 1 step in the first unit and K/4 in the last', async () => {
  const h = await filterOf(net(axis.longConvolution({ length: 64 })))
  const ratio = (unit: number): number => at(at(h, 1), unit) / at(at(h, 0), unit)
  expect(ratio(0)).toBeCloseTo(Math.exp(-1), 6)
  expect(ratio(N - 1)).toBeCloseTo(Math.exp(-1 / 16), 6)
  expect(at(at(h, 0), 0)).toBeCloseTo(1 - Math.exp(-1), 6)
})
