// Every result equals what immediate execution in program order would have given.
import { arange, full, grad, memory, noGrad, tensor, Variable, zeros } from 'quarterturn'
import { expect, test } from 'vitest'

test('a read sees the value at its place in the order, before and after an update in place', async () => {
  const v = new Variable(tensor([1, 2, 3]))
  const before = v.data()
  v.assign(tensor([4, 5, 6]))
  const after = v.data()
  v.assign(tensor([7, 8, 9]))
  expect([...(await before)]).toEqual([1, 2, 3])
  expect([...(await after)]).toEqual([4, 5, 6])
  expect([...(await v.data())]).toEqual([7, 8, 9])
})

test('a value computed from a variable keeps what the variable was', async () => {
  const v = new Variable(tensor([1, 2]))
  const double = noGrad(() => v.mul(2))
  v.assign(tensor([10, 20]))
  expect([...(await double.data())]).toEqual([2, 4])
})

test('a tensor made from a typed array has the elements of that moment', async () => {
  const source = new Float32Array([1, 2, 3])
  const x = tensor(source)
  source.fill(0)
  expect([...(await x.data())]).toEqual([1, 2, 3])
})

test('a thousand operations in one tick run in the order recorded', async () => {
  let x = tensor([0], { dtype: 'float64' })
  for (let i = 0; i < 1000; i++) x = i % 2 === 0 ? x.add(1) : x.mul(1.001)
  let expected = 0
  for (let i = 0; i < 1000; i++) expected = i % 2 === 0 ? expected + 1 : expected * 1.001
  expect(await x.item()).toBeCloseTo(expected, 9)
})

test('results are what they claim to be: dtype, shape and array type', async () => {
  const x = arange(6).reshape([2, 3])
  expect(await x.data()).toBeInstanceOf(BigInt64Array)
  expect(await x.toArray()).toEqual([
    [0, 1, 2],
    [3, 4, 5],
  ])
  expect(await x.gt(2).toArray()).toEqual([
    [false, false, false],
    [true, true, true],
  ])
  expect(await full([2], 1.5, { dtype: 'bfloat16' }).toArray()).toEqual([1.5, 1.5])
  expect(await zeros([0, 3]).toArray()).toEqual([])
})

test('an int64 beyond 2⁵³ is refused as a number and exact as data', async () => {
  const big = tensor([2n ** 60n])
  await expect(big.item()).rejects.toMatchObject({ code: 'ERR_RANGE' })
  expect((await big.data())[0]).toBe(2n ** 60n)
})

test('a synchronous loop that runs far ahead is made to wait: the queue stays short', () => {
  const v = new Variable(zeros([256, 256]))
  let most = 0
  for (let i = 0; i < 400; i++) {
    const loss = v.matmul(v).sum()
    grad(loss, [v]).dispose()
    loss.dispose()
    most = Math.max(most, memory().queued)
  }
  expect(most).toBeGreaterThan(0)
  expect(most).toBeLessThan(20_000)
})
