// The second lane: units run whole between two operations of training.
import { ahead, matmul, normal, type Tensor, tensor, Variable, zeros } from 'quarterturn'
import { expect, test } from 'vitest'

/** A queue of work that takes a while. */
function busy(ops = 30, size = 700): Tensor {
  let x: Tensor = normal([size, size], 0, 0.01)
  for (let i = 0; i < ops; i++) x = matmul(x, x).tanh()
  return x
}

test('a unit overtakes what is queued, and is read before the queue is done', async () => {
  const order: string[] = []
  const slow = busy()
    .sum()
    .item()
    .then(() => order.push('training'))
  const result = ahead(() => tensor([1, 2]).add(1))
  const values = await result.data()
  order.push('predict')
  await slow
  expect(order).toEqual(['predict', 'training'])
  expect([...values]).toEqual([2, 3])
})

test('a unit waits for values that the queue has yet to compute', async () => {
  const x = busy(5).mul(0).add(3)
  const y = ahead(() => x.add(1))
  expect(await y.sum().item()).toBe(4 * 700 * 700)
})

test('what the unit needs is kept until it has run, also when it was released meanwhile', async () => {
  const x = busy(5).mul(0).add(3)
  const first = ahead(() => x.slice(0, 0, 1))
  x.dispose()
  expect(await first.sum().item()).toBe(3 * 700)
})

test('a unit sees whole updates only: all weights of one step', async () => {
  const a = new Variable(zeros([300, 300]))
  const b = new Variable(zeros([300, 300]))
  const seen: Promise<Float32Array>[] = []
  for (let step = 1; step <= 20; step++) {
    const value = busy(2, 300).mul(0).add(step)
    const difference = ahead(() => a.slice(0, 0, 1).sub(b.slice(0, 0, 1)))
    seen.push(difference.data() as Promise<Float32Array>)
    a.assign(value)
    b.assign(value)
  }
  // `assign` is one operation per variable, so a difference of one step may be seen between them; a torn variable may not.
  for (const data of await Promise.all(seen)) expect(new Set(data).size).toBe(1)
})

test('a unit does not overtake what was assigned before it', async () => {
  const v = new Variable(zeros([4]))
  const value = busy(5).mul(0).slice(0, 0, 4).select(1, 0).add(3)
  v.assign(value)
  expect([...(await ahead(() => v.mul(2)).data())]).toEqual([6, 6, 6, 6])
})

test('gradients are off inside, and the mode does not leak', async () => {
  const v = new Variable(tensor([1, 2]))
  expect(ahead(() => v.mul(2)).requiresGrad).toBe(false)
  expect(v.mul(2).requiresGrad).toBe(true)
})
