// Optimizers: their updates against plain float64, and that a step changes everything or nothing.
import {
  CheckpointError,
  Gradients,
  grad,
  manualSeed,
  nn,
  noGrad,
  normal,
  optim,
  scan,
  type Tensor,
  tensor,
  Variable,
  zeros,
} from 'quarterturn'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { takePending } from '../../src/tensor/queue.js'
import { expectClose } from '../tolerances.js'

beforeEach(() => void manualSeed(8))
// Each error was reported once, and no test leaves one behind.
afterEach(() => expect(takePending()).toEqual([]))
const f64 = { dtype: 'float64' } as const
const code = (name: string) => expect.objectContaining({ code: name })
const numbers = async (x: Tensor): Promise<number[]> => Array.from((await x.data()) as Float64Array)

type Step = (theta: number, g: number, state: { [name: string]: number }, t: number, lr: number) => number

/** One element's update, as the papers have it. */
const adamw =
  ({ betas: [b1, b2] = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 }: Partial<optim.AdamWOptions>): Step =>
  (theta, g, s, t, lr) => {
    s.m = b1 * (s.m ?? 0) + (1 - b1) * g
    s.v = b2 * (s.v ?? 0) + (1 - b2) * g * g
    const decayed = theta - lr * weightDecay * theta
    return decayed - (lr * (s.m / (1 - b1 ** t))) / (Math.sqrt(s.v / (1 - b2 ** t)) + eps)
  }

const sgd =
  ({ momentum = 0, dampening = 0, weightDecay = 0, nesterov = false }: Partial<optim.SGDOptions>): Step =>
  (theta, gradient, s, t, lr) => {
    const g = gradient + weightDecay * theta
    if (momentum === 0) return theta - lr * g
    s.b = t === 1 ? g : momentum * (s.b as number) + (1 - dampening) * g
    return theta - lr * (nesterov ? g + momentum * s.b : s.b)
  }

const adam =
  ({ betas: [b1, b2] = [0.9, 0.999], eps = 1e-8, weightDecay = 0 }: Partial<optim.AdamOptions>): Step =>
  (theta, gradient, s, t, lr) =>
    adamw({ betas: [b1, b2], eps, weightDecay: 0 })(theta, gradient + weightDecay * theta, s, t, lr)

const lion =
  ({ betas: [b1, b2] = [0.9, 0.99], weightDecay = 0 }: Partial<optim.LionOptions>): Step =>
  (theta, g, s, _, lr) => {
    const m = s.m ?? 0
    s.m = b2 * m + (1 - b2) * g
    return theta - lr * weightDecay * theta - lr * Math.sign(b1 * m + (1 - b1) * g)
  }

/** A Variable and its shadow in plain numbers. */
class Shadowed {
  readonly states: { [name: string]: number }[]
  steps = 0
  constructor(
    readonly variable: Variable,
    public values: number[],
  ) {
    this.states = values.map(() => ({}))
  }
  static async of(...shape: number[]): Promise<Shadowed> {
    const start = normal(shape, 0, 1, f64)
    return new Shadowed(new Variable(start), await numbers(start))
  }
  async step(rule: Step, gradient: Tensor, lr: number): Promise<void> {
    const g = await numbers(gradient)
    this.steps++
    this.values = this.values.map((theta, i) =>
      rule(theta, g[i] as number, this.states[i] as { [name: string]: number }, this.steps, lr),
    )
  }
  async check(what: string): Promise<void> {
    expectClose(await numbers(this.variable), this.values, 'float64', what)
  }
}

const randomGradient = (...all: Shadowed[]): Gradients => {
  const variables = all.map(({ variable }) => variable)
  return new Gradients(
    variables,
    variables.map(({ shape }) => normal(shape, 0, 1, f64)),
  )
}

describe.each([
  ...[
    {},
    { momentum: 0.9 },
    { momentum: 0.8, dampening: 0.3 },
    { momentum: 0.9, nesterov: true, weightDecay: 0.1 },
    { weightDecay: 0.2 },
  ].map((o) => ['SGD', o] as const),
  ...[{}, { betas: [0.8, 0.95] as const, eps: 1e-3, weightDecay: 0.3 }, { weightDecay: 0 }].map(
    (o) => ['AdamW', o] as const,
  ),
  ...[{}, { betas: [0.8, 0.95] as const, eps: 1e-3, weightDecay: 0.3 }].map((o) => ['Adam', o] as const),
  ...[{}, { betas: [0.8, 0.95] as const, weightDecay: 0.3 }].map((o) => ['Lion', o] as const),
])('%s %j', (name, options) => {
  const rules: Record<string, (options: object) => Step> = { SGD: sgd, AdamW: adamw, Adam: adam, Lion: lion }
  const make = (parameters: Iterable<Variable>, lr: optim.LearningRate): optim.Optimizer =>
    new optim[name](parameters, { ...options, lr })
  const rule = (rules[name] as (options: object) => Step)(options)

  test('is its formula over seven steps, with a constant rate and with a function', async () => {
    for (const lr of [0.05, (step: number) => 0.1 / (step + 1)]) {
      const [a, b] = [await Shadowed.of(3, 2), await Shadowed.of(4)]
      const optimizer = make([a.variable, b.variable], lr)
      for (let t = 0; t < 7; t++) {
        const gradients = randomGradient(a, b)
        const rate = typeof lr === 'number' ? lr : lr(t)
        await a.step(rule, gradients.get(a.variable), rate)
        await b.step(rule, gradients.get(b.variable), rate)
        optimizer.step(gradients)
      }
      await a.check('a')
      await b.check('b')
    }
  })

  test('a parameter that gets no gradient is left alone, and its count and moments start when it gets one', async () => {
    const [a, b, c] = [await Shadowed.of(2), await Shadowed.of(3), await Shadowed.of(2)]
    const lr = (step: number): number => 0.1 / (step + 1)
    const optimizer = make([a.variable, b.variable, c.variable], lr)
    c.variable.requiresGrad = false
    const taking = [[a], [a, b], [b], [a, b], [a, b, c], [c, a]]
    for (const [t, some] of taking.entries()) {
      if (some.includes(c)) c.variable.requiresGrad = true
      // A gradient for a frozen parameter is not used.
      const gradients = randomGradient(...some, ...(t < 2 ? [c] : []))
      for (const one of some) await one.step(rule, gradients.get(one.variable), lr(t))
      optimizer.step(gradients)
    }
    for (const [name, one] of Object.entries({ a, b, c })) await one.check(name)
    const dict = optimizer.stateDict()
    expect(await dict.get('steps')?.toArray()).toEqual([5, 4, 2])
    expect(await dict.get('missed')?.toArray()).toEqual([1, 2, 4])
  })

  test('a run that was saved and loaded goes on bit for bit', async () => {
    const lr = (step: number): number => 0.1 / (step + 1)
    const gradients = Array.from({ length: 6 }, () => [normal([3]), normal([2])] as const)
    const start = [normal([3]), normal([2])] as const
    const run = async (cut: number): Promise<unknown> => {
      let variables = start.map((value) => new Variable(value))
      let optimizer = make(variables, lr)
      for (const [t, pair] of gradients.entries()) {
        if (t === cut) {
          const [saved, values] = [optimizer.stateDict(), variables.map((variable) => variable.clone())]
          variables = values.map((value) => new Variable(value))
          optimizer = make(variables, lr)
          // A past of its own, which is to be overwritten.
          optimizer.step(new Gradients(variables, pair), { keep: true })
          for (const [i, variable] of variables.entries()) variable.assign(values[i] as Tensor)
          await optimizer.loadStateDict(saved)
        }
        const some = t === 1 ? 1 : 2
        optimizer.step(new Gradients(variables.slice(0, some), pair.slice(0, some)), { keep: true })
      }
      return Promise.all([...variables, ...optimizer.stateDict().values()].map((value) => value.toArray()))
    }
    const whole = await run(-1)
    for (const cut of [1, 2, 5]) expect(await run(cut)).toEqual(whole)
  })
})

describe('groups', () => {
  test('have options of their own, and a rate set later reaches all', async () => {
    const [a, b] = [await Shadowed.of(2), await Shadowed.of(2)]
    const optimizer = new optim.AdamW(
      [
        { parameters: [a.variable], weightDecay: 0 },
        { parameters: [b.variable], lr: 0.5 },
      ],
      { lr: 0.1, weightDecay: 0.2 },
    )
    const rules = [adamw({ weightDecay: 0 }), adamw({ weightDecay: 0.2 })] as const
    for (const rates of [
      [0.1, 0.5],
      [0.01, 0.01],
    ] as const) {
      if (rates[0] === 0.01) optimizer.lr = 0.01
      const gradients = randomGradient(a, b)
      await a.step(rules[0], gradients.get(a.variable), rates[0])
      await b.step(rules[1], gradients.get(b.variable), rates[1])
      optimizer.step(gradients)
    }
    await a.check('a')
    await b.check('b')
    expect(optimizer.groups.map(({ options }) => options.weightDecay)).toEqual([0, 0.2])
    expect(optimizer.lr).toBe(0.01)
  })

  test('refuses bad options, no parameters and parameters given twice', () => {
    const v = new Variable(zeros([1]))
    for (const options of [
      { lr: -1 },
      { lr: Number.NaN },
      { betas: [0.9, 1] as const },
      { eps: -1 },
      { weightDecay: Infinity },
    ]) {
      expect(() => new optim.AdamW([v], options)).toThrow(code('ERR_ARGUMENT'))
    }
    expect(() => new optim.AdamW([{ parameters: [v], lr: -1 }])).toThrow(code('ERR_ARGUMENT'))
    expect(() => new optim.SGD([v], { nesterov: true })).toThrow(code('ERR_ARGUMENT'))
    expect(() => new optim.SGD([])).toThrow(code('ERR_ARGUMENT'))
    expect(() => new optim.SGD([zeros([1]) as never])).toThrow(code('ERR_ARGUMENT'))
    expect(() => new optim.SGD([v, v])).toThrow(/given twice/)
    expect(() => new optim.SGD([{ parameters: [v] }, { parameters: [v] }])).toThrow(/given twice/)
  })
})

test('lion: every element moves by the rate, whatever the size of its gradient', async () => {
  const a = new Variable(tensor([1, 1, 1], f64))
  new optim.Lion([a], { lr: 0.5 }).step(new Gradients([a], [tensor([1e-9, -7, 0], f64)]))
  expect(await a.toArray()).toEqual([0.5, 1.5, 1])
})

describe('every optimizer', () => {
  const all: [string, (parameters: optim.ParameterGroup<optim.OptimizerOptions>[]) => optim.Optimizer][] = [
    ['SGD', (p) => new optim.SGD(p, { lr: 0.1, momentum: 0.9 })],
    ['Adam', (p) => new optim.Adam(p, { lr: 0.1 })],
    ['AdamW', (p) => new optim.AdamW(p, { lr: 0.1 })],
    ['NAdam', (p) => new optim.NAdam(p, { lr: 0.1 })],
    ['RMSprop', (p) => new optim.RMSprop(p, { lr: 0.1, momentum: 0.9, centered: true })],
    ['Lion', (p) => new optim.Lion(p, { lr: 0.1 })],
    ['Adafactor', (p) => new optim.Adafactor(p, { lr: 0.1 })],
  ]

  const values = async (optimizer: optim.Optimizer, variables: readonly Variable[]): Promise<unknown> => {
    const dict = [...optimizer.stateDict()]
    return Promise.all([...variables.map((v) => v.toArray()), ...dict.map(async ([k, v]) => [k, await v.toArray()])])
  }

  test.each(all)(
    '%s: in two groups, a step that is skipped changes nothing and an error names its parameter',
    async (_, make) => {
      const variables = [
        new Variable(normal([2, 3]), { name: 'matrix' }),
        new Variable(normal([4]), { name: 'vector' }),
      ] as const
      const optimizer = make(variables.map((one) => ({ parameters: [one] })))
      const step = (bad: number | undefined, notFinite: 'skip' | 'error'): void => {
        const gradients = variables.map(({ shape }, i) => (i === bad ? normal(shape).mul(Number.NaN) : normal(shape)))
        optimizer.step(new Gradients(variables, gradients), { notFinite })
      }
      step(undefined, 'skip')
      const before = await values(optimizer, variables)
      for (const bad of [0, 1]) step(bad, 'skip')
      expect(await values(optimizer, variables)).toEqual(before)
      for (const [bad, name] of ['matrix', 'vector'].entries()) {
        step(bad, 'error')
        expect(await values(optimizer, variables)).toEqual(before)
        expect(() => step(undefined, 'skip')).toThrow(
          expect.objectContaining({ code: 'ERR_NOT_FINITE', message: expect.stringContaining(`(${name})`) }),
        )
      }
      step(undefined, 'error')
      expect(await values(optimizer, variables)).not.toEqual(before)
    },
  )

  test.each(all)('%s: saved and loaded it goes on bit for bit, in bfloat16 with masters too', async (_, make) => {
    for (const dtype of ['float32', 'bfloat16'] as const) {
      const start = [normal([2, 3]).to(dtype), normal([4]).to(dtype)] as const
      const gradients = Array.from({ length: 4 }, () => start.map(({ shape }) => normal(shape).to(dtype)))
      const run = async (cut: boolean): Promise<unknown> => {
        let variables = start.map((value) => new Variable(value))
        const group = (): optim.Optimizer => make([{ parameters: variables, masters: true }])
        let optimizer = group()
        for (const [t, step] of gradients.entries()) {
          if (cut && t === 2) {
            const saved = optimizer.stateDict()
            variables = variables.map((variable) => new Variable(variable.clone()))
            optimizer = await group().loadStateDict(saved)
          }
          optimizer.step(new Gradients(variables, step), { keep: true })
        }
        return values(optimizer, variables)
      }
      expect(await run(true)).toEqual(await run(false))
    }
  })

  test.each(all)('%s: with masters, bfloat16 parameters are the float32 run rounded', async (_, make) => {
    const start = normal([2, 3]).to('bfloat16')
    const whole = new Variable(start.to('float32'))
    const half = new Variable(start)
    const [reference, mixed] = [make([{ parameters: [whole] }]), make([{ parameters: [half], masters: true }])]
    for (const optimizer of [reference, mixed]) optimizer.lr = 1e-4
    for (let t = 0; t < 20; t++) {
      const gradient = normal([2, 3]).to('bfloat16')
      reference.step(new Gradients([whole], [gradient.to('float32')]))
      mixed.step(new Gradients([half], [gradient]))
    }
    const master = mixed.stateDict().get('state.0.master') as Tensor
    expect(master.dtype).toBe('float32')
    expect(await master.toArray()).toEqual(await whole.toArray())
    expect(half.dtype).toBe('bfloat16')
    expect(await half.toArray()).toEqual(await whole.to('bfloat16').toArray())
  })
})

describe('masters', () => {
  test('let updates add up that bfloat16 rounds away', async () => {
    const run = async (masters: boolean): Promise<number> => {
      const weight = new Variable(tensor([1]).to('bfloat16'))
      const optimizer = new optim.SGD([weight], { lr: 1e-3, masters })
      for (let i = 0; i < 100; i++) optimizer.step(new Gradients([weight], [tensor([1]).to('bfloat16')]))
      return weight.item()
    }
    expect(await run(false)).toBe(1)
    expect(await run(true)).toBeCloseTo(0.9, 2)
  })

  test('are for parameters of half precision: others have none; a model that moves gets or loses them', async () => {
    const model = new nn.Linear(2, 1)
    const optimizer = new optim.AdamW(model.parameters(), { lr: 0.1, masters: true })
    const step = (): void => {
      const of = model.parameters()
      optimizer.step(
        new Gradients(
          of,
          of.map(({ shape, dtype }) => normal(shape).to(dtype)),
        ),
      )
    }
    const states = (): string[] => [...optimizer.stateDict().keys()].filter((key) => key.startsWith('state.0.'))
    step()
    expect(states()).toEqual(['state.0.exp_avg', 'state.0.exp_avg_sq'])
    model.to('bfloat16')
    step()
    expect(states()).toEqual(['state.0.master', 'state.0.exp_avg', 'state.0.exp_avg_sq'])
    expect(optimizer.stateDict().get('state.0.exp_avg')?.dtype).toBe('float32')
    model.to('float64')
    step()
    expect(states()).toEqual(['state.0.exp_avg', 'state.0.exp_avg_sq'])
    expect(optimizer.stateDict().get('state.0.exp_avg')?.dtype).toBe('float64')
    await model.weight.data()
  })

  test('must be true or false', () => {
    expect(() => new optim.SGD([new Variable(zeros([1]))], { masters: 1 as never })).toThrow(code('ERR_ARGUMENT'))
  })
})

// One group, and two: there a step is more than one operation.
describe.each(['one group', 'two groups'])('all or nothing, %s', (form) => {
  const make = () => {
    const [a, b] = [new Variable(tensor([1, 2]), { name: 'a' }), new Variable(tensor([3]), { name: 'b' })]
    const lr = (step: number): number => 1 / (step + 1)
    const optimizer = new optim.SGD(form === 'one group' ? [a, b] : [{ parameters: [a] }, { parameters: [b] }], {
      lr,
      momentum: 0.5,
    })
    const gradients = (x: number[], y: number[]): Gradients => new Gradients([a, b], [tensor(x), tensor(y)])
    const all = async (): Promise<unknown> => {
      const dict = optimizer.stateDict()
      // The state of a parameter whose first step failed is there, as zeros.
      const state = [a, b].map(({ shape }, i) => dict.get(`state.${i}.momentum_buffer`) ?? zeros(shape))
      return Promise.all(
        [a, b, dict.get('steps') as Tensor, dict.get('missed') as Tensor, ...state].map((value) => value.toArray()),
      )
    }
    return { a, b, optimizer, gradients, all }
  }
  const bad = [
    [[Number.NaN, 1], [1]],
    [[1, 1], [Infinity]],
  ] as const

  test.each(bad)('a gradient that is not finite skips the step: %j %j', async (...[x, y]) => {
    const [run, clean] = [make(), make()]
    for (const { optimizer, gradients } of [run, clean]) optimizer.step(gradients([1, 1], [1]), { notFinite: 'skip' })
    run.optimizer.step(run.gradients([...x], [...y]), { notFinite: 'skip' })
    expect(await run.all()).toEqual(await clean.all())
    // Queued behind one another: the rate of the last is that of the second step that succeeds.
    run.optimizer.step(run.gradients([...x], [...y]), { notFinite: 'skip' })
    for (const { optimizer, gradients } of [run, clean]) optimizer.step(gradients([1, 2], [3]), { notFinite: 'skip' })
    expect(await run.all()).toEqual(await clean.all())
    expect(await run.a.toArray()).toEqual([1 - 1 - 0.75, 2 - 1 - 1.25])
  })

  test.each(bad)('or is an error that names the parameter and is thrown by the next step: %j %j', async (...[x, y]) => {
    const [run, clean] = [make(), make()]
    run.optimizer.step(run.gradients([...x], [...y]), { notFinite: 'error' })
    expect(await run.all()).toEqual(await clean.all())
    const next = run.gradients([1, 1], [1])
    const name = Number.isNaN(x[0]) ? 'a' : 'b'
    expect(() => run.optimizer.step(next)).toThrow(
      expect.objectContaining({ code: 'ERR_NOT_FINITE', message: expect.stringContaining(`(${name})`) }),
    )
    // It was one error, and the gradients are still there.
    run.optimizer.step(next, { notFinite: 'error' })
    clean.optimizer.step(clean.gradients([1, 1], [1]))
    expect(await run.all()).toEqual(await clean.all())
  })

  test('a gradient marked by an error changes nothing, whatever the policy', async () => {
    for (const notFinite of ['ignore', 'error', 'skip'] as const) {
      const [run, clean] = [make(), make()]
      const broken = new nn.Embedding(1, 1).weight.indexSelect(0, tensor([5], { dtype: 'int64' })).reshape([1])
      run.optimizer.step(new Gradients([run.a, run.b], [tensor([1, 1]), broken.detach()]), { notFinite })
      expect(await run.all()).toEqual(await clean.all())
      expect(() => run.optimizer.step(run.gradients([1, 1], [1]))).toThrow(code('ERR_RANGE'))
    }
  })

  test('by default they are used as they are, as in torch', async () => {
    const { a, b, optimizer, gradients } = make()
    optimizer.step(gradients([Number.NaN, 1], [1]))
    expect(await a.toArray()).toEqual([Number.NaN, 1])
    expect(await b.toArray()).toEqual([2])
  })
})

describe('gradients', () => {
  test('are consumed by the step that used them, and only those; keep: true keeps them', async () => {
    const [a, b] = [new Variable(tensor([1])), new Variable(tensor([1]))]
    const [one, two] = [new optim.SGD([a], { lr: 1 }), new optim.SGD([b], { lr: 1 })]
    const gradients = grad(a.mul(b).sum(), [a, b])
    one.step(gradients, { keep: true })
    one.step(gradients)
    two.step(gradients)
    expect([await a.item(), await b.item()]).toEqual([-1, 0])
    expect(() => one.step(gradients)).toThrow(code('ERR_DISPOSED'))
  })

  test('of no parameter of the optimizer, of another shape, or another optimizer altogether are refused at the call', async () => {
    const [a, b] = [new Variable(tensor([1, 1])), new Variable(tensor([1, 1]))]
    const optimizer = new optim.SGD([a, b], { lr: 1 })
    expect(() => optimizer.step(new Gradients([new Variable(zeros([1]))], [zeros([1])]))).toThrow(code('ERR_ARGUMENT'))
    expect(() => optimizer.step(new Gradients([a, b], [tensor([1, 1]), tensor([1])]))).toThrow(code('ERR_SHAPE'))
    expect(() => optimizer.step(new Gradients([a], [tensor([1, 1])]), { notFinite: 'stop' as never })).toThrow(
      code('ERR_ARGUMENT'),
    )
    expect(await a.toArray()).toEqual([1, 1])
  })

  test('a step within a recorded function is refused', () => {
    const a = new Variable(tensor([1]))
    const optimizer = new optim.SGD([a], { lr: 1 })
    const gradients = new Gradients([a], [tensor([1])])
    const recorded = (): unknown =>
      scan(
        (s: Tensor, x: Tensor) => {
          optimizer.step(gradients)
          return { state: s.add(x), output: s }
        },
        zeros([1]),
        zeros([1, 3]),
      )
    expect(recorded).toThrow(code('ERR_CAPTURE'))
  })

  test('a step records no graph, and works under noGrad', async () => {
    const a = new Variable(tensor([2]))
    const optimizer = new optim.SGD([a], { lr: 1 })
    noGrad(() => optimizer.step(new Gradients([a], [tensor([1])])))
    expect(await grad(a.square().sum(), [a]).get(a).toArray()).toEqual([2])
  })
})

describe('rates', () => {
  test('follow the steps that succeeded over hundreds of steps, read back now and then', async () => {
    const a = new Variable(tensor([0], f64))
    const seen = new Set<number>()
    const optimizer = new optim.SGD([a], { lr: (step) => (seen.add(step).size > 0 ? step + 1 : 0) })
    let expected = 0
    let done = 0
    for (let i = 0; i < 300; i++) {
      const broken = i % 7 === 3
      optimizer.step(new Gradients([a], [tensor([broken ? Number.NaN : 1], f64)]), { notFinite: 'skip' })
      if (!broken) expected -= ++done
      if (i % 20 === 19) await a.item()
    }
    expect(await a.item()).toBe(expected)
    expect(Math.max(...seen)).toBeLessThan(300)
    seen.clear()
    optimizer.step(new Gradients([a], [tensor([1], f64)]))
    // The window is narrow again: it does not reach back to the start.
    expect(Math.min(...seen)).toBeGreaterThan(200)
  })

  test('a rate that is no number ≥ 0 is refused before anything is queued', async () => {
    const [a, b] = [new Variable(tensor([1])), new Variable(tensor([1]))]
    const optimizer = new optim.SGD([{ parameters: [a] }, { parameters: [b], lr: () => Number.NaN }], { lr: 1 })
    expect(() => optimizer.step(new Gradients([a, b], [tensor([1]), tensor([1])]))).toThrow(code('ERR_ARGUMENT'))
    expect(await a.item()).toBe(1)
  })
})

describe('state dicts', () => {
  const make = (...sizes: number[]) => {
    const variables = sizes.map((n) => new Variable(normal([n])))
    return { variables, optimizer: new optim.AdamW(variables, { lr: 0.1 }) }
  }
  const all = async (optimizer: optim.Optimizer): Promise<unknown> =>
    Object.fromEntries(
      await Promise.all([...optimizer.stateDict()].map(async ([key, value]) => [key, await value.toArray()])),
    )

  test('hold the state of what has taken part, under the keys of torch', async () => {
    const { variables, optimizer } = make(2, 3)
    expect([...optimizer.stateDict().keys()]).toEqual(['steps', 'missed', 'lr'])
    optimizer.step(new Gradients(variables.slice(1), [normal([3])]))
    expect([...optimizer.stateDict().keys()]).toEqual([
      'steps',
      'missed',
      'lr',
      'state.1.exp_avg',
      'state.1.exp_avg_sq',
    ])
  })

  test('all problems in one error, and nothing has changed', async () => {
    const { variables, optimizer } = make(2, 3)
    optimizer.step(new Gradients(variables, [normal([2]), normal([3])]))
    const before = await all(optimizer)
    const dict = new Map<string, Tensor>(optimizer.stateDict())
    dict.delete('missed')
    dict.set('state.0.exp_avg', zeros([3]))
    dict.set('state.1.exp_avg', zeros([3], f64))
    dict.set('state.2.exp_avg', zeros([3]))
    const failed = optimizer.loadStateDict(dict)
    await expect(failed).rejects.toThrow(CheckpointError)
    await expect(failed).rejects.toThrow(
      [
        'adamw.loadStateDict: 4 problems, so nothing was loaded:',
        '  missed is missing',
        '  state.0.exp_avg must be [2], got [3]',
        "  state.1.exp_avg must be float32, got float64; convert it with .to('float32')",
        '  state.2.exp_avg is unexpected',
      ].join('\n'),
    )
    const short = new Map<string, Tensor>(optimizer.stateDict())
    short.delete('state.1.exp_avg_sq')
    await expect(optimizer.loadStateDict(short)).rejects.toThrow(/state\.1\.exp_avg_sq is missing/)
    const odd = new Map<string, Tensor>(optimizer.stateDict()).set('steps', tensor([1, 0.5]))
    await expect(optimizer.loadStateDict(odd)).rejects.toThrow(/whole numbers/)
    expect(await all(optimizer)).toEqual(before)
    optimizer.step(new Gradients(variables, [normal([2]), normal([3])]))
  })

  test('are copied: what happens to the given tensors afterwards does not matter; a step before the end is refused', async () => {
    const { variables, optimizer } = make(2)
    const step = (): void => optimizer.step(new Gradients(variables, [normal([2])]))
    step()
    const dict = optimizer.stateDict()
    const saved = await all(optimizer)
    step()
    const loading = optimizer.loadStateDict(dict)
    expect(step).toThrow(code('ERR_BUSY'))
    for (const value of dict.values()) value.dispose()
    await loading
    expect(await all(optimizer)).toEqual(saved)
    step()
    expect(await optimizer.stateDict().get('steps')?.toArray()).toEqual([2])
  })

  test('bring their rate; a function stays', async () => {
    const { variables, optimizer } = make(2)
    const dict = optimizer.stateDict()
    optimizer.lr = 0.5
    await optimizer.loadStateDict(dict)
    expect(optimizer.lr).toBe(0.1)
    const scheduled = new optim.AdamW(variables, { lr: () => 1 })
    await scheduled.loadStateDict(dict)
    expect(scheduled.lr).toBeTypeOf('function')
  })
})

test('the factories make optimizers with their options', () => {
  const v = new Variable(zeros([1]))
  expect(optim.adamW({ lr: 0.3 })([v])).toBeInstanceOf(optim.AdamW)
  for (const factory of [optim.sgd, optim.adam, optim.nAdam, optim.rmsprop, optim.lion, optim.adafactor])
    expect(factory({ lr: 0.3 })([v]).lr).toBe(0.3)
  expect(optim.rmsprop()([v])).toBeInstanceOf(optim.RMSprop)
})

test('a failure that nobody awaited is thrown by the next step, before anything is queued', async () => {
  const a = new Variable(tensor([1]))
  const optimizer = new optim.SGD([a], { lr: 1 })
  const gradients = new Gradients([a], [tensor([1])])
  zeros([2]).indexSelect(0, tensor([7], { dtype: 'int64' }))
  await a.item()
  expect(() => optimizer.step(gradients)).toThrow(code('ERR_RANGE'))
  expect(await a.item()).toBe(1)
  optimizer.step(gradients)
  expect(await a.item()).toBe(0)
})

test('what is no options object, no list and no optimizer is refused with its code', () => {
  const s = optim.schedules
  const bad: (() => unknown)[] = [
    () => s.cosine(0.1, undefined as never),
    () => s.step(0.1, null as never),
    () => s.step(0.1, { every: 0 }),
    () => s.multiStep(0.1, { at: 3 as never }),
    () => s.multiStep(0.1, { at: [1.5] }),
    () => s.sequential([0.1, 0.2], { at: [5, 3] }),
    () => s.sequential(undefined as never, { at: [] }),
    () => s.sequential([0.1, 0.2, 0.3], { at: [5, 3] }),
    () => s.oneCycle(0.1, { steps: 10, shape: 'square' as never }),
    () => s.oneCycle(0.1, { steps: 10, rise: 1 }),
    () => s.warmup('x' as never, { steps: 3 }),
    () => s.chained(),
    () => new optim.ReduceOnPlateau({} as never),
    () => new optim.ReduceOnPlateau(new optim.SGD([new Variable(zeros([1]))], { lr: () => 1 })),
    () => new optim.Adam(undefined as never),
    () => new optim.Adafactor([new Variable(zeros([1]))], { beta2Decay: 0.5 }),
    () => new optim.Lion([new Variable(zeros([1]))], { betas: 0.9 as never }),
  ]
  for (const call of bad) expect(call, String(call)).toThrow(code('ERR_ARGUMENT'))
})
