// What has a shape that depends on values: read where it stands in the order, kept no larger than it is.
import { checkpoint, grad, maskedSelect, memory, nonzero, ones, scope, tensor, unique, Variable } from 'quarterturn'
import { expect, test } from 'vitest'

test('nonzero gives positions in row-major order, [0, rank] where there are none', async () => {
  const found = await nonzero(
    tensor([
      [0, 2, 0],
      [-1, 0, Number.NaN],
    ]),
  )
  expect(found.shape).toEqual([3, 2])
  expect(await found.toArray()).toEqual([
    [0, 1],
    [1, 0],
    [1, 2],
  ])
  expect((await nonzero(tensor([0, 0]))).shape).toEqual([0, 1])
  expect((await nonzero(tensor(3))).shape).toEqual([1, 0])
})

test('maskedSelect broadcasts, and its gradient goes to what was selected', async () => {
  const x = new Variable(
    tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]),
  )
  const found = await maskedSelect(x, tensor([true, false, true]))
  expect(await found.toArray()).toEqual([1, 3, 4, 6])
  const slope = grad(found.mul(tensor([1, 2, 3, 4])).sum(), [x]).get(x)
  expect(await slope.toArray()).toEqual([
    [1, 0, 2],
    [3, 0, 4],
  ])
})

test('unique gives sorted values, where each element is among them, and how often they occur', async () => {
  const { values, inverse, counts } = await unique(
    tensor(
      [
        [5, 1],
        [5, 3],
      ],
      { dtype: 'int32' },
    ),
  )
  expect([values.dtype, await values.toArray()]).toEqual(['int32', [1, 3, 5]])
  expect(await inverse.toArray()).toEqual([
    [2, 0],
    [2, 1],
  ])
  expect(await counts.toArray()).toEqual([1, 1, 2])
})

test('a variable that changes afterwards does not change what was found', async () => {
  const v = new Variable(tensor([1, 0, 2]))
  const finding = maskedSelect(v, v.ne(0))
  v.assign(tensor([7, 8, 9]))
  expect(await (await finding).toArray()).toEqual([1, 2])
})

test('a selection that is begun in a scope outlives it and keeps no more than it found', async () => {
  const finding = scope(() => [maskedSelect(ones([1000]), ones([1000]).mul(0).eq(1))])
  const before = memory().bytes
  const [found] = await Promise.all(finding)
  expect(found?.shape).toEqual([0])
  expect(memory().bytes).toBeLessThanOrEqual(before - 4000)
})

test('a recorded function refuses, at once', async () => {
  let refused: Promise<unknown> | undefined
  checkpoint(
    (x) => {
      refused = nonzero(x)
      refused.catch(() => {})
      return x
    },
    ones([2]),
  )
  await expect(refused).rejects.toMatchObject({ code: 'ERR_CAPTURE' })
})

test('a mask of another dtype or shape throws before anything runs', async () => {
  await expect(maskedSelect(ones([2]), ones([2]))).rejects.toMatchObject({ code: 'ERR_DTYPE' })
  await expect(maskedSelect(ones([2]), ones([3]).eq(1))).rejects.toMatchObject({ code: 'ERR_SHAPE' })
})
