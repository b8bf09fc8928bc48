// The diagnostics measure what they say: against nets whose answer is known in closed form.
import { axis, manualSeed, nn, normal, type Tensor } from 'quarterturn'
import { beforeEach, describe, expect, test } from 'vitest'
import { numbersOf } from '../parity/checkOp.js'

const N = 6
const code = (name: string) => expect.objectContaining({ code: name })

beforeEach(() => void manualSeed(3))

const input = (steps = 1, rows = 1): Tensor => normal([rows, steps, N], 0, 1, { dtype: 'float64' })
const make = (options: Omit<axis.StackOptions, 'width'>): axis.Stack =>
  new axis.Stack({ width: N, norm: 'none', ...options }).to('float64').eval()
const deep = (alongDepth: axis.Carrier, layers = 12): axis.Stack =>
  make({ layers, alongTime: axis.dense(), alongDepth })
const sum = (list: readonly number[]): number => list.reduce((s, x) => s + x, 0)

describe('traces', () => {
  test('along depth the last point is what the stack gives, and the stack is as before', async () => {
    const stack = deep(axis.highway())
    const [x, carrier] = [input(3, 2), stack.alongDepth]
    const trace = axis.traceDepth(stack, x)
    expect(trace.names).toHaveLength(13)
    const last = trace.points.at(-1)?.[0] as Tensor
    expect(await numbersOf(last)).toEqual(await numbersOf(stack.forward(x)))
    expect(stack.alongDepth).toBe(carrier)
  })

  test('along time the gradient of the first state is that of the stack', async () => {
    const stack = make({ layers: 2, alongTime: axis.lstm(), alongDepth: axis.residual() })
    const trace = axis.traceTime(stack, input(9, 2))
    expect(trace.points).toHaveLength(10)
    expect(trace.points.every((parts) => parts.length === 4)).toBe(true) // h and c of two layers
    const { norms } = await axis.gradientNorms(trace)
    expect(norms.every((norm) => norm > 0)).toBe(true)
  })

  test('of a module: the named parts, in the order asked for; its methods are as before', async () => {
    const net = new nn.Sequential(new nn.Linear(N, N), new nn.Tanh(), new nn.Linear(N, N)).to('float64')
    const paths = [...net.namedModules().keys()].filter((path) => path !== '')
    const x = normal([4, N], 0, 1, { dtype: 'float64' })
    const trace = axis.traceModules(net, paths, () => net.forward(x))
    const last = trace.points.at(-1)?.[0] as Tensor
    expect(await numbersOf(last)).toEqual(await numbersOf(net.forward(x)))
    // The last layer is linear: its Jacobian by its input is its weight.
    const found = await numbersOf(axis.jacobian(trace, 1, 2))
    const weight = await numbersOf(net.parameters().at(-2) as Tensor)
    expect(Math.max(...found.map((value, i) => Math.abs(value - (weight[i] as number))))).toBeLessThan(1e-14)
    expect(net.modules().some((part) => Object.hasOwn(part, 'forward'))).toBe(false)
    expect(() => axis.traceModules(net, ['nowhere'], () => {})).toThrow(code('ERR_ARGUMENT'))
    expect(() => axis.traceModules(net, paths, () => {})).toThrow(code('ERR_ARGUMENT'))
  })

  test('a cell that fills both axes, and points that are not there, are refused', () => {
    const stack = deep(axis.residual())
    const trace = axis.traceDepth(stack, input())
    expect(() => axis.jacobian(trace, 3, 3)).toThrow(code('ERR_ARGUMENT'))
    expect(() => axis.jacobian(trace, 0, 99)).toThrow(code('ERR_ARGUMENT'))
  })
})

describe('gradients', () => {
  test('scaled shortcuts alone lose a constant factor per layer, which is the exponent', async () => {
    const stack = deep(axis.scaled({ shortcut: 0.5, branch: 0 }), 10)
    const { norms, exponent } = await axis.gradientNorms(axis.traceDepth(stack, input()))
    expect(exponent).toBeCloseTo(Math.log(0.5), 10)
    expect((norms[0] as number) / (norms[10] as number)).toBeCloseTo(0.5 ** 10, 12)
    const { singularValues, effectiveRank, median, norm } = await axis.spectrum(
      axis.jacobian(axis.traceDepth(stack, input()), 0, 10),
    )
    expect(singularValues).toHaveLength(N)
    expect(effectiveRank).toBeCloseTo(N, 8)
    expect(median).toBeCloseTo(0.5 ** 10, 12)
    expect(norm).toBeCloseTo(0.5 ** 10, 12)
  })

  test('a deep plain net loses rank, a Highway with nearly closed gates does not', async () => {
    const rank = async (carrier: axis.Carrier): Promise<number> =>
      (await axis.spectrum(axis.jacobian(axis.traceDepth(deep(carrier, 60), input()), 0, 60))).effectiveRank
    expect(await rank(axis.plain())).toBeLessThan(2)
    expect(await rank(axis.highway({ gateBias: -5 }))).toBeGreaterThan(N / 2)
  })

  test('the direct path is the carry’s product; the full path differs from it', async () => {
    const stack = deep(axis.highway({ gateBias: -1 }))
    const x = input()
    const direct = axis.directPath(await axis.carry(stack, x))
    expect(direct.every((value) => value > 0 && value < 1)).toBe(true)
    const full = await numbersOf(axis.jacobian(axis.traceDepth(stack, x), 0, 12))
    expect(Math.abs((full[0] as number) - (direct[0] as number))).toBeGreaterThan(1e-6)
    const identity = axis.directPath(await axis.carry(deep(axis.residual()), x))
    expect(identity).toEqual(Array(N).fill(1))
  })
})

describe('what is carried', () => {
  test('half-lives: of numbers, and of a scaled shortcut', async () => {
    expect(axis.halfLife(0.5)).toBe(1)
    expect(axis.halfLife(1 / (1 + Math.exp(-3)))).toBeCloseTo(14.27, 1)
    expect([axis.halfLife(0), axis.halfLife(1)]).toEqual([0, Infinity])
    const lives = axis.carryHalfLife(await axis.carry(deep(axis.scaled({ shortcut: 0.5 })), input(2, 2)))
    expect(lives.every((life) => Math.abs(life - 1) < 1e-12)).toBe(true)
  })

  test('the mixing matrix of residual is all ones, rows of Highway sum to one', async () => {
    const ones = axis.mixingMatrix(await axis.carry(deep(axis.residual(), 4), input()), 2)
    expect(ones).toEqual([0, 1, 2, 3, 4].map((k) => [0, 1, 2, 3, 4].map((i) => (i > k ? 0 : 1))))
    const rows = axis.mixingMatrix(await axis.carry(deep(axis.highway(), 9), input(2)), 1, 1)
    for (const row of rows) expect(sum(row)).toBeCloseTo(1, 10)
    expect(
      sum(axis.mixingMatrix(await axis.carry(deep(axis.fullHighway(), 9), input()), 1).at(-1) ?? []),
    ).not.toBeCloseTo(1, 2)
  })

  test('carriers whose gates read the write, or whose state is not one stream, are refused', async () => {
    await expect(axis.carry(deep(axis.minGRU()), input())).rejects.toThrow(code('ERR_ARGUMENT'))
    await expect(axis.carry(deep(axis.lstm()), input())).rejects.toThrow(code('ERR_ARGUMENT'))
  })
})

describe('lesions', () => {
  test('a residual stack without a layer is the stack of the others', async () => {
    const [whole, part] = [deep(axis.residual(), 4), deep(axis.residual(), 3)]
    const kept = [0, 1, 3].flatMap((k) => {
      const { map } = (whole.writes[k] as { time: object }).time as { map: nn.Linear }
      return [map.weight, map.bias as Tensor]
    })
    for (const [i, parameter] of part.parameters().entries()) parameter.assign(kept[i] as Tensor)
    const x = input(2)
    const without = axis.lesioned(whole, [2], () => whole.forward(x))
    expect(await numbersOf(without)).toEqual(await numbersOf(part.forward(x)))
    expect(await numbersOf(whole.forward(x))).not.toEqual(await numbersOf(without))
    expect(await numbersOf(axis.lesioned(whole, [0, 1, 2, 3], () => whole.forward(x)))).toEqual(await numbersOf(x))
    expect(() => axis.lesioned(whole, [4], () => {})).toThrow(code('ERR_ARGUMENT'))
  })

  test('shuffled twice the other way round is the stack itself, also after an error', async () => {
    const stack = deep(axis.residual(), 3)
    const x = input(2)
    const before = await numbersOf(stack.forward(x))
    const turned = axis.shuffled(stack, [2, 0, 1], () => axis.shuffled(stack, [1, 2, 0], () => stack.forward(x)))
    expect(await numbersOf(turned)).toEqual(before)
    expect(await numbersOf(axis.shuffled(stack, [2, 1, 0], () => stack.forward(x)))).not.toEqual(before)
    expect(() =>
      axis.shuffled(stack, [2, 1, 0], () => {
        throw new RangeError('inside')
      }),
    ).toThrow('inside')
    expect(await numbersOf(stack.forward(x))).toEqual(before)
    expect(() => axis.shuffled(stack, [0, 0, 1], () => {})).toThrow(code('ERR_ARGUMENT'))
    expect([axis.kendallTau([0, 1, 2]), axis.kendallTau([2, 1, 0]), axis.kendallTau([1, 0, 2])]).toEqual([1, -1, 1 / 3])
  })

  test('a sequence without steps', async () => {
    const x = input(4)
    const all = await numbersOf(x)
    expect(await numbersOf(axis.withoutSteps(x, [1, 2]))).toEqual([...all.slice(0, N), ...all.slice(3 * N)])
    expect(() => axis.withoutSteps(x, [0, 1, 2, 3])).toThrow(code('ERR_ARGUMENT'))
  })
})

test('serial steps: a recurrence T + L − 1 on its critical path, a scan L·⌈log₂ T⌉, a map L', () => {
  const count = (alongTime: axis.Carrier): axis.SerialSteps => axis.serialSteps(make({ layers: 4, alongTime }), 25)
  expect(count(axis.lstm())).toEqual({ layerByLayer: 100, criticalPath: 28 })
  expect(count(axis.minLSTM())).toEqual({ layerByLayer: 20, criticalPath: 20 })
  expect(count(axis.dense())).toEqual({ layerByLayer: 4, criticalPath: 4 })
})
