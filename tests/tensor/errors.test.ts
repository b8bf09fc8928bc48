// Errors: at the user's own line where they can be known there; marked, passed on and never lost where they cannot.
import {
  ArgumentError,
  arange,
  Gradients,
  grad,
  noGrad,
  ShapeError,
  type Tensor,
  tensor,
  Variable,
  zeros,
} from 'quarterturn'
import { expect, test } from 'vitest'
import { takePending } from '../../src/tensor/queue.js'
import { call } from '../../src/tensor/tensor.js'
import { runModule } from '../child.js'

const embed = (weight: Tensor, index: Tensor): Tensor => call('embedding', [weight, index], { paddingIndex: -1 })

test('wrong shapes, dtypes and sizes throw at the call, with code, op, expected and got', () => {
  expect(() => zeros([2, 3]).matmul(zeros([2, 3]))).toThrow(ShapeError)
  expect(() => zeros([2, 3]).add(zeros([4]))).toThrow(/add: shapes \[2, 3\] and \[4\] do not broadcast/)
  expect(() => zeros([2]).matmul(arange(2))).toThrowError(expect.objectContaining({ code: 'ERR_DTYPE', op: 'matmul' }))
  expect(() => zeros([Number.NaN])).toThrowError(expect.objectContaining({ code: 'ERR_SHAPE' }))
  expect(() => zeros([-1])).toThrowError(expect.objectContaining({ code: 'ERR_SHAPE' }))
  expect(() => zeros([2 ** 40, 2 ** 40])).toThrowError(expect.objectContaining({ code: 'ERR_SHAPE' }))
  expect(() => tensor([[1, 2], [3]])).toThrowError(expect.objectContaining({ code: 'ERR_SHAPE' }))
  expect(() => zeros([2], { dtype: 'float16' as 'float32' })).toThrowError(
    expect.objectContaining({ code: 'ERR_DTYPE' }),
  )
  expect(() => zeros([2]).add('1' as never)).toThrow(ArgumentError)
  expect(() => zeros([2], { device: 'tpu' as 'cpu' })).toThrowError(expect.objectContaining({ code: 'ERR_DEVICE' }))
})

test('asking for CUDA where there is none names the remedy', async () => {
  const { devices } = await import('quarterturn')
  if (devices().length > 1) return
  expect(() => zeros([2], { device: 'cuda' })).toThrowError(
    expect.objectContaining({ code: 'ERR_DEVICE', message: expect.stringContaining('LIBTORCH') }),
  )
})

test('detached, resizable and shared buffers are refused', () => {
  const detached = new Float32Array(4)
  structuredClone(detached.buffer, { transfer: [detached.buffer] })
  expect(() => tensor(detached)).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  expect(() => tensor(new Float32Array(new SharedArrayBuffer(8)))).toThrowError(
    expect.objectContaining({ code: 'ERR_ARGUMENT' }),
  )
  const resizable = new (ArrayBuffer as new (length: number, options: { maxByteLength: number }) => ArrayBuffer)(8, {
    maxByteLength: 16,
  })
  expect(() => tensor(new Float32Array(resizable))).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
})

test('a disposed tensor is refused wherever it is used, and disposing twice does nothing', async () => {
  const x = zeros([2])
  x.dispose()
  x.dispose()
  expect(() => x.add(1)).toThrowError(expect.objectContaining({ code: 'ERR_DISPOSED' }))
  await expect(x.data()).rejects.toMatchObject({ code: 'ERR_DISPOSED' })
})

test('an error that depends on data marks what uses it: every await gives the first error', async () => {
  const bad = embed(zeros([4, 2]), tensor([9], { dtype: 'int64' }))
  const later = bad.mul(2).sum()
  const fine = zeros([2]).add(1)
  const [first, second] = await Promise.allSettled([bad.data(), later.item()])
  expect(first).toMatchObject({ status: 'rejected', reason: { code: 'ERR_RANGE', op: 'embedding' } })
  expect(second).toMatchObject({ status: 'rejected', reason: { code: 'ERR_RANGE', op: 'embedding' } })
  expect([...(await fine.data())]).toEqual([1, 1])
  expect(takePending()).toEqual([])
})

test('the messages are one line and hold no C++ frames', async () => {
  const bad = embed(zeros([4, 2]), tensor([9], { dtype: 'int64' }))
  const error = await bad.data().catch((e: Error) => e)
  expect((error as Error).message).not.toMatch(/\n|frame #|Exception raised/)
})

test('a variable that the loss does not depend on is named, unless zeros were asked for', async () => {
  const used = new Variable(tensor([1, 2]), { name: 'used' })
  const idle = new Variable(tensor([3, 4]), { name: 'idle.weight' })
  const loss = used.square().sum()
  await expect(grad(loss, [used, idle], { retain: true }).get(idle).data()).rejects.toMatchObject({
    code: 'ERR_UNUSED',
    message: expect.stringContaining('idle.weight'),
  })
  const g = grad(loss, [used, idle], { unused: 'zeros' })
  expect([...(await g.get(idle).data())]).toEqual([0, 0])
  expect([...(await g.get(used).data())]).toEqual([2, 4])
})

test('a loss without a graph, or not a scalar, is refused at the call', () => {
  const v = new Variable(tensor([1, 2]))
  expect(() =>
    grad(
      noGrad(() => v.sum()),
      [v],
    ),
  ).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  expect(() => grad(v.mul(2), [v])).toThrowError(expect.objectContaining({ code: 'ERR_SHAPE' }))
  expect(() => grad(v.sum(), [])).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  expect(() => new Gradients([], []).get(v)).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
})

test('a second backward pass over a freed graph is an error, and with retain it is not', async () => {
  const v = new Variable(tensor([2]))
  const loss = v.exp().sum()
  await grad(loss, [v], { retain: true }).get(v).data()
  await grad(loss, [v]).get(v).data()
  await expect(grad(loss, [v]).get(v).data()).rejects.toMatchObject({ code: 'ERR_ENGINE' })
})

test('a request that is too large for the machine is ERR_OUT_OF_MEMORY, and the next operation is right', async () => {
  await expect(
    zeros([2 ** 22, 2 ** 22])
      .sum()
      .item(),
  ).rejects.toMatchObject({ code: 'ERR_OUT_OF_MEMORY' })
  expect(await tensor([1, 2]).sum().item()).toBe(3)
  // What has more bytes than there are addresses is refused before anything is queued.
  expect(() => zeros([2 ** 25, 2 ** 25])).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_MEMORY' }))
})

test('an error that nobody awaited is printed before the exit, with exit code 1', async () => {
  const { code, stderr } = await runModule(`
    import { tensor, zeros, nn } from 'quarterturn'
    nn.functional.embedding(tensor([9], { dtype: 'int64' }), zeros([4, 2]))
  `)
  expect(code).toBe(1)
  expect(stderr).toMatch(/ERR_RANGE|embedding/)
})

test('an error that was awaited and handled is not printed again', async () => {
  const { code, stderr } = await runModule(`
    import { tensor, zeros, nn } from 'quarterturn'
    await nn.functional.embedding(tensor([9], { dtype: 'int64' }), zeros([4, 2])).data().catch(() => {})
  `)
  expect(stderr).toBe('')
  expect(code).toBe(0)
})

test('QUARTERTURN_TRACE=1 names the line that recorded the failed operation', async () => {
  const source = `
    import { tensor, zeros, nn } from 'quarterturn'
    function userLine() { return nn.functional.embedding(tensor([9], { dtype: 'int64' }), zeros([4, 2])) }
    const bad = userLine()
    await bad.data().catch((error) => console.log(error.recordedAt))
  `
  const traced = await runModule(source, { env: { QUARTERTURN_TRACE: '1' } })
  expect(traced.stdout).toMatch(/userLine/)
  expect((await runModule(source)).stdout).toMatch(/undefined/)
})
