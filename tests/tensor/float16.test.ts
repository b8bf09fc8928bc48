// float16: refused on the CPU with the reason, a dtype like the others on a CUDA device.
import { arange, devices, nn, tensor, uniform, zeros } from 'quarterturn'
import { expect, test } from 'vitest'
import { fromFloat16, promote } from '../../src/tensor/dtype.js'

const cuda = devices().find((name) => name !== 'cpu')

test.each([
  ['tensor', () => tensor([1], { dtype: 'float16' })],
  ['zeros', () => zeros([1], { dtype: 'float16' })],
  ['arange', () => arange(0, 2, { dtype: 'float16' })],
  ['uniform', () => uniform([1], 0, 1, { dtype: 'float16' })],
  ['to', () => zeros([1]).to('float16')],
  ['Module.to', () => new nn.Linear(1, 1).to('float16')],
])('%s refuses float16 on the CPU and says why', (_, make) => {
  expect(make).toThrowError(
    expect.objectContaining({
      code: 'ERR_DTYPE',
      message: expect.stringMatching(/one matmul takes seconds; use bfloat16/),
    }),
  )
})

test('the bits of a float16 are read exactly', () => {
  const bits = Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x03ff, 0x7bff, 0x7c00, 0xfc00, 0x8000)
  const values = [1, -2, 2 ** -24, 1023 * 2 ** -24, 65504, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0]
  expect([...fromFloat16(bits)]).toEqual(values)
  expect(fromFloat16(Uint16Array.of(0x7e00))[0]).toBeNaN()
})

test('float16 and bfloat16 meet in float32, since neither holds the other', () => {
  expect(promote('float16', 'bfloat16')).toBe('float32')
  expect(promote('float16', 'float32')).toBe('float32')
  expect(promote('int64', 'float16')).toBe('float16')
})

test.skipIf(cuda === undefined)('on CUDA float16 computes, and only float32 comes back to the CPU', async () => {
  const x = tensor([[1, 2], [3, 4]], { dtype: 'float16', device: cuda }) // biome-ignore format: a matrix
  expect(await x.matmul(x).toArray()).toEqual([[7, 10], [15, 22]]) // biome-ignore format: a matrix
  expect(() => x.to('cpu')).toThrowError(expect.objectContaining({ code: 'ERR_DTYPE' }))
  expect(await x.to('float32', 'cpu').toArray()).toEqual([[1, 2], [3, 4]]) // biome-ignore format: a matrix
})
