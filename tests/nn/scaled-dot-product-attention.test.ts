// Attention with dropout, which PyTorch draws from another generator, against its parts; masks; mistakes.
import {
  checkpoint,
  eye,
  grad,
  manualSeed,
  nn,
  normal,
  ones,
  type Tensor,
  tensor,
  Variable,
  where,
  zeros,
} from 'quarterturn'
import { describe, expect, test } from 'vitest'
import { expectClose } from '../tolerances.js'

const { scaledDotProductAttention: attention } = nn.functional
const f64 = { dtype: 'float64' } as const
const numbers = async (x: Tensor): Promise<number[]> => [...((await x.data()) as Float64Array)]
const draw = (...shape: number[]): Tensor => normal(shape, 0, 1, f64)

/** The weights themselves: the value is the identity. */
const identity = (n: number): Tensor => eye(n).to('float64')

test('dropout zeroes weights with probability p and scales the others', async () => {
  manualSeed(5)
  const [q, k] = [draw(40, 3), draw(40, 3)]
  const [plain, dropped] = [attention(q, k, identity(40)), attention(q, k, identity(40), { dropout: 0.25 })]
  const [a, b] = await Promise.all([numbers(plain), numbers(dropped)])
  const kept = b.flatMap((value, i) => (value === 0 ? [] : [i]))
  expectClose(
    kept.map((i) => b[i] as number),
    kept.map((i) => (a[i] as number) / 0.75),
    'float64',
    'kept weights',
  )
  expect(kept.length / b.length).toBeGreaterThan(0.7)
  expect(kept.length / b.length).toBeLessThan(0.8)
})

test('dropout depends on the seed alone, each call draws anew, and a second run within checkpoint repeats it', async () => {
  const [q, k, v] = [draw(2, 2, 5, 3), draw(2, 2, 5, 3), draw(2, 2, 5, 3)]
  const run = (): Tensor => attention(q, k, v, { dropout: 0.5 })
  manualSeed(1)
  const [first, second] = [await numbers(run()), await numbers(run())]
  manualSeed(1)
  expect(await numbers(run())).toEqual(first)
  expect(second).not.toEqual(first)
  const slope = async (f: (x: Tensor) => Tensor): Promise<number[]> => {
    manualSeed(1)
    const x = new Variable(q)
    return numbers(grad(f(x).sum(), [x]).get(x))
  }
  const direct = await slope((x) => attention(x, k, v, { dropout: 0.5, causal: true }))
  const again = await slope((x) => checkpoint((a, b, c) => attention(a, b, c, { dropout: 0.5, causal: true }), x, k, v))
  expect(again).toEqual(direct)
  expect(direct.some((value) => value !== 0)).toBe(true)
})

test.each([0, 0.3])(
  'nobody sees what a mask or causality hides, and who sees nothing gets 0 (dropout %s)',
  async (p) => {
    const [q, k] = [draw(1, 2, 4, 3), draw(1, 2, 4, 3)]
    const value = identity(4).expand([1, 2, 4, 4])
    const mask = tensor([false, true, true, false])
    const weights = (await attention(q, k, value, { mask, causal: true, dropout: p }).toArray()) as number[][][][]
    for (const head of weights[0] as number[][][]) {
      head.forEach((row, i) => {
        row.forEach((weight, j) => {
          if (j > i || j === 0 || j === 3) expect(weight).toBe(0)
        })
      })
      expect(head[0]).toEqual([0, 0, 0, 0])
    }
  },
)

test('a mask of −∞ is the same as one of false', async () => {
  const [q, k, v] = [draw(3, 4), draw(5, 4), draw(5, 2)]
  const seen = tensor([
    [true, false, true, false, true],
    [false, false, false, false, false],
    [true, true, true, true, false],
  ])
  const added = where(seen, zeros([3, 5], f64), -Infinity)
  const [a, b] = await Promise.all([seen, added].map((mask) => numbers(attention(q, k, v, { mask }))))
  expect(a?.slice(2, 4)).toEqual([0, 0])
  expectClose(b as number[], a as number[], 'float64', 'the two masks')
})

test.each([0, 0.5])('shared heads are the same as repeated ones (dropout %s)', async (p) => {
  const [q, k, v] = [draw(2, 4, 3, 5), draw(2, 2, 6, 5), draw(2, 2, 6, 3)]
  const repeat = (x: Tensor): Tensor => x.indexSelect(1, tensor([0, 0, 1, 1], { dtype: 'int64' }))
  const seeded = (run: () => Tensor): Promise<number[]> => {
    manualSeed(2)
    return numbers(run())
  }
  const shared = await seeded(() => attention(q, k, v, { enableGqa: true, dropout: p }))
  expectClose(shared, await seeded(() => attention(q, repeat(k), repeat(v), { dropout: p })), 'float64', 'shared heads')
  expect(() => attention(q, k, v)).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
  const three = k.slice(1, 0, 1).expand([2, 3, 6, 5])
  expect(() => attention(q, three, three, { enableGqa: true })).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
})

describe('mistakes throw at the call', () => {
  const x = ones([2, 3, 4])
  test.each<[string, () => unknown, string]>([
    ['leading axes that differ', () => attention(x, ones([3, 4]), x), 'ERR_SHAPE'],
    ['another width of the keys', () => attention(x, ones([2, 3, 5]), x), 'ERR_SHAPE'],
    ['fewer values than keys', () => attention(x, x, ones([2, 2, 4])), 'ERR_SHAPE'],
    ['a vector', () => attention(ones([4]), ones([4]), ones([4])), 'ERR_SHAPE'],
    ['whole numbers', () => attention(x.to('int64'), x.to('int64'), x.to('int64')), 'ERR_DTYPE'],
    ['a mask of whole numbers', () => attention(x, x, x, { mask: ones([3, 3]).to('int64') }), 'ERR_DTYPE'],
    ['a mask that does not broadcast', () => attention(x, x, x, { mask: ones([2, 3]) }), 'ERR_SHAPE'],
    ['a mask of more axes', () => attention(x, x, x, { mask: ones([5, 2, 3, 3]) }), 'ERR_SHAPE'],
    ['a dropout beyond 1', () => attention(x, x, x, { dropout: 1.5 }), 'ERR_ARGUMENT'],
    ['a scale that is no number', () => attention(x, x, x, { scale: Number.NaN }), 'ERR_ARGUMENT'],
  ])('%s', (_, call, code) => {
    expect(call).toThrowError(expect.objectContaining({ code }))
  })
})
