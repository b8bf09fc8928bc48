// Carriers along depth that mix all earlier writes: what a layer reads is a row of M times the writes, and M has the rank that it is said to have.
import { axis, grad, manualSeed, normal, type Tensor, tensor, Variable } from 'quarterturn'
import { beforeEach, expect, test } from 'vitest'
import { law } from './law.js'
import { semiseparableRank } from './reference/mixing.js'
import { apart, at, fill, type Mat, matVec, sum, type Vec } from './reference/vector.js'
import { numbers } from './tensors.js'

const [K, N] = [9, 4]
const f64 = { dtype: 'float64' } as const

beforeEach(() => void manualSeed(5))

interface Run {
  /** v_0, the stream that enters, and what each layer wrote: one row of N values each. */
  writes: Variable[]
  readouts: Tensor[]
  parameters: Record<string, Variable>[]
}

/** K steps along depth with given writes; parameters drawn at random around their starts. */
function run(make: () => axis.Carrier): Run {
  const net = new axis.Stack({ width: N, layers: K, alongTime: axis.none(), alongDepth: make() }).to('float64')
  for (const p of net.parameters()) p.assign(p.add(normal(p.shape, 0, 0.4, f64)))
  const carrier = net.alongDepth as axis.Carrier
  const parameters = net.writes.map(({ depth }) => depth as Record<string, Variable>)
  const writes = Array.from({ length: K + 1 }, () => new Variable(normal([1, N], 0, 1, f64)))
  let state = carrier.enter?.(at(writes, 0), at(parameters, 0)) as never
  const readouts = parameters.map((p, index) => {
    const context = { axis: 'depth', index, layers: K, training: false } as const
    const next = carrier.step(p, state, at(writes, index + 1), context)
    state = next.state as never
    return next.output
  })
  return { writes, readouts, parameters }
}

/** Row l − 1 of M: ∂r_l/∂v_i of one unit, for a carrier whose weights read nothing. */
async function matrixOf({ writes, readouts }: Run, unit: number): Promise<Mat> {
  return Promise.all(
    readouts.map(async (r) => {
      const gradients = grad(r.reshape([N]).select(0, unit), writes, { retain: true, unused: 'zeros' })
      return Promise.all(writes.map(async (v) => at(await numbers(gradients.get(v)), unit)))
    }),
  )
}

const unitOf = async (list: readonly Tensor[], unit: number): Promise<Vec> =>
  Promise.all(list.map(async (x) => at(await numbers(x), unit)))

/** A first row for the stream that enters, as which nothing else counts: semiseparable blocks begin there. */
const square = (m: Mat): Mat => [[1, ...fill(K)], ...m]

test('DenseFormer: M is its learned weights, of full rank', async () => {
  const found = run(axis.denseFormer)
  const m = await matrixOf(found, 1)
  const learned = await Promise.all(found.parameters.map(({ mix }) => numbers(mix as Tensor)))
  expect(
    apart(
      m,
      learned.map((row) => [...row, ...fill(K + 1 - row.length)]),
    ),
  ).toBeLessThan(1e-14)
  law(
    'mix',
    'axis denseFormer: readout ≡ M · writes, M learned',
    apart(matVec(m, await unitOf(found.writes, 1)), await unitOf(found.readouts, 1)),
    1e-12,
  )
  expect(semiseparableRank(square(m))).toBeGreaterThan(2)
})

test.each([1, 2, 3])('hyper-connections of %i streams: M is semiseparable of at most that rank', async (streams) => {
  const found = run(() => axis.hyperConnections({ streams }))
  const m = await matrixOf(found, 2)
  law(
    'mix',
    `axis hyperConnections, ${streams} streams: readout ≡ M · writes, rank ≤ ${streams}`,
    apart(matVec(m, await unitOf(found.writes, 2)), await unitOf(found.readouts, 2)),
    1e-11,
  )
  expect(
    semiseparableRank(
      m.map((row) => row.slice(1)),
      1e-9,
    ),
  ).toBe(streams)
})

test('Attention Residuals: M is a softmax over the normalised writes, its rows sum to one', async () => {
  const found = run(axis.attentionResiduals)
  const values = await Promise.all(found.writes.map(numbers))
  const m = await Promise.all(
    found.parameters.map(async ({ query }, l) => {
      const q = await numbers(query as Tensor)
      const scores = values.slice(0, l + 2).map((v) => {
        const size = Math.sqrt(sum(v.map((x) => x * x)) / N + 1e-6)
        return Math.exp(sum(v.map((x, i) => (x / size) * at(q, i))))
      })
      return [...scores.map((s) => s / sum(scores)), ...fill(K - 1 - l)]
    }),
  )
  expect(m.every((row) => Math.abs(sum(row) - 1) < 1e-12)).toBe(true)
  const made = fill(N).map((_, unit) =>
    matVec(
      m,
      values.map((v) => at(v, unit)),
    ),
  )
  const read = await Promise.all(fill(N).map((_, unit) => unitOf(found.readouts, unit)))
  law('mix', 'axis attentionResiduals: readout ≡ M · writes, rows sum to one', apart(made, read), 1e-12)
  expect(semiseparableRank(square(m))).toBeGreaterThan(2)
})

test('Attention Residuals with query 0 read the mean of what was written', async () => {
  const carrier = axis.attentionResiduals()
  const p = carrier.parameters({ width: N, layers: K, index: 0, axis: 'depth', tied: false })
  const [x, v] = [tensor([[1, 2, 3, 4]]), tensor([[3, 2, 1, 0]])]
  const { output } = carrier.step(p, carrier.enter?.(x, p) as never, v, {
    axis: 'depth',
    index: 0,
    layers: K,
    training: false,
  })
  expect(await numbers(output)).toEqual([2, 2, 2, 2])
})
