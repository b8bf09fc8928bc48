// Functions of signals and images beyond their operations: options, what follows from them, mistakes.
import { arange, grad, nn, ones, type Tensor, tensor, uniform, Variable, zeros } from 'quarterturn'
import { describe, expect, test } from 'vitest'
import { expectClose } from '../tolerances.js'

const F = nn.functional
const f64 = { dtype: 'float64' } as const
const line = (n: number): Tensor => arange(0, n, { dtype: 'float32' }).reshape([1, 1, n])

test('a transposed convolution is the gradient of the convolution', async () => {
  const x = new Variable(uniform([2, 3, 7, 6], -1, 1, f64))
  const weight = uniform([4, 3, 3, 2], -1, 1, f64)
  const options = { stride: [2, 1], padding: [1, 0], dilation: [1, 2] } as const
  const y = F.conv2d(x, weight, options)
  const seed = uniform(y.shape, -1, 1, f64)
  const slope = grad(y.mul(seed).sum(), [x]).get(x)
  const back = F.convTranspose2d(seed, weight, options)
  expect(back.shape).toEqual(x.shape)
  expectClose((await back.data()) as Float64Array, (await slope.data()) as Float64Array, 'float64', 'the two')
})

test('1-D forms are 2-D ones of height 1', async () => {
  const x = uniform([2, 3, 9], -1, 1, f64)
  const weight = uniform([4, 3, 3], -1, 1, f64)
  const flat = F.conv1d(x, weight, { stride: 2, padding: 1 })
  const deep = F.conv2d(x.unsqueeze(2), weight.unsqueeze(2), { stride: [1, 2], padding: [0, 1] })
  expect(await flat.toArray()).toEqual(await deep.squeeze(2).toArray())
  expect(await F.maxPool1d(line(5), 2).toArray()).toEqual([[[1, 3]]])
  expect(await F.avgPool1d(line(5), 2, { stride: 1 }).toArray()).toEqual([[[0.5, 1.5, 2.5, 3.5]]])
  expect(await F.adaptiveMaxPool1d(line(6), 3).toArray()).toEqual([[[1, 3, 5]]])
  expect(await F.adaptiveAvgPool1d(line(6), 2).toArray()).toEqual([[[1, 4]]])
})

test('interpolate by size or by factor', async () => {
  expect(await F.interpolate(line(2), { scaleFactor: 2 }).toArray()).toEqual([[[0, 0, 1, 1]]])
  expect(await F.interpolate(line(2), { size: 3, mode: 'linear', alignCorners: true }).toArray()).toEqual([
    [[0, 0.5, 1]],
  ])
  expect(F.interpolate(zeros([1, 2, 4, 6]), { scaleFactor: [0.5, 1.4], mode: 'bilinear' }).shape).toEqual([1, 2, 2, 8])
})

test('pad from the last axis on, in every mode', async () => {
  expect(await F.pad(tensor([[1, 2]]), [1, 0, 0, 1], { value: 9 }).toArray()).toEqual([
    [9, 1, 2],
    [9, 9, 9],
  ])
  expect(await F.pad(line(3), [2, 1], { mode: 'reflect' }).toArray()).toEqual([[[2, 1, 0, 1, 2, 1]]])
  expect(await F.pad(line(3), [2, 1], { mode: 'replicate' }).toArray()).toEqual([[[0, 0, 0, 1, 2, 2]]])
  expect(await F.pad(line(3), [2, 1], { mode: 'circular' }).toArray()).toEqual([[[1, 2, 0, 1, 2, 0]]])
})

test('normalize gives vectors of length 1, and 0 where there is none', async () => {
  const x = tensor([
    [3, -4],
    [0, 0],
  ])
  expectClose((await F.normalize(x).data()) as Float32Array, [0.6, -0.8, 0, 0], 'float32', 'rows')
})

test('rmsNorm takes the step of the dtype when no eps is given', async () => {
  const x = tensor([[1e-4, -1e-4]])
  const expected = 1e-4 / Math.sqrt(1e-8 + 2 ** -23)
  expectClose((await F.rmsNorm(x, [2]).data()) as Float32Array, [expected, -expected], 'float32', 'small values')
})

describe('mistakes throw at the call', () => {
  const x = zeros([1, 2, 5])
  test.each<[string, () => unknown, string]>([
    ['a signal of other channels', () => F.conv1d(x, zeros([3, 4, 2])), 'ERR_SHAPE'],
    ['a kernel that is too long', () => F.conv1d(x, zeros([3, 2, 6])), 'ERR_SHAPE'],
    [
      'an output padding that is no remainder',
      () => F.convTranspose1d(x, zeros([2, 3, 2]), { outputPadding: 1 }),
      'ERR_SHAPE',
    ],
    ['groups that do not divide', () => F.groupNorm(x, 3), 'ERR_SHAPE'],
    ['two ways to name a size', () => F.interpolate(x, { size: 3, scaleFactor: 2 }), 'ERR_ARGUMENT'],
    ['no size at all', () => F.interpolate(x, {}), 'ERR_ARGUMENT'],
    ['a mode for images', () => F.interpolate(x, { size: 3, mode: 'bilinear' }), 'ERR_SHAPE'],
    ['corners of the nearest', () => F.interpolate(x, { size: 3, alignCorners: true }), 'ERR_ARGUMENT'],
    ['an unknown mode of padding', () => F.pad(x, [1, 1], { mode: 'mirror' as never }), 'ERR_ARGUMENT'],
    ['an odd number of sides', () => F.pad(x, [1]), 'ERR_SHAPE'],
    ['a negative side', () => F.pad(x, [-1, 0]), 'ERR_ARGUMENT'],
    ['a reflection longer than the axis', () => F.pad(x, [5, 0], { mode: 'reflect' }), 'ERR_SHAPE'],
    [
      'a reflection of whole numbers',
      () => F.pad(ones([2, 3], { dtype: 'int64' }), [1, 1], { mode: 'reflect' }),
      'ERR_DTYPE',
    ],
    ['a pool of nothing', () => F.adaptiveMaxPool1d(zeros([1, 2, 0]), 1), 'ERR_SHAPE'],
  ])('%s', (_, call, code) => {
    expect(call).toThrowError(expect.objectContaining({ code }))
  })
})
