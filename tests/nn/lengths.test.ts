// Rows of different lengths, and steps computed again in the backward pass: what they leave as it is, and what is refused.
import {
  cat,
  type FloatDType,
  grad,
  manualSeed,
  nn,
  normal,
  type Tensor,
  tensor,
  Variable,
  where,
  zeros,
} from 'quarterturn'
import { beforeEach, describe, expect, test } from 'vitest'
import { numbersOf } from '../parity/checkOp.js'
import { expectClose } from '../tolerances.js'

const [B, T, I, H] = [4, 6, 3, 5]
const lengths = [4, 6, 0, 1]

type State = Record<string, Tensor>
interface Result {
  output: Tensor
  state: State
}
interface Passes {
  values: Tensor[]
  gradients: Tensor[]
}
type Net = nn.Module & { forward(x: Tensor, state?: never, options?: nn.ForwardOptions): Result }

const dense = { LSTM: nn.LSTM, GRU: nn.GRU, RNN: nn.RNN }
const kinds = {
  ...dense,
  MinGRU: nn.MinGRU,
  MinLSTM: nn.MinLSTM,
  ParaGRU: nn.ParaGRU,
  ParaLSTM: nn.ParaLSTM,
  SLSTM: nn.SLSTM,
}
const deep = { numLayers: 2, bidirectional: true }
const make = (name: string, options: nn.RecurrentOptions): Net =>
  new kinds[name as keyof typeof kinds](I, H, options) as unknown as Net

const run = (net: Net, x: Tensor, state?: State, options?: nn.ForwardOptions): Result =>
  net.forward(x, state as never, options)
const map = (state: State, fn: (part: Tensor) => Tensor): State =>
  Object.fromEntries(Object.entries(state).map(([name, part]) => [name, fn(part)]))
const loss = ({ output, state }: Result): Tensor =>
  Object.values(state).reduce((sum, part) => sum.add(part.square().sum()), output.sin().sum())
const code = (name: string) => expect.objectContaining({ code: name })

async function close(actual: Tensor, expected: Tensor, what: string, loose = 1): Promise<void> {
  expect(actual.shape, what).toEqual(expected.shape)
  expectClose(await numbersOf(actual), await numbersOf(expected), expected.dtype, what, loose)
}

async function same(actual: Result, expected: Result, loose = 1): Promise<void> {
  await close(actual.output, expected.output, 'output', loose)
  for (const [name, part] of Object.entries(expected.state))
    await close(actual.state[name] as Tensor, part, name, loose)
}

/** A row's own steps are ones, the others zeros: [B, T, 1]. */
const real = (dtype: FloatDType): Tensor =>
  tensor(
    lengths.map((length) => Array.from({ length: T }, (_, t) => [t < length ? 1 : 0])),
    { dtype },
  )

beforeEach(() => void manualSeed(6))

describe.each(Object.keys(kinds))('%s', (name) => {
  describe.each(['float32', 'float64'] as const)('%s', (dtype) => {
    /** A net, an input and a state. */
    const setUp = (options: nn.RecurrentOptions = {}): { net: Net; x: Tensor; state: State } => {
      const net = make(name, { ...deep, dtype, ...options })
      const x = normal([B, T, I], 0, 1, { dtype })
      const state = map(run(net, x).state, (part) => part.detach())
      return { net, x, state }
    }

    test('a row with a length is the row cut to it, and zeros', async () => {
      const { net, x, state } = setUp()
      const rows = lengths.map((length, b) => {
        const { output, state: last } = run(
          net,
          x.slice(0, b, b + 1).slice(1, 0, length),
          map(state, (part) => part.slice(1, b, b + 1)),
        )
        return { output: cat([output, zeros([1, T - length, 2 * H], { dtype })], 1), state: last }
      })
      const joined = {
        output: cat(rows.map(({ output }) => output)),
        state: Object.fromEntries(
          Object.keys(state).map((part) => [
            part,
            cat(
              rows.map((row) => row.state[part] as Tensor),
              1,
            ),
          ]),
        ),
      }
      await same(run(net, x, state, { lengths }), joined)
    })

    test('lengths of T are no lengths; an array is a tensor', async () => {
      const { net, x, state } = setUp()
      await same(run(net, x, state, { lengths: Array(B).fill(T) }), run(net, x, state))
      const given = tensor(lengths, { dtype: 'int64' })
      await same(run(net, x, state, { lengths: given }), run(net, x, state, { lengths }))
    })

    test('what lies beyond the lengths reaches neither results nor gradients', async () => {
      const { net, x, state } = setUp()
      const results = [0, 1000].map((fill) => {
        const input = new Variable(where(real(dtype).eq(1).expand(x.shape), x, fill))
        const start = map(state, (part) => new Variable(part))
        const result = run(net, input, start, { lengths })
        const leaves = [input, ...Object.values(start), ...net.parameters()]
        const gradients = grad(loss(result), leaves)
        return { result, gradients: leaves.map((leaf) => gradients.get(leaf)) }
      })
      const [plain, filled] = results as [(typeof results)[number], (typeof results)[number]]
      await same(filled.result, plain.result)
      for (const [i, gradient] of filled.gradients.entries())
        await close(gradient, plain.gradients[i] as Tensor, `gradient ${i}`)
      const dx = filled.gradients[0] as Tensor
      await close(dx.mul(real(dtype).mul(-1).add(1)), zeros(x.shape, { dtype }), 'gradient beyond the lengths')
    })
  })

  test('wrong lengths are refused at the call; those of a tensor when they are read', async () => {
    const net = make(name, {})
    const x = zeros([B, T, I])
    const op = name in dense ? name.toLowerCase() : `${name[0]?.toLowerCase()}${name.slice(1)}`
    expect(() => run(net, x, undefined, { lengths: [1, 2, 3, T + 1] })).toThrow(
      `${op}: lengths must be whole numbers within 0 … T=${T}, got ${T + 1}`,
    )
    for (const wrong of [-1, 1.5, Number.NaN])
      expect(() => run(net, x, undefined, { lengths: [wrong, 1, 1, 1] })).toThrow(code('ERR_RANGE'))
    expect(() => run(net, x, undefined, { lengths: [1, 2] })).toThrow(`${op}: lengths must be [B=${B}], got [2]`)
    expect(() => run(net, x, undefined, { lengths: zeros([B]) })).toThrow(code('ERR_DTYPE'))
    for (const wrong of [-1, T + 1]) {
      const given = tensor([wrong, 1, 1, 1], { dtype: 'int64' })
      await expect(run(net, x, undefined, { lengths: given }).output.data()).rejects.toMatchObject({
        code: 'ERR_RANGE',
        op,
      })
    }
  })

  test('bfloat16 is computed, or refused', async () => {
    const net = make(name, { dtype: 'bfloat16' })
    const x = zeros([B, T, I], { dtype: 'bfloat16' })
    const pass = (): Result => run(net, x, undefined, { lengths })
    if (!(name in dense || name.startsWith('Min'))) {
      expect(pass).toThrow(/must be float32 or float64, got bfloat16/)
      return
    }
    const { output } = pass()
    expect(output.dtype).toBe('bfloat16')
    const none = lengths.indexOf(0)
    expect(
      await output
        .slice(0, none, none + 1)
        .eq(0)
        .all()
        .item(),
    ).toBeTruthy()
  })
})

describe.each(Object.keys(dense))('%s', (name) => {
  test('NaN beyond the lengths reaches neither results nor gradients', async () => {
    const net = make(name, deep)
    const x = normal([B, T, I])
    const input = new Variable(where(real('float32').eq(1).expand(x.shape), x, Number.NaN))
    const result = run(net, input, undefined, { lengths })
    await same(result, run(net, x, undefined, { lengths }))
    for (const [, gradient] of grad(loss(result), [input, ...net.parameters()]))
      expect(await gradient.isFinite().all().item()).toBeTruthy()
  })

  test.each([1, 2, 3, T, 100])(
    'recompute: %i gives the bits of saving everything, and its gradients',
    async (recompute) => {
      const kept = make(name, deep)
      const again = make(name, { ...deep, recompute })
      again.loadStateDict(kept.stateDict())
      const x = new Variable(normal([B, T, I]))
      const state = map(run(kept, x).state, (part) => new Variable(part.detach()))
      for (const options of [{}, { lengths }]) {
        const [one, two] = [kept, again].map((net) => {
          const result = run(net, x, state, options)
          const leaves = [x, ...Object.values(state), ...net.parameters()]
          const gradients = grad(loss(result), leaves)
          return {
            values: [result.output, ...Object.values(result.state)],
            gradients: leaves.map((leaf) => gradients.get(leaf)),
          }
        }) as [Passes, Passes]
        for (const [i, value] of one.values.entries())
          expect(await numbersOf(two.values[i] as Tensor)).toEqual(await numbersOf(value))
        // Sums over time are split elsewhere.
        for (const [i, value] of one.gradients.entries())
          await close(two.gradients[i] as Tensor, value, `gradient ${i}`)
      }
    },
  )

  test('lengths and recompute are refused where libtorch computes', () => {
    const net = make(name, { implementation: 'libtorch' })
    expect(() => run(net, zeros([B, T, I]), undefined, { lengths })).toThrow(
      `${name.toLowerCase()}: lengths needs implementation 'quarterturn'`,
    )
    expect(() => make(name, { implementation: 'libtorch', recompute: 2 })).toThrow(code('ERR_ARGUMENT'))
    for (const recompute of [-1, 0.5, Number.NaN])
      expect(() => make(name, { recompute })).toThrow(/recompute must be a whole number ≥ 0/)
  })
})

test('a projection excludes lengths and recompute, and is narrower than the hidden units', () => {
  const net = new nn.LSTM(I, H, { projSize: 2 })
  expect(() => net.forward(zeros([B, T, I]), undefined, { lengths })).toThrow(code('ERR_ARGUMENT'))
  expect(() => new nn.LSTM(I, H, { projSize: 2, recompute: 2 })).toThrow(code('ERR_ARGUMENT'))
  for (const projSize of [-1, H, 1.5])
    expect(() => new nn.LSTM(I, H, { projSize })).toThrow(`LSTM: projSize must be a whole number from 0 to ${H - 1}`)
})
