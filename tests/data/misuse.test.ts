// Whatever is passed to a function of the data part, it gives a result or an error with a code.
import { data, QuarterturnError } from 'quarterturn'
import { expect, test } from 'vitest'

const values: readonly unknown[] = [
  undefined,
  null,
  Number.NaN,
  -1,
  0.5,
  2 ** 53,
  3,
  '',
  'x',
  true,
  7n,
  Symbol('s'),
  [],
  [null],
  [1, 2, 3],
  ['a', 'b'],
  [[1, 2], [3]],
  {},
  { validation: Number.NaN },
  { validation: 0.5, seed: 'x' },
  { past: 1, future: 1 },
  { length: 3 },
  { rows: 5, batch: -1, dtype: 'x', shape: null },
  () => 1,
  new Float32Array(4),
  new Proxy({}, {}),
  data.Table.of({ x: [1, 2, 3, 4], y: [1, 2, 3, Number.NaN] }),
]

const table = data.Table.of({ x: [1, 2, 3, 4], place: ['a', 'b', '', 'd'] })
const parts = data.windows([1, 2, 3, 4, 5, 6], { past: 1, future: 1 })
type Any = (...given: never[]) => unknown
const functions: Record<string, Any> = {
  ...Object.fromEntries(
    Object.entries(data).flatMap(([name, value]): [string, Any][] =>
      /^[a-z]/.test(name)
        ? [[name, value as Any]]
        : [[`new ${name}`, (...given: never[]) => new (value as never as new (...a: never[]) => unknown)(...given)]],
    ),
  ),
  'Table.of': data.Table.of,
  'Scaling.fit': data.Scaling.fit,
  ...Object.fromEntries(
    (
      [
        'numbers',
        'texts',
        'categories',
        'select',
        'with',
        'slice',
        'take',
        'dropMissing',
        'fillMissing',
        'tensor',
      ] as const
    ).map((name) => [name, (...given: never[]) => (table[name] as Any).call(table, ...given)]),
  ),
  splitByTime: (...given: never[]) => (parts.splitByTime as Any).call(parts, ...given),
}
/** Classes that are made by functions, and have no arguments of a user's. */
const internal = ['new Rows', 'new DistantRows', 'new Table', 'new Windows']

test.each(Object.keys(functions).filter((name) => !internal.includes(name)))('%s', async (name) => {
  const call = functions[name] as Any
  const odd: string[] = []
  for (const first of values) {
    for (const second of values) {
      try {
        await call(first as never, second as never)
      } catch (error) {
        if (!(error instanceof QuarterturnError))
          odd.push(
            `${String((error as Error).stack)
              .split('\n', 3)
              .join(' ')}`,
          )
      }
    }
  }
  expect([...new Set(odd)]).toEqual([])
})
