// Whatever is passed to layers, optimizers and schedules gives a result or a typed error.
import { nn, optim, QuarterturnError, Variable, zeros } from 'quarterturn'
import { beforeEach, describe, expect, test } from 'vitest'
import { takePending } from '../../src/tensor/queue.js'

/** Numbers of a linear congruence: the same arguments in every run. */
let seed = 1
beforeEach(() => {
  seed = 7
})
function random(): number {
  seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
  return seed / 2 ** 31
}

const values: readonly unknown[] = [
  ...[Number.NaN, -1, 0, 1, 2, 3, 1.5, Infinity, null, undefined, '', 'x', true, 10n, Symbol('s'), () => 1],
  ...[[], [1], [1, 2], {}, { steps: 3 }, { lr: 'x' }, { at: 3 }, { dropout: 'a' }, { bias: null }, { momentum: -1 }],
  ...[zeros([2, 3]), zeros([2, 3, 4]), zeros([2], { dtype: 'int64' }), new Variable(zeros([2, 2]))],
  ...[new Proxy({}, {}), new nn.Linear(2, 2), new Map(), new Date()],
]
const any = (): never => values[Math.floor(random() * values.length)] as never
const some = (): never[] => Array.from({ length: Math.floor(random() * 4) }, any)

type Named = [name: string, value: (...args: never[]) => unknown]
const functionsOf = (space: object): Named[] =>
  Object.entries(space).filter((entry): entry is Named => typeof entry[1] === 'function')
const isClass = (value: unknown): boolean => /^class\b/.test(String(value))

/** Makes one, and uses what was made. */
function attempt(make: Named[1]): void {
  if (!isClass(make)) {
    const result = make(...some())
    if (typeof result === 'function') result(3)
    return
  }
  const made: unknown = Reflect.construct(make, some())
  if (made instanceof nn.Module) made.forward(any(), any(), any())
  if (made instanceof optim.ReduceOnPlateau) made.step(any())
  if (made instanceof optim.Optimizer) expect(made.lr).toBeDefined()
}

describe.each<[string, Named[]]>([
  ['nn', functionsOf(nn).filter(([name]) => !['Module', 'Sequential', 'Identity'].includes(name))],
  ['optim', functionsOf(optim).filter(([name]) => name !== 'Optimizer')],
  ['schedules', functionsOf(optim.schedules)],
])('%s', (_, functions) => {
  test.each(functions)('%s', async (_, make) => {
    let refused = 0
    for (let i = 0; i < 100; i++) {
      try {
        attempt(make)
      } catch (error) {
        if (!(error instanceof QuarterturnError)) throw error
        refused++
      }
    }
    await zeros([]).item()
    takePending()
    expect(refused).toBeGreaterThan(0)
  })
})
