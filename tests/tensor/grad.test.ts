// Gradients as values: of variables and intermediates, twice, and what Gradients can do.

import { dropout, type Gradients, grad, manualSeed, ones, type Tensor, tensor, Variable } from 'quarterturn'
import { expect, test } from 'vitest'
import { expectClose } from '../tolerances.js'

const f64 = { dtype: 'float64' } as const

async function numbers(x: Tensor): Promise<number[]> {
  return Array.from((await x.data()) as ArrayLike<number>)
}

test('gradients of intermediate values', async () => {
  const x = new Variable(tensor([1, 2, 3], f64))
  const square = x.square()
  const gradients = grad(square.mul(square).sum(), [square, x])
  expect(await numbers(gradients.get(square))).toEqual([2, 8, 18])
  expect(await numbers(gradients.get(x))).toEqual([4, 32, 108])
})

test('three times: x⁵ has the derivatives 5x⁴, 20x³, 60x²', async () => {
  const x = new Variable(tensor([2], f64))
  const first = grad(x.pow(5).sum(), [x], { createGraph: true }).get(x)
  const second = grad(first.sum(), [x], { createGraph: true }).get(x)
  const third = grad(second.sum(), [x]).get(x)
  expect(await Promise.all([first, second, third].map((y) => y.item()))).toEqual([80, 160, 240])
})

test('a penalty on the gradient trains: ∂/∂w of |∂(w·x²)/∂x|²', async () => {
  const w = new Variable(tensor([3], f64))
  const x = new Variable(tensor([2], f64))
  const slope = grad(w.mul(x.square()).sum(), [x], { createGraph: true }).get(x)
  // slope = 2wx, so the penalty is 4w²x² and its derivative 8wx².
  expect(await grad(slope.square().sum(), [w]).get(w).item()).toBe(96)
})

test('the gradient of a result that is no scalar is given with it', async () => {
  const x = new Variable(
    tensor(
      [
        [1, 2],
        [3, 4],
      ],
      f64,
    ),
  )
  const gradients = grad(x.square(), [x], {
    gradient: tensor(
      [
        [1, 0],
        [0, -1],
      ],
      f64,
    ),
  })
  expect(await numbers(gradients.get(x))).toEqual([2, 0, 0, -8])
})

test('a gradient that is zero without elements of its own can be read', async () => {
  const x = new Variable(tensor([1, -2], f64))
  const slope = grad(x.abs().sum(), [x], { createGraph: true }).get(x)
  expect(await numbers(grad(slope.mul(tensor([1, 2], f64)).sum(), [x], { unused: 'zeros' }).get(x))).toEqual([0, 0])
})

test('detach stops gradients, clone lets them through', async () => {
  const x = new Variable(tensor([3], f64))
  expect(await grad(x.mul(x.detach()).sum(), [x]).get(x).item()).toBe(3)
  expect(await grad(x.mul(x.clone()).sum(), [x]).get(x).item()).toBe(6)
})

test('dropout: the gradient is the mask of the forward pass', async () => {
  manualSeed(3)
  const x = new Variable(ones([1000], f64))
  const y = dropout(x.mul(2), 0.25)
  const [value, slope] = await Promise.all([numbers(y), numbers(grad(y.sum(), [x]).get(x))])
  expect(slope).toEqual(value)
  const kept = value.filter((v) => v !== 0)
  expectClose(
    kept,
    kept.map(() => 2 / 0.75),
    'float64',
    'kept elements',
  )
  expect(kept.length).toBeGreaterThan(650)
  expect(kept.length).toBeLessThan(850)
})

test('Gradients: sums are matched by variable, scaling and clipping act on all of them together', async () => {
  const [a, b] = [new Variable(tensor([3, 0], f64)), new Variable(tensor([4], f64))]
  const half = (v: Variable): Tensor => v.square().sum().mul(0.5)
  const both = grad(half(a).add(half(b)), [a, b])
  const one = grad(half(b), [b])
  const lists = async (gradients: Gradients): Promise<number[][]> => [
    await numbers(gradients.get(a)),
    await numbers(gradients.get(b)),
  ]
  expect(await lists(both)).toEqual([[3, 0], [4]])
  expect(await lists(one.add(both))).toEqual([[3, 0], [8]])
  expect(await lists(both.scale(-0.5))).toEqual([[-1.5, -0], [-2]])
  expect(await both.norm().item()).toBe(5)
  const clipped = await lists(both.clipByNorm(1))
  expectClose(
    clipped.flat(),
    [0.6, 0, 0.8].map((g) => (g * 5) / (5 + 1e-6)),
    'float64',
    'clipped',
  )
  expect(await lists(both.clipByNorm(100))).toEqual([[3, 0], [4]])
  expect(one.has(a)).toBe(false)
  expect(() => one.get(a)).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
})
