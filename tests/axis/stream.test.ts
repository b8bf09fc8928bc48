// A step of a stream: the operations of our own that it is made of, and the rule by which small work runs on one thread.
import {
  axis,
  grad,
  manualSeed,
  nn,
  noGrad,
  normal,
  setThreads,
  type Tensor,
  threads,
  uniform,
  Variable,
} from 'quarterturn'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { runModule } from '../child.js'
import { numbersOf } from '../parity/checkOp.js'
import { expectClose } from '../tolerances.js'

const { functional: F } = nn
const before = threads()

beforeEach(() => void manualSeed(3))
afterEach(() => setThreads(before))

async function same(a: Tensor, b: Tensor, what: string): Promise<void> {
  expect(a.shape).toEqual(b.shape)
  expectClose(await numbersOf(a), await numbersOf(b), b.dtype, what)
}

const cells = {
  minGRU: { cell: F.minGRUCell, sequence: F.minGRU, gates: 2 },
  minLSTM: { cell: F.minLSTMCell, sequence: F.minLSTM, gates: 3 },
}

describe.each(Object.entries(cells))('%sCell', (name, { cell, sequence, gates }) => {
  test.each(
    (['float32', 'float64'] as const).flatMap((dtype) =>
      [1, 2, 3, 4, 5].flatMap((batch) => (['none', 'layer', 'rms'] as const).map((kind) => ({ dtype, batch, kind }))),
    ),
  )('is its map, norm and sequence of one step: %o', async ({ dtype, batch, kind }) => {
    const [I, H] = [19, 21]
    const make = (...shape: number[]): Tensor => normal(shape, 0, 1, { dtype })
    const [x, h] = [make(batch, I), make(batch, H)]
    const weights = { weightIh: make(gates * H, I), biasIh: make(gates * H) }
    const [weight, bias] = [make(I), make(I)]
    const norm = kind === 'none' ? undefined : kind === 'layer' ? { kind, weight, bias } : { kind, weight }
    for (const positive of [false, true]) {
      const got = noGrad(() => cell(x, { h }, weights, { positive, norm })).h
      const read =
        kind === 'none' ? x : kind === 'layer' ? F.layerNorm(x, [I], { weight, bias }) : F.rmsNorm(x, [I], { weight })
      const p = F.linear(read.unsqueeze(1), weights.weightIh, weights.biasIh)
      await same(got, sequence(p, { h }, { positive }).state.h, `${name} ${positive}`)
    }
  })

  test('has the gradients of what it is made of', async () => {
    const [x, h, weightIh] = [
      [2, 5],
      [2, 4],
      [gates * 4, 5],
    ].map((shape) => new Variable(normal(shape))) as [Variable, Variable, Variable]
    const all = [x, h, weightIh]
    const of = (y: Tensor): Tensor[] => {
      const found = grad(y.sin().sum(), all)
      return all.map((variable) => found.get(variable))
    }
    const whole = of(sequence(F.linear(x.unsqueeze(1), weightIh), { h }).state.h)
    for (const [i, part] of of(cell(x, { h }, { weightIh }).h).entries())
      await same(part, whole[i] as Tensor, `${name} ${i}`)
  })

  test('what does not fit is refused by name', () => {
    const x = normal([2, 5])
    const weights = { weightIh: normal([gates * 4, 5]) }
    const wrong: [() => unknown, RegExp][] = [
      [() => cell(normal([2, 3, 5]), { h: normal([2, 4]) }, weights), /input must be \[B, I\]/],
      [() => cell(x, { h: normal([3, 4]) }, weights), /h must be \[B=2, H\]/],
      [() => cell(x, { h: normal([2, 3]) }, weights), /weightIh must be/],
      [
        () => cell(x, { h: normal([2, 4]) }, weights, { norm: { kind: 'batch' as never } }),
        /kind must be layer or rms/,
      ],
    ]
    for (const [run, message] of wrong) expect(run).toThrow(message)
  })
})

describe('small work on one thread', () => {
  test.each([
    ['few rows, without gradients', 2, 300],
    ['a small product', 12, 40],
    ['a large product', 300, 200],
  ])('%s: a layer and its gradients do not depend on the number of threads', async (_, rows, width) => {
    const x = new Variable(uniform([rows, width], -1, 1))
    const layer = new nn.Linear(width, width)
    const run = async (count: number): Promise<Tensor[]> => {
      setThreads(count)
      const still = noGrad(() => layer.forward(x))
      const y = layer.forward(x)
      const gradients = grad(y.tanh().matmul(layer.weight).square().mean(), [x, layer.weight])
      return [still, y, gradients.get(x), gradients.get(layer.weight)]
    }
    const [one, two] = [await run(1), await run(2)]
    for (const [i, value] of two.entries()) await same(value, one[i] as Tensor, `value ${i}`)
  })

  test('after small work a large one still has its threads', async () => {
    setThreads(2)
    const [small, large] = [normal([8, 8]), normal([600, 600])]
    await small.matmul(small).data()
    await same(large.matmul(large).slice(0, 0, 3), large.slice(0, 0, 3).matmul(large), 'product')
    expect(threads()).toBe(2)
  })

  test.skipIf(process.platform !== 'linux')(
    'starts no team of threads, forward or backward; large work does',
    async () => {
      const { stdout, stderr, code } = await runModule(`
      import { readdirSync } from 'node:fs'
      import { grad, nn, noGrad, normal, setThreads, Variable } from 'quarterturn'
      setThreads(2)
      const tasks = () => readdirSync('/proc/self/task').length
      const [x, w] = [normal([32, 128]), new Variable(normal([128, 128]))]
      await noGrad(() => x.sum()).data()
      const before = tasks()
      for (let i = 0; i < 5; i++) {
        await noGrad(() => x.matmul(w)).data()
        await grad(nn.functional.linear(x, w).square().mean(), [w]).get(w).data()
      }
      const small = tasks()
      const wide = normal([128, 8192])
      await w.matmul(wide).data()
      console.log(JSON.stringify([small - before, tasks() > small]))
    `)
      expect({ code, stderr, told: stdout.trim() }).toEqual({ code: 0, stderr: '', told: '[0,true]' })
    },
  )

  test('a stream gives the same bits with one thread and with two', async () => {
    const net = new axis.Stack({ width: 64, layers: 2, alongTime: axis.minLSTM(), alongDepth: axis.highway() }).eval()
    const inputs = normal([6, 1, 64])
    const run = async (count: number): Promise<number[]> => {
      setThreads(count)
      let state = net.initialState({ batch: 1 })
      let output: Tensor = inputs
      for (let t = 0; t < 6; t++) ({ output, state } = noGrad(() => net.step(inputs.select(0, t), state)))
      return numbersOf(output)
    }
    expect(await run(2)).toEqual(await run(1))
  })
})
