// Averages of weights: their formula, the swap for evaluation, what they save.
import { Gradients, grad, manualSeed, nn, normal, optim, type Tensor, tensor, Variable, zeros } from 'quarterturn'
import { beforeEach, describe, expect, test } from 'vitest'
import { expectClose } from '../tolerances.js'

beforeEach(() => void manualSeed(6))
const f64 = { dtype: 'float64' } as const
const code = (name: string) => expect.objectContaining({ code: name })
const numbers = async (x: Tensor): Promise<number[]> => Array.from((await x.data()) as Float64Array)

describe('EMA', () => {
  test.each([false, true])('average: a ← d·a + (1 − d)·θ at each update; warmup: %s', async (warmup) => {
    const start = normal([3], 0, 1, f64)
    const variable = new Variable(start)
    const average = new optim.EMA([variable], { decay: 0.6, warmup })
    let expected = await numbers(start)
    for (let n = 0; n < 6; n++) {
      const next = normal([3], 0, 1, f64)
      variable.assign(next)
      average.update()
      const d = warmup ? Math.min(0.6, (1 + n) / (10 + n)) : 0.6
      const values = await numbers(next)
      expected = expected.map((a, i) => d * a + (1 - d) * (values[i] as number))
    }
    expectClose(await numbers(average.stateDict().get('average.0') as Tensor), expected, 'float64', 'average')
    expect(average.updates).toBe(6)
    expectClose(await average.use(() => numbers(variable)), expected, 'float64', 'in use')
    average.copyTo()
    expectClose(await numbers(variable), expected, 'float64', 'copied')
  })

  test('use puts the averages in place for what the function queues, also async, and the parameters back, also after an error', async () => {
    const model = new nn.Linear(2, 1, { bias: false, ...f64 })
    model.weight.assign(tensor([[1, 2]], f64))
    const average = new optim.EMA(model.parameters(), { decay: 0.5 })
    model.weight.assign(tensor([[3, 6]], f64))
    average.update()
    const x = tensor([[1, 0]], f64)
    const inUse = average.use(() => model.forward(x))
    const own = model.forward(x)
    expect([await inUse.item(), await own.item()]).toEqual([2, 3])
    const later = average.use(async () => {
      await x.data()
      return model.forward(x).item()
    })
    expect(() => average.update()).toThrow(code('ERR_BUSY'))
    expect(() => average.use(() => {})).toThrow(code('ERR_BUSY'))
    expect(await later).toBe(2)
    expect(() =>
      average.use(() => {
        throw new Error('mine')
      }),
    ).toThrow('mine')
    await expect(average.use(() => Promise.reject(new Error('theirs')))).rejects.toThrow('theirs')
    expect(await model.forward(x).item()).toBe(3)
    average.update()
  })

  test('bfloat16 parameters have float32 averages, which take in changes that bfloat16 cannot hold', async () => {
    const model = new nn.Linear(1, 1, { bias: false }).to('bfloat16')
    model.weight.assign(tensor([[1]]))
    const average = new optim.EMA(model.parameters(), { decay: 0.999 })
    model.weight.assign(tensor([[1.5]]))
    for (let i = 0; i < 4; i++) average.update()
    const value = average.stateDict().get('average.0') as Tensor
    expect(value.dtype).toBe('float32')
    expectClose(await numbers(value), [1.5 - 0.5 * 0.999 ** 4], 'float32', 'average')
    model.to('float64')
    average.update()
    expect(average.stateDict().get('average.0')?.dtype).toBe('float64')
  })

  test('a state that was saved and loaded goes on bit for bit; what does not fit changes nothing', async () => {
    const variables = [new Variable(normal([2])), new Variable(normal([3]))]
    const run = new optim.EMA(variables, { decay: 0.9, warmup: true })
    const move = (): void => {
      for (const variable of variables) variable.assign(normal(variable.shape))
      run.update()
    }
    move()
    const saved = run.stateDict()
    const next = variables.map(({ shape }) => normal(shape))
    const finish = async (average: optim.EMA): Promise<unknown> => {
      for (const [i, variable] of variables.entries()) variable.assign(next[i] as Tensor)
      average.update()
      return Promise.all([...average.stateDict().values()].map((value) => value.toArray()))
    }
    const expected = await finish(run)
    const other = new optim.EMA(variables, { decay: 0.9, warmup: true })
    const bad = new Map<string, Tensor>(saved).set('average.1', zeros([2])).set('average.2', zeros([2]))
    bad.delete('updates')
    await expect(other.loadStateDict(bad)).rejects.toThrow(
      [
        'EMA.loadStateDict: 3 problems, so nothing was loaded:',
        '  updates is missing',
        '  average.1 must be [3], got [2]',
        '  average.2 is unexpected',
      ].join('\n'),
    )
    await other.loadStateDict(saved)
    expect(await finish(other)).toEqual(expected)
  })

  test('refuses what is no decay and no Variable', () => {
    const v = new Variable(zeros([1]))
    expect(() => new optim.EMA([v], { decay: 1 })).toThrow(code('ERR_ARGUMENT'))
    expect(() => new optim.EMA([])).toThrow(code('ERR_ARGUMENT'))
    expect(() => new optim.EMA([zeros([1]) as never])).toThrow(code('ERR_ARGUMENT'))
    expect(() => new optim.EMA([v], { warmup: 1 as never })).toThrow(code('ERR_ARGUMENT'))
  })
})

describe('gradients', () => {
  test('accumulated over parts of a batch, each scaled by its share, are those of the whole batch', async () => {
    const model = new nn.Sequential(new nn.Linear(3, 4, f64), new nn.Tanh(), new nn.Linear(4, 2, f64))
    const [x, y] = [normal([6, 3], 0, 1, f64), normal([6, 2], 0, 1, f64)]
    const loss = (from: number, to: number): Tensor =>
      nn.functional.mseLoss(model.forward(x.slice(0, from, to)), y.slice(0, from, to))
    const whole = grad(loss(0, 6), model.parameters())
    const total = [
      [0, 3],
      [3, 5],
      [5, 6],
    ]
      .map(([from, to]) =>
        grad(loss(from as number, to as number), model.parameters()).scale(((to as number) - (from as number)) / 6),
      )
      .reduce((sum, one) => sum.add(one))
    for (const parameter of model.parameters())
      expectClose(await numbers(total.get(parameter)), await numbers(whole.get(parameter)), 'float64', parameter.name)
  })

  test('clipByValue limits every element, as torch does', async () => {
    const [a, b] = [new Variable(zeros([3])), new Variable(zeros([1]))]
    const gradients = new Gradients([a, b], [tensor([-3, 0.5, 2]), tensor([1.5])])
    const clipped = gradients.clipByValue(1.25)
    expect([await clipped.get(a).toArray(), await clipped.get(b).toArray()]).toEqual([[-1.25, 0.5, 1.25], [1.25]])
    for (const limit of [0, -1, Number.NaN]) expect(() => gradients.clipByValue(limit)).toThrow(code('ERR_ARGUMENT'))
  })
})
