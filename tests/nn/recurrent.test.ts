// The recurrent layers: the laws that tie sequences, steps, batches, layers and directions together, and the equations themselves.
import { cat, grad, manualSeed, nn, normal, type Tensor, tensor, zeros } from 'quarterturn'
import { beforeEach, describe, expect, test } from 'vitest'

const [B, T, I, H] = [3, 5, 4, 6]
const f64 = { dtype: 'float64' } as const
type State = Record<string, Tensor>
type Net = nn.Module & {
  forward(x: Tensor, state?: never): { output: Tensor; state: State }
}
interface Kind {
  make(options?: nn.StackedOptions, inputSize?: number): Net
  /** Gates G. */
  gates: number
  /** As errors name it. */
  op: string
  /** Width of the output. */
  width: number
  keys: string[]
  /** Of the state-to-state weights, where they are not those of torch. */
  rows?: number
  columns?: number
}

const dense = ['weight_ih', 'weight_hh', 'bias_ih', 'bias_hh']
const minimal = ['weight_ih', 'bias_ih']
const diagonal = ['weight_ih', 'weight_hh', 'bias_ih']
const P = 3

const kinds: Record<string, Kind> = {
  LSTM: {
    make: (options, size = I) => new nn.LSTM(size, H, { ...f64, ...options }) as unknown as Net,
    ...{ gates: 4, op: 'lstm', width: H, keys: dense },
  },
  'LSTM with a projection': {
    make: (options, size = I) => new nn.LSTM(size, H, { ...f64, projSize: P, ...options }) as unknown as Net,
    ...{ gates: 4, op: 'lstm', width: P, keys: [...dense, 'weight_hr'] },
  },
  GRU: {
    make: (options, size = I) => new nn.GRU(size, H, { ...f64, ...options }) as unknown as Net,
    ...{ gates: 3, op: 'gru', width: H, keys: dense },
  },
  RNN: {
    make: (options, size = I) => new nn.RNN(size, H, { ...f64, ...options }) as unknown as Net,
    ...{ gates: 1, op: 'rnn', width: H, keys: dense },
  },
  'RNN with ReLU': {
    make: (options, size = I) => new nn.RNN(size, H, { ...f64, nonlinearity: 'relu', ...options }) as unknown as Net,
    ...{ gates: 1, op: 'rnn', width: H, keys: dense },
  },
  MinGRU: {
    make: (options, size = I) => new nn.MinGRU(size, H, { ...f64, ...options }) as unknown as Net,
    ...{ gates: 2, op: 'minGRU', width: H, keys: minimal },
  },
  MinLSTM: {
    make: (options, size = I) => new nn.MinLSTM(size, H, { ...f64, positive: true, ...options }) as unknown as Net,
    ...{ gates: 3, op: 'minLSTM', width: H, keys: minimal },
  },
  ParaGRU: {
    make: (options, size = I) => new nn.ParaGRU(size, H, { ...f64, ...options }) as unknown as Net,
    ...{ gates: 3, op: 'paraGRU', width: H, keys: diagonal, rows: 3 },
  },
  ParaLSTM: {
    make: (options, size = I) => new nn.ParaLSTM(size, H, { ...f64, ...options }) as unknown as Net,
    ...{ gates: 3, op: 'paraLSTM', width: H, keys: diagonal, rows: 5 },
  },
  SLSTM: {
    make: (options, size = I) => new nn.SLSTM(size, H, { ...f64, numHeads: 2, ...options }) as unknown as Net,
    ...{ gates: 4, op: 'sLSTM', width: H, keys: diagonal, rows: 4 * H, columns: H / 2 },
  },
}

const run = (net: Net, x: Tensor, state?: State) => net.forward(x, state as never)
const input = (t = T, b = B): Tensor => normal([b, t, I], 0, 1, f64)

async function close(actual: Tensor, expected: Tensor): Promise<void> {
  expect(actual.shape).toEqual(expected.shape)
  const [a, b] = (await Promise.all([actual.data(), expected.data()])) as [Float64Array, Float64Array]
  expect(Math.max(0, ...Array.from(a, (x, i) => Math.abs(x - (b[i] as number))))).toBeLessThan(1e-12)
}

async function same(
  actual: { output: Tensor; state: State },
  expected: { output: Tensor; state: State },
): Promise<void> {
  await close(actual.output, expected.output)
  for (const [name, part] of Object.entries(expected.state)) await close(actual.state[name] as Tensor, part)
}

const map = (state: State, fn: (part: Tensor) => Tensor): State =>
  Object.fromEntries(Object.entries(state).map(([name, part]) => [name, fn(part)]))

beforeEach(() => void manualSeed(2))

describe.each(Object.entries(kinds))('%s', (_, { make, gates, op, width, keys, rows, columns = H }) => {
  const deep = { numLayers: 2, bidirectional: true }

  test('shapes and keys are those of torch', () => {
    const net = make(deep)
    const { output, state } = run(net, input())
    expect(output.shape).toEqual([B, T, 2 * width])
    for (const [part, { shape }] of Object.entries(state)) expect(shape).toEqual([4, B, part === 'h' ? width : H])
    const shapes = Object.fromEntries([...net.stateDict()].map(([key, { shape }]) => [key, shape]))
    expect(Object.keys(shapes)).toEqual(
      ['l0', 'l0_reverse', 'l1', 'l1_reverse'].flatMap((end) => keys.map((key) => `${key}_${end}`)),
    )
    expect(shapes.weight_ih_l0).toEqual([gates * H, I])
    expect(shapes.weight_ih_l1_reverse).toEqual([gates * H, 2 * width])
    if (rows !== undefined) expect(shapes.weight_hh_l1).toEqual([rows, columns])
    else if (keys.includes('weight_hh')) expect(shapes.weight_hh_l1).toEqual([gates * H, width])
    if (keys.includes('weight_hr')) expect(shapes.weight_hr_l1).toEqual([P, H])
    expect(shapes.bias_ih_l1_reverse).toEqual([gates * H])
  })

  test('no state is a state of zeros', async () => {
    const net = make(deep)
    const x = input()
    const plain = run(net, x)
    await same(
      run(
        net,
        x,
        map(plain.state, (part) => zeros(part.shape, f64)),
      ),
      plain,
    )
  })

  test('a sequence is its steps, one after another', async () => {
    const net = make({ numLayers: 2 })
    const x = input()
    let state: State | undefined
    const outputs: Tensor[] = []
    for (let t = 0; t < T; t++) {
      const step = run(net, x.slice(1, t, t + 1), state)
      outputs.push(step.output)
      state = step.state
    }
    await same({ output: cat(outputs, 1), state: state as State }, run(net, x))
  })

  test('a sequence split in time is the whole', async () => {
    const net = make({ numLayers: 2, bias: false })
    const x = input()
    const first = run(net, x.slice(1, 0, 2))
    const second = run(net, x.slice(1, 2), first.state)
    await same({ output: cat([first.output, second.output], 1), state: second.state }, run(net, x))
  })

  test('a batch is its rows', async () => {
    const net = make(deep)
    const x = input()
    const state = map(run(net, input()).state, (part) => part)
    const rows = Array.from({ length: B }, (_, b) =>
      run(
        net,
        x.slice(0, b, b + 1),
        map(state, (part) => part.slice(1, b, b + 1)),
      ),
    )
    const joined = Object.fromEntries(
      Object.keys(state).map((part) => [
        part,
        cat(
          rows.map((row) => row.state[part] as Tensor),
          1,
        ),
      ]),
    )
    await same({ output: cat(rows.map(({ output }) => output)), state: joined }, run(net, x, state))
  })

  test('two directions are two nets, one of them on the reversed sequence', async () => {
    const both = make({ bidirectional: true })
    const [ahead, back] = [make(), make()]
    const dict = both.stateDict()
    const pick = (suffix: string): Map<string, Tensor> =>
      new Map(
        [...dict]
          .filter(([key]) => key.endsWith('_reverse') === (suffix !== ''))
          .map(([key, value]) => [key.replace('_reverse', ''), value]),
      )
    ahead.loadStateDict(pick(''))
    back.loadStateDict(pick('_reverse'))
    const x = input()
    const [one, two] = [run(ahead, x), run(back, x.flip(1))]
    const state = Object.fromEntries(
      Object.keys(one.state).map((part) => [part, cat([one.state[part] as Tensor, two.state[part] as Tensor])]),
    )
    await same({ output: cat([one.output, two.output.flip(1)], 2), state }, run(both, x))
  })

  test('two layers are one net over the output of another', async () => {
    const two = make({ numLayers: 2 })
    const upper = make({}, width)
    const lower = make()
    const layer = (k: number): Map<string, Tensor> =>
      new Map(
        [...two.stateDict()]
          .filter(([key]) => key.endsWith(`l${k}`))
          .map(([key, value]) => [key.replace(`l${k}`, 'l0'), value]),
      )
    lower.loadStateDict(layer(0))
    upper.loadStateDict(layer(1))
    const x = input()
    await close(run(two, x).output, run(upper, run(lower, x).output).output)
  })

  test('dropout acts between layers, in training only', async () => {
    const net = make({ numLayers: 2, dropout: 1 })
    const x = input()
    const other = input()
    // With everything dropped the second layer sees zeros, whatever the input.
    await close(run(net, x).output, run(net, other).output)
    net.eval()
    const [a, b] = [await run(net, x).output.toArray(), await run(net, other).output.toArray()]
    expect(a).not.toEqual(b)
  })

  test('gradients reach every weight, the input and the state', async () => {
    const net = make({ ...deep, dropout: 0.3 })
    const state = map(run(net, input()).state, (part) => part.detach())
    const x = new nn.Linear(I, I, f64).forward(input())
    const { output, state: last } = run(net, x, state)
    const loss = Object.values(last).reduce((sum, part) => sum.add(part.square().sum()), output.square().sum())
    for (const [, gradient] of grad(loss, [x, ...net.parameters()])) {
      const largest = await gradient.abs().amax().item()
      expect(largest).toBeGreaterThan(0)
      expect(Number.isFinite(largest)).toBe(true)
    }
  })

  test('an empty sequence returns the state', async () => {
    const net = make()
    const { state } = run(net, input())
    const empty = run(net, input(0), state)
    expect(empty.output.shape).toEqual([B, 0, width])
    for (const [part, value] of Object.entries(state)) await close(empty.state[part] as Tensor, value)
  })

  test('wrong input and state throw at the call, in the words of the user', () => {
    const net = make()
    expect(() => run(net, zeros([B, T, I + 1], f64))).toThrow(
      `${op}: input must be [B, T, I=${I}], got [${B}, ${T}, ${I + 1}]`,
    )
    expect(() => run(net, zeros([T, I], f64))).toThrow(`${op}: input must be [B, T, I=${I}], got [${T}, ${I}]`)
    expect(() => run(net, input(), { h: zeros([B, H], f64), c: zeros([B, H], f64) })).toThrow(
      `${op}: state.h must be [K·D=1, B=${B}, ${width === H ? 'H' : 'P'}=${width}], got [${B}, ${H}]`,
    )
    expect(() => run(net, zeros([B, T, I]))).toThrow(expect.objectContaining({ code: 'ERR_DTYPE' }))
  })
})

// The equations once more, in plain numbers.
type Matrix = number[][]
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))
const affine = (w: Matrix, x: readonly number[], b: readonly number[]): number[] =>
  w.map((row, i) => row.reduce((sum, v, j) => sum + v * (x[j] as number), b[i] as number))

test.each(['LSTM', 'GRU', 'RNN'] as const)('%s computes its equations', async (name) => {
  const net = kinds[name]?.make() as Net
  const x = input(3, 1)
  const [ih, hh, bi, bh] = (await Promise.all([...net.stateDict().values()].map((value) => value.toArray()))) as [
    Matrix,
    Matrix,
    number[],
    number[],
  ]
  let h = Array<number>(H).fill(0)
  let c = Array<number>(H).fill(0)
  const outputs: Matrix = []
  for (const u of ((await x.toArray()) as Matrix[])[0] as Matrix) {
    const [a, b] = [affine(ih, u, bi), affine(hh, h, bh)]
    const gate = (g: number, j: number): number => (a[g * H + j] as number) + (b[g * H + j] as number)
    const before = h
    if (name === 'LSTM') {
      c = c.map((cell, j) => sigmoid(gate(1, j)) * cell + sigmoid(gate(0, j)) * Math.tanh(gate(2, j)))
      h = c.map((cell, j) => sigmoid(gate(3, j)) * Math.tanh(cell))
    } else if (name === 'GRU') {
      h = before.map((old, j) => {
        const n = Math.tanh((a[2 * H + j] as number) + sigmoid(gate(0, j)) * (b[2 * H + j] as number))
        const z = sigmoid(gate(1, j))
        return (1 - z) * n + z * old
      })
    } else h = before.map((_, j) => Math.tanh(gate(0, j)))
    outputs.push(h)
  }
  await close(run(net, x).output, tensor([outputs], f64))
})

test('cells are one step of a layer', async () => {
  const { functional: F } = nn
  const x = normal([B, I], 0, 1, f64)
  for (const [name, cell] of [
    ['LSTM', F.lstmCell],
    ['GRU', F.gruCell],
    ['RNN', F.rnnCell],
  ] as const) {
    const net = new nn[name](I, H, f64) as unknown as Net & { weights: readonly nn.LayerWeights[] }
    const { state } = run(net, input())
    const flat = map(state, (part) => part.squeeze(0))
    const next = cell(x, flat as never, net.weights[0] as nn.LayerWeights) as unknown as State
    const expected = run(net, x.unsqueeze(1), state).state
    for (const [part, value] of Object.entries(next)) await close(value, (expected[part] as Tensor).squeeze(0))
  }
})
