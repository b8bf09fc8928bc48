// Variables, and the operations that only have an effect.

import { grad, noGrad, Tensor, tensor, Variable } from 'quarterturn'
import { expect, test } from 'vitest'
import { native } from '../../src/native.js'
import { newId, request, write } from '../../src/tensor/queue.js'
import { type Result, record } from '../../src/tensor/record.js'

const f64 = { dtype: 'float64' } as const

test('variable: has elements of its own, also when it is made from a view', async () => {
  const source = new Variable(
    tensor([
      [1, 2],
      [3, 4],
    ]),
  )
  const copy = new Variable(source.transpose())
  source.assign(
    tensor([
      [9, 9],
      [9, 9],
    ]),
  )
  expect(await copy.toArray()).toEqual([
    [1, 3],
    [2, 4],
  ])
})

test('assign: overwrites in place, converts the dtype, takes no part in gradients, and keeps the variable a leaf', async () => {
  const v = new Variable(tensor([1, 2], f64))
  const w = new Variable(tensor([3, 4], f64))
  const view = v.detach()
  v.assign(w.mul(2).to('float32'))
  expect(v.dtype).toBe('float64')
  expect(await view.toArray()).toEqual([6, 8])
  const loss = v.mul(v).sum()
  expect(await grad(loss, [v]).get(v).toArray()).toEqual([12, 16])
  expect(() => grad(v.sum(), [w])).not.toThrow()
  await expect(grad(v.sum(), [w]).get(w).data()).rejects.toMatchObject({ code: 'ERR_UNUSED' })
})

test('assign: another shape is refused, with both named', () => {
  const v = new Variable(tensor([1, 2]), { name: 'weight' })
  expect(() => v.assign(tensor([1]))).toThrowError(
    expect.objectContaining({ code: 'ERR_SHAPE', expected: '[2]', got: '[1]' }),
  )
})

test('requireGrad: a frozen variable takes no gradients until it is released', async () => {
  const v = new Variable(tensor([1, 2], f64))
  v.requiresGrad = false
  expect(v.mul(2).requiresGrad).toBe(false)
  expect(() => grad(v.sum(), [v])).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  v.requiresGrad = true
  expect(await grad(v.square().sum(), [v]).get(v).toArray()).toEqual([2, 4])
})

test('requireGrad: whole numbers take no gradients', () => {
  const v = new Variable(tensor([1n, 2n]))
  expect(v.requiresGrad).toBe(false)
  expect(() => {
    v.requiresGrad = true
  }).toThrowError(expect.objectContaining({ code: 'ERR_DTYPE' }))
  expect(() => new Variable(tensor([1n]), { requiresGrad: true })).toThrowError(
    expect.objectContaining({ code: 'ERR_DTYPE' }),
  )
})

test('noGrad: what is computed inside carries no graph, and the mode ends with the function', () => {
  const v = new Variable(tensor([1, 2]))
  expect(noGrad(() => v.mul(2)).requiresGrad).toBe(false)
  expect(() =>
    noGrad(() => {
      throw new Error('inside')
    }),
  ).toThrow('inside')
  expect(v.mul(2).requiresGrad).toBe(true)
})

test('mark: is answered only after what was queued before it', async () => {
  const v = new Variable(tensor([0], f64))
  for (let i = 0; i < 500; i++) v.assign(noGrad(() => v.add(1)))
  const order: string[] = []
  const last = v.item().then(() => order.push('read'))
  await request('mark', [], []).then(() => order.push('mark'))
  await last
  expect(order).toEqual(['read', 'mark'])
  expect(await v.item()).toBe(500)
})

test('undefine: a program that was released cannot be run any more', async () => {
  const program = newId()
  const [input, output] = [newId(), newId()]
  write(
    'define',
    0,
    [],
    [],
    [program, 1, input, 1, output, native().operations().indexOf('exp'), 1, input, 1, output, 0],
  )
  const x = tensor([0], f64)
  const run = (): Tensor => new Tensor(record('checkpoint', [x], { metas: [x], program })[0] as Result)
  const before = run()
  write('undefine', 0, [], [], [program])
  expect(await before.toArray()).toEqual([1])
  await expect(run().data()).rejects.toMatchObject({ op: 'checkpoint' })
})
