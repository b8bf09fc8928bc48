// Whatever is passed to a function of train, it gives a result or a typed error.
import { data, nn, optim, QuarterturnError, type Tensor, tensor, train, zeros } from 'quarterturn'
import { expect, test } from 'vitest'

const SETS = 300

const throwing = {
  get loss(): never {
    throw new Error('a getter')
  },
}

/** One of each kind of thing that may be passed by mistake, and some that fit. */
const things = (): unknown[] => [
  ...[undefined, null, Number.NaN, -1, 0, 1, 2 ** 53, 1.5, '', 'x', true, 10n, Symbol('s')],
  ...[[], [1], {}, throwing, new Map(), new Date(), new Proxy({}, {}), () => undefined, async () => 1],
  ...[tensor([1, 2]), tensor([[1, 2]]), zeros([0]), tensor([1], { dtype: 'int64' }), tensor([true])],
  new nn.Linear(2, 2),
  new data.Loader({ x: [[0.5, 1]], y: [0] }, { batch: 1 }),
  { patience: -1 },
  { loss: () => 3, optimizer: optim.sgd({ lr: 1 }), progress: false },
  {
    loss: (model: nn.Linear, { x }: { x: Tensor }) => model.forward(x).sum(),
    optimizer: optim.sgd({ lr: 1e-3 }),
    progress: false,
  },
]

/** Calls it and waits for what comes of it. */
async function outcome(name: string, args: unknown[]): Promise<unknown> {
  const fn = train[name as keyof typeof train] as never
  const result = /^[A-Z]/.test(name) ? new (fn as new (...a: unknown[]) => object)(...args) : callable(fn)(...args)
  const { history, all } = (result ?? {}) as Partial<train.TrainingRun & train.Predictions<Tensor>>
  if (history !== undefined) return history
  if (all !== undefined) return all.call(result as train.Predictions<Tensor>)
  return result instanceof train.Metric ? result.of(args[0] as Tensor, args[1] as Tensor) : result
}
const callable = (fn: never) => fn as (...args: unknown[]) => unknown

test.each(Object.keys(train))('%s', async (name) => {
  let seed = 1
  const random = (n: number): number => {
    seed = (seed * 48271) % 2147483647
    return seed % n
  }
  let [results, errors] = [0, 0]
  for (let i = 0; i < SETS; i++) {
    const pool = things()
    const args = Array.from({ length: random(5) }, () => pool[random(pool.length)])
    try {
      await outcome(name, args)
      results++
    } catch (error) {
      if (!(error instanceof QuarterturnError)) throw new Error(`${name}(${args.map(described)})`, { cause: error })
      errors++
    }
  }
  expect(results + errors).toBe(SETS)
  expect(errors).toBeGreaterThan(0)
})

function described(value: unknown): string {
  try {
    return typeof value === 'object' && value !== null ? value.constructor.name : String(value)
  } catch {
    return 'something odd'
  }
}
