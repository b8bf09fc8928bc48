// Methods and functions that stand for other operations: their values, and the mistakes they catch.
import {
  arange,
  cat,
  einsum,
  eye,
  full,
  matrixNorm,
  oneHot,
  onesLike,
  qr,
  solve,
  stack,
  svd,
  type Tensor,
  tensor,
  Variable,
  where,
  zerosLike,
} from 'quarterturn'
import { describe, expect, test } from 'vitest'
import { expectClose } from '../tolerances.js'

const grid = (): Tensor => arange(0, 6).reshape([2, 3])

test.each<[string, () => Tensor, unknown]>([
  ['select', () => grid().select(1, -1), [2, 5]],
  [
    'slice from the end',
    () => grid().slice(-1, -2),
    [
      [1, 2],
      [4, 5],
    ],
  ],
  ['slice with a step', () => arange(0, 10).slice(0, 1, -1, 3), [1, 4, 7]],
  ['slice beyond the end', () => arange(0, 3).slice(0, 2, 100), [2]],
  ['slice of nothing', () => arange(0, 3).slice(0, 2, 1), []],
  [
    'squeeze',
    () => grid().reshape([1, 2, 1, 3]).squeeze(),
    [
      [0, 1, 2],
      [3, 4, 5],
    ],
  ],
  ['squeeze of one axis', () => tensor([[[1], [2]]]).squeeze(0), [[1], [2]]],
  ['unsqueeze', () => arange(0, 2).unsqueeze(-1), [[0], [1]]],
  [
    'flatten',
    () => arange(0, 8).reshape([2, 2, 2]).flatten(1),
    [
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ],
  ],
  [
    'transpose',
    () => grid().transpose(),
    [
      [0, 3],
      [1, 4],
      [2, 5],
    ],
  ],
  [
    'expand with −1',
    () => arange(0, 2).unsqueeze(1).expand([-1, 2]),
    [
      [0, 0],
      [1, 1],
    ],
  ],
  [
    'reshape with −1',
    () => arange(0, 6).reshape([-1, 2]),
    [
      [0, 1],
      [2, 3],
      [4, 5],
    ],
  ],
  ['clamp of one side', () => tensor([-1, 0.5, 2]).clamp({ high: 1 }), [-1, 0.5, 1]],
  ['variance by its default correction', () => tensor([1, 2, 3, 4]).variance(), 5 / 3],
  ['topk of the smallest', () => tensor([3, 1, 2]).topk(2, { largest: false }).values, [1, 2]],
  ['sort, indices', () => tensor([3, 1, 2]).sort({ descending: true }).indices, [0, 2, 1]],
  ['where of a number', () => where(tensor([true, false]), tensor([5, 6]), -1), [5, -1]],
  [
    'cat',
    () => cat([grid(), grid().slice(0, 0, 1)]),
    [
      [0, 1, 2],
      [3, 4, 5],
      [0, 1, 2],
    ],
  ],
  [
    'stack',
    () => stack([arange(0, 2), arange(2, 4)], -1),
    [
      [0, 2],
      [1, 3],
    ],
  ],
  ['arange of fractions', () => arange(0, 1, { step: 0.25 }), [0, 0.25, 0.5, 0.75]],
  ['arange downwards', () => arange(3, 0, { step: -1 }), [3, 2, 1]],
  [
    'eye',
    () => eye(2),
    [
      [1, 0],
      [0, 1],
    ],
  ],
  ['zerosLike', () => zerosLike(tensor([[1, 2]])), [[0, 0]]],
  ['onesLike', () => onesLike(tensor([true, false])), [true, true]],
  ['full', () => full([2], 7, { dtype: 'int64' }), [7, 7]],
  ['roll of one axis', () => grid().roll(1, 1).select(0, 0), [2, 0, 1]],
  [
    'roll of both',
    () => grid().roll([1, -1], [0, 1]),
    [
      [4, 5, 3],
      [1, 2, 0],
    ],
  ],
  [
    'tril',
    () => grid().tril(),
    [
      [0, 0, 0],
      [3, 4, 0],
    ],
  ],
  [
    'triu',
    () => grid().triu(1),
    [
      [0, 1, 2],
      [0, 0, 5],
    ],
  ],
  ['cumprod', () => tensor([2, 3, 4]).cumprod(0), [2, 6, 24]],
  ['scatter', () => tensor([1, 2, 3]).scatter(0, tensor([2, 0], { dtype: 'int64' }), tensor([7, 8])), [8, 2, 7]],
  ['scatterAdd', () => tensor([1, 2]).scatterAdd(0, tensor([1, 1], { dtype: 'uint8' }), tensor([3, 4])), [1, 9]],
  [
    'oneHot',
    () => oneHot(tensor([2, 0], { dtype: 'int32' }), 3),
    [
      [0, 0, 1],
      [1, 0, 0],
    ],
  ],
  ['einsum without an arrow', () => einsum('ba', tensor([[1, 2]])), [[1], [2]]],
  [
    'einsum of a trace',
    () =>
      einsum(
        'ii->',
        tensor([
          [1, 2],
          [3, 4],
        ]),
      ),
    5,
  ],
  ['norm', () => tensor([3, -4]).norm(), 5],
  ['norm of order 1', () => tensor([3, -4]).norm(0, { p: 1 }), 7],
  [
    'matrixNorm by Frobenius',
    () =>
      matrixNorm(
        tensor([
          [3, 0],
          [0, -4],
        ]),
      ),
    5,
  ],
  [
    'matrixNorm, nuclear',
    () =>
      matrixNorm(
        tensor([
          [3, 0],
          [0, -4],
        ]),
        'nuc',
      ),
    7,
  ],
  [
    'matrixNorm of columns',
    () =>
      matrixNorm(
        tensor([
          [1, -2],
          [3, 4],
        ]),
        1,
      ),
    6,
  ],
  [
    'matrixNorm of rows',
    () =>
      matrixNorm(
        tensor([
          [1, -2],
          [3, 4],
        ]),
        Infinity,
      ),
    7,
  ],
  [
    'matrixNorm of order 2 that keeps its axes',
    () =>
      matrixNorm(
        tensor([
          [3, 0],
          [0, -4],
        ]),
        2,
        { keepDim: true },
      ),
    [[4]],
  ],
  ['int32 of numbers', () => tensor([-1, 2 ** 31 - 1], { dtype: 'int32' }), [-1, 2 ** 31 - 1]],
  ['uint8 wraps as in PyTorch', () => tensor([250], { dtype: 'uint8' }).add(10), [4]],
  ['bytes as bool are 0 and 1', () => tensor(new Uint8Array([0, 7]), { dtype: 'bool' }).to('int64'), [0, 1]],
])('%s', async (_, make, expected) => {
  const found = await make().toArray()
  // The only result that is not exact: a mean in float32.
  if (typeof expected === 'number') expect(found).toBeCloseTo(expected, 6)
  else expect(found).toEqual(expected)
})

test('qr and svd give back the matrix, solve the right-hand side', async () => {
  const a = tensor([
    [4, 1, 0],
    [2, 3, 1],
    [0, -1, 2],
    [1, 1, 1],
  ])
  const { q, r } = qr(a)
  const { u, s, vh } = svd(a)
  const square = a.slice(0, 0, 3)
  const b = tensor([[1], [2], [3]])
  const expected = (await a.data()) as Float32Array
  expectClose((await q.matmul(r).data()) as Float32Array, expected, 'float32', 'q·r', 4)
  expectClose((await u.mul(s).matmul(vh).data()) as Float32Array, expected, 'float32', 'u·s·vh', 4)
  expectClose((await square.matmul(solve(square, b)).data()) as Float32Array, [1, 2, 3], 'float32', 'a·x', 4)
  const values = (await s.data()) as Float32Array
  expect([...values].sort((x, y) => y - x)).toEqual([...values])
})

test('what only the values show is found while running', async () => {
  const index = tensor([3], { dtype: 'int64' })
  await expect(oneHot(index, 3).data()).rejects.toMatchObject({ code: 'ERR_RANGE' })
  await expect(
    tensor([1, 2])
      .scatter(0, index, tensor([1]))
      .data(),
  ).rejects.toMatchObject({ code: 'ERR_RANGE' })
  await expect(
    solve(
      tensor([
        [1, 1],
        [1, 1],
      ]),
      tensor([[1], [2]]),
    ).data(),
  ).rejects.toMatchObject({ code: 'ERR_ENGINE' })
})

test('split and unbind give every piece', async () => {
  const pieces = [...grid().split([1, 0, 2], 1), ...grid().unbind()]
  expect(await Promise.all(pieces.map((piece) => piece.toArray()))).toEqual([
    [[0], [3]],
    [[], []],
    [
      [1, 2],
      [4, 5],
    ],
    [0, 1, 2],
    [3, 4, 5],
  ])
})

test('views share the elements of a variable, copies do not', async () => {
  const v = new Variable(tensor([1, 2, 3, 4]))
  const [view, copy] = [v.detach().reshape([2, 2]), v.clone()]
  v.assign(tensor([5, 6, 7, 8]))
  expect(await view.toArray()).toEqual([
    [5, 6],
    [7, 8],
  ])
  expect(await copy.toArray()).toEqual([1, 2, 3, 4])
})

describe('mistakes throw at the call', () => {
  test.each<[string, () => unknown, string]>([
    ['an axis out of range', () => grid().sum(2), 'ERR_SHAPE'],
    ['an axis named twice', () => grid().sum([0, -2]), 'ERR_SHAPE'],
    ['a reshape that does not fit', () => grid().reshape([4]), 'ERR_SHAPE'],
    ['two unknown sizes', () => grid().reshape([-1, -1]), 'ERR_SHAPE'],
    ['an expand that does not fit', () => grid().expand([2, 4]), 'ERR_SHAPE'],
    ['too few axes in a permutation', () => grid().permute([0]), 'ERR_SHAPE'],
    ['a position out of range', () => grid().select(0, 2), 'ERR_RANGE'],
    ['a step of zero', () => grid().slice(0, 0, 1, 0), 'ERR_ARGUMENT'],
    ['sizes that do not add up', () => grid().split([1, 1], 1), 'ERR_SHAPE'],
    ['the maximum of nothing', () => tensor([]).amax(), 'ERR_SHAPE'],
    ['more than there are', () => grid().topk(4), 'ERR_ARGUMENT'],
    ['a product that does not fit', () => grid().matmul(grid()), 'ERR_SHAPE'],
    ['a mean of whole numbers', () => grid().mean(), 'ERR_DTYPE'],
    ['an operand that is no number', () => grid().add('1' as never), 'ERR_ARGUMENT'],
    ['an index that is not int64', () => grid().gather(0, tensor([[0]])), 'ERR_DTYPE'],
    ['no tensors to join', () => cat([]), 'ERR_ARGUMENT'],
    ['a shift for each axis', () => grid().roll([1], [0, 1]), 'ERR_ARGUMENT'],
    ['a triangle of a vector', () => tensor([1]).tril(), 'ERR_SHAPE'],
    ['a source that is not of the index', () => grid().scatter(0, grid(), grid().slice(1, 1)), 'ERR_SHAPE'],
    ['a source of another dtype', () => grid().scatter(0, grid(), grid().to('float32')), 'ERR_DTYPE'],
    ['classes that are floats', () => oneHot(tensor([1]), 2), 'ERR_DTYPE'],
    ['an equation with other signs', () => einsum('...i->i', tensor([1])), 'ERR_SHAPE'],
    ['an equation of other ranks', () => einsum('ij->i', tensor([1])), 'ERR_SHAPE'],
    ['an equation whose letters differ', () => einsum('i,i->i', tensor([1]), tensor([1, 2])), 'ERR_SHAPE'],
    ['an equation with a new letter', () => einsum('i->ij', tensor([1])), 'ERR_SHAPE'],
    ['an equation with a letter twice', () => einsum('i->ii', tensor([1])), 'ERR_SHAPE'],
    ['an equation for more tensors', () => einsum('i,j', tensor([1])), 'ERR_SHAPE'],
    ['a decomposition of a vector', () => svd(tensor([1])), 'ERR_SHAPE'],
    ['a decomposition in bfloat16', () => qr(tensor([[1]]).to('bfloat16')), 'ERR_DTYPE'],
    ['a system that is not square', () => solve(tensor([[1, 2]]), tensor([[1]])), 'ERR_SHAPE'],
    ['a norm of whole numbers', () => grid().norm(), 'ERR_DTYPE'],
    ['a norm of no order', () => tensor([1]).norm(0, { p: Number.NaN }), 'ERR_ARGUMENT'],
    ['a matrix norm of another order', () => matrixNorm(tensor([[1]]), 3), 'ERR_ARGUMENT'],
    ['a matrix norm of a vector', () => matrixNorm(tensor([1])), 'ERR_SHAPE'],
    ['a byte beyond 255', () => tensor([256], { dtype: 'uint8' }), 'ERR_RANGE'],
    ['a fraction as int32', () => tensor([0.5], { dtype: 'int32' }), 'ERR_RANGE'],
    ['a dtype that is refused', () => tensor([1], { dtype: 'float16' as never }), 'ERR_DTYPE'],
  ])('%s', (_, call, code) => {
    expect(call).toThrowError(expect.objectContaining({ code }))
  })
})
