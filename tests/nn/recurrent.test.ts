// LSTM, GRU and RNN: the laws that tie sequences, steps, batches, layers and directions together, and the equations themselves.
import { cat, grad, manualSeed, nn, normal, type Tensor, tensor, zeros } from 'quarterturn'
import { beforeEach, describe, expect, test } from 'vitest'

const [B, T, I, H] = [3, 5, 4, 6]
const f64 = { dtype: 'float64' } as const
type State = Record<string, Tensor>
type Net = nn.Module & {
  forward(x: Tensor, state?: never): { output: Tensor; state: State }
  weights: readonly nn.LayerWeights[]
}

const kinds = {
  LSTM: (options: nn.RecurrentOptions = {}) => new nn.LSTM(I, H, { ...f64, ...options }) as unknown as Net,
  GRU: (options: nn.RecurrentOptions = {}) => new nn.GRU(I, H, { ...f64, ...options }) as unknown as Net,
  RNN: (options: nn.RecurrentOptions = {}) => new nn.RNN(I, H, { ...f64, ...options }) as unknown as Net,
  'RNN with ReLU': (options: nn.RecurrentOptions = {}) =>
    new nn.RNN(I, H, { ...f64, nonlinearity: 'relu', ...options }) as unknown as Net,
}
const gates = { LSTM: 4, GRU: 3, RNN: 1, 'RNN with ReLU': 1 }

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

describe.each(Object.entries(kinds))('%s', (name, make) => {
  const deep = { numLayers: 2, bidirectional: true }

  test('shapes and keys are those of torch', () => {
    const net = make(deep)
    const { output, state } = run(net, input())
    expect(output.shape).toEqual([B, T, 2 * H])
    for (const part of Object.values(state)) expect(part.shape).toEqual([4, B, H])
    const G = gates[name as keyof typeof gates]
    const shapes = Object.fromEntries([...net.stateDict()].map(([key, { shape }]) => [key, shape]))
    expect(Object.keys(shapes).slice(0, 8)).toEqual(
      ['', '_reverse'].flatMap((end) =>
        ['weight_ih', 'weight_hh', 'bias_ih', 'bias_hh'].map((key) => `${key}_l0${end}`),
      ),
    )
    expect(shapes.weight_ih_l0).toEqual([G * H, I])
    expect(shapes.weight_ih_l1_reverse).toEqual([G * H, 2 * H])
    expect(shapes.weight_hh_l1).toEqual([G * H, H])
    expect(shapes.bias_hh_l1_reverse).toEqual([G * H])
    expect(Object.keys(shapes).length).toBe(16)
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
    const upper = name.startsWith('RNN')
      ? (new nn.RNN(H, H, { ...f64, nonlinearity: name === 'RNN' ? 'tanh' : 'relu' }) as unknown as Net)
      : (new { LSTM: nn.LSTM, GRU: nn.GRU }[name as 'LSTM' | 'GRU'](H, H, f64) as unknown as Net)
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
    expect(empty.output.shape).toEqual([B, 0, H])
    await close(empty.state.h as Tensor, state.h as Tensor)
  })

  test('wrong input and state throw at the call, in the words of the user', () => {
    const net = make()
    const op = name.split(' ')[0]?.toLowerCase()
    expect(() => run(net, zeros([B, T, I + 1], f64))).toThrow(
      `${op}: input must be [B, T, I=${I}], got [${B}, ${T}, ${I + 1}]`,
    )
    expect(() => run(net, zeros([T, I], f64))).toThrow(`${op}: input must be [B, T, I=${I}], got [${T}, ${I}]`)
    expect(() => run(net, input(), { h: zeros([B, H], f64), c: zeros([B, H], f64) })).toThrow(
      `${op}: state.h must be [K·D=1, B=${B}, H=${H}], got [${B}, ${H}]`,
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
  const net = kinds[name]()
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
    const net = kinds[name]()
    const { state } = run(net, input())
    const flat = map(state, (part) => part.squeeze(0))
    const next = cell(x, flat as never, net.weights[0] as nn.LayerWeights) as unknown as State
    const expected = run(net, x.unsqueeze(1), state).state
    for (const [part, value] of Object.entries(next)) await close(value, (expected[part] as Tensor).squeeze(0))
  }
})
