// Whatever is passed to whatever is exported: a result, an error with a code, or what the caller's own getter threw; never a crash, a hang or JavaScript's TypeError.
// QUARTERTURN_ARGUMENT_SETS says how many sets each function gets (2,000 take some minutes).
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as quarterturn from 'quarterturn'
import { axis, nn, optim, QuarterturnError, Tensor, tensor, Variable, zeros } from 'quarterturn'
import { afterAll, beforeAll, expect, test } from 'vitest'

const SETS = Number(process.env.QUARTERTURN_ARGUMENT_SETS ?? 200)
const PATIENCE = 20_000 // ms until a promise counts as hanging

/** What throwing getters and proxies throw: theirs, and to be passed on as it is. */
class Trap extends Error {}
const trap = (): never => {
  throw new Trap('a getter of the caller threw')
}

let folder: string
const home = process.cwd()
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quarterturn-'))
  process.chdir(folder) // paths among the arguments are files here
})
afterAll(async () => {
  process.chdir(home)
  await rm(folder, { recursive: true })
})

/** Numbers in [0, 1), the same in every run (mulberry32). */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

function detached(): Float32Array {
  const array = new Float32Array(4)
  structuredClone(array.buffer, { transfer: [array.buffer] })
  return array
}

/** Sizes are small or absurd: what lies between would only fill the machine's memory. */
const plain: readonly (() => unknown)[] = [
  ...[Number.NaN, -1, 0, 1, 2, 3, 0.5, -0.5, 2 ** 53, -(2 ** 53), 2 ** 60, Infinity, -Infinity, 1e308, null, undefined],
  ...[true, false, '', 'float32', 'int64', 'bool', 'float16', 'mean', 'cuda', 'ä', 12n, Symbol('s'), [], [1], [2, 3]],
  ...[
    [-1],
    [2 ** 53, 2],
    [Number.NaN],
    ['a'],
    [null],
    [
      [1, 2],
      [3, 4],
    ],
    [[1], [2, 3]],
    new Array(5),
    [[[]]],
  ],
  ...[
    new Date(0),
    /x/,
    new Map(),
    new Set([1]),
    Object.create(null),
    {},
    { shape: 3 },
    { dtype: 'float99' },
    { dim: -7 },
  ],
].map((value) => () => value)
const made: readonly (() => unknown)[] = [
  () => new Float32Array(3),
  () => new BigInt64Array(2),
  () => new Uint8Array(0),
  detached,
  () => trap,
  () => () => 1,
  () => () => {
    const failing = Promise.reject(new Trap('a promise of the caller failed'))
    failing.catch(() => {}) // nobody has to wait for it
    return failing
  },
  () => ({
    get shape() {
      return trap()
    },
    get dtype() {
      return trap()
    },
    get length() {
      return trap()
    },
  }),
  () => new Proxy({}, { get: trap, has: trap, ownKeys: trap, getPrototypeOf: trap }),
  () => new Proxy([1, 2], {}),
  () => tensor(1.5),
  () =>
    tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]),
  () => tensor([0, 2, 1], { dtype: 'int64' }),
  () => tensor([true, false]),
  () =>
    tensor(
      [
        [1, 2],
        [3, 4],
      ],
      { dtype: 'float64' },
    ),
  () => zeros([0, 3]),
  () => zeros([2], { dtype: 'bfloat16' }),
  () => {
    const gone = zeros([2])
    gone.dispose()
    return gone
  },
  () => new Variable(tensor([1, 2])),
  () => new nn.Linear(3, 2),
  () => new optim.SGD([new Variable(zeros([2]))], { lr: 0.1 }),
  () => [tensor([1, 2]), tensor([3])],
]
const choices = [...plain, ...made]
const stack = (): axis.Stack => new axis.Stack({ width: 3, layers: 2, alongTime: axis.elman() })
/** What the functions of `axis` take, so that wrong values are met behind the first argument, too. */
const ofAxis: readonly (() => unknown)[] = [
  stack,
  () => new axis.Stack({ width: 3, layers: 1, alongTime: axis.gridLSTM() }),
  () => zeros([2, 4, 3]),
  () => axis.lstm(),
  () => axis.highway(),
  () => axis.traceDepth(stack(), zeros([1, 2, 3])),
  () => ({ points: [[zeros([1, 2])], [tensor(1)], [3]] }),
  () => ({ width: 2, start: [0, 1], steps: [{ a: [1, 1], b: [1, 1], v: [0, 0], s: [0, 1] }] }),
  () => stack().initialState({ batch: 1 }),
  () => ({ of: stack().signature, time: [] }),
  () => ({ batch: 2 }),
]

type Callable = (...args: unknown[]) => unknown

/** What is exported, by path: functions, constructors, methods of tensors. */
function callables(): Map<string, Callable> {
  const found = new Map<string, Callable>()
  const add = (path: string, value: unknown): void => {
    if (typeof value === 'object' && value !== null && Object.prototype.toString.call(value) === '[object Module]') {
      for (const [name, inner] of Object.entries(value)) add(`${path}${name}.`, inner)
    } else if (typeof value === 'function') {
      const name = path.slice(0, -1)
      const isClass = /^class\b/.test(Function.prototype.toString.call(value))
      const target = value as Callable & (new (...args: unknown[]) => unknown)
      if (!isClass) found.set(name, (...args) => target(...args))
      else if (!(target.prototype instanceof Error)) found.set(`new ${name}`, (...args) => new target(...args))
    }
  }
  for (const [name, value] of Object.entries(quarterturn)) add(`${name}.`, value)
  for (const name of Object.getOwnPropertyNames(Tensor.prototype)) {
    const { value } = Object.getOwnPropertyDescriptor(Tensor.prototype, name) as PropertyDescriptor
    if (typeof value !== 'function' || name === 'constructor') continue
    found.set(`Tensor.${name}`, (...args) =>
      (value as Callable).apply(
        tensor([
          [1, 2, 3],
          [4, 5, 6],
        ]),
        args,
      ),
    )
  }
  for (const name of ['forward', 'run', 'step', 'initialState'] as const)
    found.set(`axis.Stack.${name}`, (...args) => (stack() as unknown as Record<string, Callable>)[name]?.(...args))
  return found
}

/** Not for callers, though they can be reached: what checks arguments on behalf of others takes the name of the function that asks. */
const INTERNAL = /^(fromNative|checkBuffer|device|nn\.functional\.pair|new optim\.Optimizer|Tensor\.replace)$/

/** Undefined if that is how things may go, else what is wrong. */
function fault(error: unknown): string | undefined {
  if (error instanceof Trap) return undefined
  if (error instanceof QuarterturnError && typeof error.code === 'string') return undefined
  return error instanceof Error ? `${error.name}: ${error.message}` : `threw ${String(error)}`
}

async function settled(result: unknown): Promise<void> {
  if (!(result instanceof Promise)) return
  let timer: NodeJS.Timeout | undefined
  const hanging = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('the promise hangs')), PATIENCE)
  })
  try {
    await Promise.race([result, hanging])
  } finally {
    clearTimeout(timer)
  }
}

for (const [name, call] of callables()) {
  if (INTERNAL.test(name)) continue
  test(name, { timeout: 600_000 }, async () => {
    const random = generator([...name].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7) | 0)
    const from = name.includes('axis.') ? [...choices, ...ofAxis, ...ofAxis, ...ofAxis] : choices
    const pick = (): unknown => (from[Math.floor(random() * from.length)] as () => unknown)()
    const faults = new Map<string, string>()
    for (let i = 0; i < SETS; i++) {
      const args = Array.from({ length: Math.floor(random() * 5) }, pick)
      try {
        const result = call(...args)
        await settled(result)
      } catch (error) {
        const wrong = fault(error)
        if (wrong !== undefined)
          faults.set(
            wrong,
            String((error as Error).stack)
              .split('\n')
              .slice(0, 4)
              .join('\n'),
          )
      }
    }
    expect([...faults.values()]).toEqual([])
  })
}
