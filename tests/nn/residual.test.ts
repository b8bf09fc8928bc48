// The blocks along depth and the functions of gated scans: equations composed of other operations, how they start, what they refuse.
import { type FloatDType, grad, manualSeed, nn, normal, type Tensor, tensor, Variable, zeros } from 'quarterturn'
import { beforeEach, describe, expect, test } from 'vitest'
import { numbersOf } from '../parity/checkOp.js'
import { expectClose } from '../tolerances.js'

const { functional: F } = nn
const code = (name: string) => expect.objectContaining({ code: name })

beforeEach(() => void manualSeed(7))

/** The same values and gradients of two ways to compute something of x and a module's parameters. */
async function agree(x: Variable, parameters: Variable[], one: () => Tensor, other: () => Tensor): Promise<void> {
  const leaves = [x, ...parameters]
  const [a, b] = [one, other].map((fn) => {
    const y = fn()
    const gradients = grad(y.sin().sum(), leaves)
    return [y, ...leaves.map((leaf) => gradients.get(leaf))]
  }) as [Tensor[], Tensor[]]
  for (const [i, value] of b.entries()) {
    const actual = a[i] as Tensor
    expect(actual.shape).toEqual(value.shape)
    // Both sides round.
    expectClose(await numbersOf(actual), await numbersOf(value), value.dtype, i === 0 ? 'y' : `gradient ${i - 1}`, 10)
  }
}

describe.each(['float32', 'float64'] as const)('%s', (dtype: FloatDType) => {
  const input = (...shape: number[]): Variable => new Variable(normal(shape, 0, 1, { dtype }))

  test.each(['relu', 'tanh'] as const)('Highway with %s is its equations', async (nonlinearity) => {
    const net = new nn.Highway(5, { layers: 3, nonlinearity, dtype })
    const x = input(2, 7, 5)
    await agree(
      x,
      net.parameters(),
      () => net.forward(x),
      () => {
        let y: Tensor = x
        for (let k = 0; k < 3; k++) {
          const a = F.linear(y, net.weight.select(0, k), net.bias?.select(0, k))
          const [h, t] = [a.slice(2, 0, 5), a.slice(2, 5).sigmoid()]
          y = t.mul(nonlinearity === 'relu' ? h.relu() : h.tanh()).add(t.mul(-1).add(1).mul(y))
        }
        return y
      },
    )
  })

  test('ResidualMLP is its equations', async () => {
    const block = new nn.ResidualMLP(5, 9, { eps: 0.25, dtype })
    const x = input(4, 5)
    await agree(
      x,
      block.parameters(),
      () => block.forward(x),
      () => {
        const u = block.linear1.forward(block.norm.forward(x))
        return x.add(block.linear2.forward(F.gelu(u, { approximate: true })))
      },
    )
  })

  test('ResidualNorm adds, then normalises', async () => {
    const [x, residual] = [input(3, 4, 6), input(3, 4, 6)]
    const layer = new nn.ResidualNorm(6, { eps: 0.25, dtype })
    const sum = (): Tensor => x.add(residual)
    const both = ({ output, sum }: { output: Tensor; sum: Tensor }): Tensor => output.add(sum)
    await agree(
      x,
      [residual, ...layer.parameters()],
      () => both(layer.forward(x, residual)),
      () => F.layerNorm(sum(), [6], { weight: layer.weight, bias: layer.bias, eps: 0.25 }).add(sum()),
    )
    const rms = new nn.ResidualNorm(6, { rms: true, eps: 0.25, dtype })
    const scale = (s: Tensor): Tensor => s.square().mean(-1, { keepDim: true }).add(0.25).sqrt()
    await agree(
      x,
      rms.parameters(),
      () => both(rms.forward(x)),
      () => x.div(scale(x)).mul(rms.weight).add(x),
    )
  })

  test('a gated scan of constant gates is a decaying sum', async () => {
    const a = zeros([1, 4, 1], { dtype }).add(0.5)
    const b = tensor([[[1], [2], [3], [4]]], { dtype })
    const start = { h: tensor([[8]], { dtype }) }
    const ahead = F.gatedScan(a, b, start)
    expect(await ahead.output.toArray()).toEqual([[[5], [4.5], [5.25], [6.625]]])
    expect(await ahead.state.h.toArray()).toEqual([[6.625]])
    const back = F.gatedScan(a, b, undefined, { reverse: true, lengths: [3] })
    expect(await back.output.toArray()).toEqual([[[2.75], [3.5], [3], [0]]])
    expect(await back.state.h.toArray()).toEqual([[2.75]])
  })
})

test('Highway starts with its gates nearly closed, Linear-like otherwise', async () => {
  const net = new nn.Highway(16, { layers: 2, gateBias: -3 })
  const bias = (await (net.bias as Tensor).toArray()) as number[][]
  for (const row of bias) {
    expect(row.slice(16)).toEqual(Array(16).fill(-3))
    expect(Math.max(...row.slice(0, 16).map(Math.abs))).toBeLessThanOrEqual(0.25)
    expect(new Set(row.slice(0, 16)).size).toBeGreaterThan(10)
  }
  const weight = await numbersOf(net.weight)
  expect(Math.max(...weight.map(Math.abs))).toBeLessThanOrEqual(0.25)
  expect(Math.max(...weight.map(Math.abs))).toBeGreaterThan(0.24)
  const x = normal([8, 16])
  const carried = await new nn.Highway(16, { gateBias: -100 }).forward(x).sub(x).abs().amax().item()
  expect(carried).toBe(0)
  expect([...new nn.Highway(4, { bias: false }).namedParameters().keys()]).toEqual(['weight'])
})

test('keys and starts of ResidualMLP are those of its parts; ResidualNorm has a bias unless it is rms', async () => {
  const block = new nn.ResidualMLP(9, 25)
  expect([...block.stateDict()].map(([key, { shape }]) => [key, shape])).toEqual([
    ['norm.weight', [9]],
    ['norm.bias', [9]],
    ['linear1.weight', [25, 9]],
    ['linear1.bias', [25]],
    ['linear2.weight', [9, 25]],
    ['linear2.bias', [9]],
  ])
  expect(await block.linear1.weight.abs().amax().item()).toBeGreaterThan(0.3)
  expect(await block.linear2.weight.abs().amax().item()).toBeLessThanOrEqual(0.2)
  expect([...new nn.ResidualNorm(4).namedParameters().keys()]).toEqual(['weight', 'bias'])
  expect([...new nn.ResidualNorm(4, { rms: true }).namedParameters().keys()]).toEqual(['weight'])
})

test('MinGRU and MinLSTM start as Linear does, by the width of their own input', async () => {
  const net = new nn.MinLSTM(4, 25, { numLayers: 2 })
  const largest = async (i: number): Promise<number> =>
    (await (net.weights[i] as nn.InputWeights).weightIh.abs().amax().item()) as number
  expect(await largest(0)).toBeGreaterThan(0.45)
  expect(await largest(0)).toBeLessThanOrEqual(0.5)
  expect(await largest(1)).toBeGreaterThan(0.18)
  expect(await largest(1)).toBeLessThanOrEqual(0.2)
})

test('summary tells their shapes and parameters', () => {
  class Model extends nn.Module {
    rnn = new nn.MinGRU(3, 8)
    net = new nn.Highway(8, { layers: 2 })
    block = new nn.ResidualMLP(8, 16)
    norm = new nn.ResidualNorm(8)
    forward(x: Tensor): Tensor {
      const h = this.net.forward(this.rnn.forward(x).output)
      return this.norm.forward(this.block.forward(h), h).output
    }
  }
  const lines = new Model().summary([2, 5, 3]).split('\n')
  const row = (name: string): string => lines.find((line) => line.includes(name)) ?? ''
  expect(row('MinGRU')).toMatch(/\[2, 5, 8\] +64 /)
  expect(row('Highway')).toMatch(/\[2, 5, 8\] +288 /)
  expect(row('norm ResidualNorm')).toMatch(/\[2, 5, 8\] +16 /)
  expect(row('total')).toContain('664')
})

test('the weights have their gradients where nobody wants those of x', async () => {
  const x = normal([3, 5], 0, 1)
  const norm = new nn.ResidualNorm(5)
  const block = new nn.ResidualMLP(5, 7)
  const by = (y: Tensor): Tensor => y.mul(y).sum()
  const leaf = new Variable(x.clone())
  for (const [net, run] of [
    [norm, (x: Tensor) => by(norm.forward(x).output)],
    [block, (x: Tensor) => by(block.forward(x))],
  ] as const) {
    const parameters = net.parameters()
    const [alone, beside] = [grad(run(x), parameters), grad(run(leaf), [leaf, ...parameters])]
    for (const p of parameters) expect(await alone.get(p).toArray()).toEqual(await beside.get(p).toArray())
  }
  const inner = [...block.namedParameters()].find(([name]) => name.includes('norm'))?.[1] as Variable
  const [only, all] = [grad(by(block.forward(x)), [inner]), grad(by(block.forward(x)), block.parameters())]
  expect(await only.get(inner).toArray()).toEqual(await all.get(inner).toArray())
})

test('a second derivative through our kernels is refused by name', async () => {
  const x = new Variable(normal([2, 3, 4]))
  const { output } = F.gatedScan(x.sigmoid(), x)
  const slope = grad(output.square().sum(), [x], { createGraph: true }).get(x)
  await expect(grad(slope.sum(), [x]).get(x).data()).rejects.toMatchObject({ message: expect.stringContaining('scan') })
})

const [x, w1, w2] = [zeros([2, 4]), zeros([6, 4]), zeros([4, 6])]
const p = zeros([2, 3, 6])
const f64 = { dtype: 'float64' } as const
const half = zeros([2, 3, 6], { dtype: 'bfloat16' })
const whole = zeros([2, 3, 6], { dtype: 'int64' }) as never

test.each<[string, () => unknown, string]>([
  ['gatedScan: a must be [B, T, H], got [2, 4]', () => F.gatedScan(x, x), 'ERR_SHAPE'],
  ['gatedScan: b must be [2, 3, 6], the shape of a, got [2, 4]', () => F.gatedScan(p, x), 'ERR_SHAPE'],
  ['gatedScan: h0 must be [B=2, H=6], got [2, 4]', () => F.gatedScan(p, p, { h: x }), 'ERR_SHAPE'],
  ['gatedScan: every operand must be float32', () => F.gatedScan(p, zeros([2, 3, 6], f64)), 'ERR_DTYPE'],
  ['gatedScan: a must be float', () => F.gatedScan(whole, whole), 'ERR_DTYPE'],
  ['minGRU: input must be [B, T, 2H], got [2, 3, 5]', () => F.minGRU(zeros([2, 3, 5])), 'ERR_SHAPE'],
  ['minGRU: h0 must be [B=2, H=3], got [2, 4]', () => F.minGRU(p, { h: x }), 'ERR_SHAPE'],
  ['minGRU: input must be float', () => F.minGRU(whole), 'ERR_DTYPE'],
  ['minLSTM: input must be [B, T, 3H], got [2, 3, 5]', () => F.minLSTM(zeros([2, 3, 5])), 'ERR_SHAPE'],
  ['minLSTM: every operand must be float32', () => F.minLSTM(p, { h: zeros([2, 2], f64) }), 'ERR_DTYPE'],
  ['highway: weight must be [K, 2D, D], got [6, 4]', () => F.highway(x, w1), 'ERR_SHAPE'],
  ['highway: weight must be [K, 2D, D], got [1, 4, 4]', () => F.highway(x, zeros([1, 4, 4])), 'ERR_SHAPE'],
  ['highway: input must be […, D=2], got [2, 4]', () => F.highway(x, zeros([1, 4, 2])), 'ERR_SHAPE'],
  ['highway: bias must be [K=1, 2D=8], got [8]', () => F.highway(x, zeros([1, 8, 4]), zeros([8])), 'ERR_SHAPE'],
  ['highway: input must be float32 or float64', () => F.highway(half, zeros([1, 12, 6])), 'ERR_DTYPE'],
  ['residualNorm: input must be […, D], got []', () => F.residualNorm(zeros([])), 'ERR_SHAPE'],
  ['residualNorm: residual must be [2, 4], the shape of the input', () => F.residualNorm(x, zeros([4])), 'ERR_SHAPE'],
  ['residualNorm: weight must be [D=4], got [3]', () => F.residualNorm(x, x, { weight: zeros([3]) }), 'ERR_SHAPE'],
  ['residualNorm: bias must be [D=4], got [3]', () => F.residualNorm(x, x, { bias: zeros([3]) }), 'ERR_SHAPE'],
  ['residualMLP: weight2 must be [D=4, F=6], got [6, 4]', () => mlp({ weight2: w1 }), 'ERR_SHAPE'],
  ['residualMLP: bias1 must be [F=6], got [4]', () => mlp({ bias1: zeros([4]) }), 'ERR_SHAPE'],
  ['residualMLP: normBias must be [D=4], got [6]', () => mlp({ normBias: zeros([6]) }), 'ERR_SHAPE'],
  [
    'residualMLP: input must be […, D=4], got [2, 3, 6]',
    () => F.residualMLP(p, { weight1: w1, weight2: w2 }),
    'ERR_SHAPE',
  ],
  ['residualMLP: every operand must be float32', () => mlp({ bias2: zeros([4], f64) }), 'ERR_DTYPE'],
  ['Highway: nonlinearity must be', () => new nn.Highway(4, { nonlinearity: 'gelu' as 'relu' }), 'ERR_ARGUMENT'],
  ['Highway: layers must be a whole number ≥ 1', () => new nn.Highway(4, { layers: 0 }), 'ERR_ARGUMENT'],
  ['ResidualMLP: hidden must be a whole number ≥ 1', () => new nn.ResidualMLP(4, 0), 'ERR_ARGUMENT'],
  ['MinGRU: hiddenSize must be a whole number ≥ 1', () => new nn.MinGRU(4, 0), 'ERR_ARGUMENT'],
])('%s', (message, fn, expected) => {
  expect(fn).toThrow(message)
  expect(fn).toThrow(code(expected))
})

function mlp(given: Partial<Parameters<typeof F.residualMLP>[1]>): Tensor {
  return F.residualMLP(x, { weight1: w1, weight2: w2, ...given })
}
