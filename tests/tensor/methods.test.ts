// Methods and functions that stand for other operations: their values, and the mistakes they catch.
import { arange, cat, eye, full, onesLike, stack, type Tensor, tensor, Variable, where, zerosLike } from 'quarterturn'
import { describe, expect, test } from 'vitest'

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
])('%s', async (_, make, expected) => {
  const found = await make().toArray()
  // The only result that is not exact: a mean in float32.
  if (typeof expected === 'number') expect(found).toBeCloseTo(expected, 6)
  else expect(found).toEqual(expected)
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
  ])('%s', (_, call, code) => {
    expect(call).toThrowError(expect.objectContaining({ code }))
  })
})
