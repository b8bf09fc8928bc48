// How long tensors live: scopes, dispose, using, the collector.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { grad, memory, noGrad, scope, type Tensor, tensor, Variable, zeros } from 'quarterturn'
import { expect, test } from 'vitest'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Collects and lets finalizers run. */
async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) {
    collect()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

test('a scope frees what it made but its result, wherever that stands in it', async () => {
  await settle()
  const before = memory().tensors
  const kept = scope(() => {
    const a = zeros([10])
    const b = a.add(1)
    const c = b.mul(2)
    return { deep: [new Map([['c', c]])] }
  })
  expect(memory().tensors).toBe(before + 1)
  expect(await kept.deep[0]?.get('c')?.sum().item()).toBe(20)
})

test('a nested scope hands its result to the outer one; a throwing one frees everything', async () => {
  await settle()
  const before = memory().tensors
  scope(() => {
    const x = scope(() => zeros([4]).add(1))
    expect(x.isDisposed).toBe(false)
    return undefined
  })
  expect(() =>
    scope(() => {
      zeros([4])
      throw new Error('x')
    }),
  ).toThrow('x')
  expect(memory().tensors).toBe(before)
})

test('a Variable outlives the scope that made it', async () => {
  const v = scope(() => ({ v: new Variable(zeros([3])) })).v
  const hidden: { v?: Variable } = {}
  scope(() => {
    hidden.v = new Variable(zeros([3]).add(1))
  })
  expect(v.isDisposed).toBe(false)
  expect(await (hidden.v as Variable).sum().item()).toBe(3)
})

test('an async function in a scope is refused', () => {
  expect(() => scope(async () => zeros([1]))).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  expect(() => noGrad(async () => 1)).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
})

test('the engine keeps no slot of a tensor that is gone, and memory() counts bytes and their peak', async () => {
  await settle()
  await tensor([0]).item()
  const before = memory()
  memory.resetPeak()
  const x = zeros([1000])
  const y = x.reshape([10, 100])
  expect(memory().bytes - before.bytes).toBe(4000)
  y.dispose()
  x.dispose()
  expect(memory().bytes).toBe(before.bytes)
  expect(memory().peakBytes - before.bytes).toBe(4000)
  const slots = async (): Promise<number> => {
    await tensor([0]).item()
    return memory().slots
  }
  await expect.poll(slots).toBeLessThanOrEqual(before.slots + 1)
})

test('using frees at the end of the block', () => {
  let seen: Tensor
  {
    using x = zeros([2])
    seen = x
  }
  expect(seen.isDisposed).toBe(true)
})

test('what nobody disposes is collected: a training loop stays within a few steps’ bytes', async () => {
  await settle()
  const w = new Variable(zeros([256, 256]))
  const base = memory().bytes
  const step = async (): Promise<void> => {
    const x = zeros([1024, 256]).add(1)
    const loss = x.matmul(w).tanh().square().mean()
    const g = grad(loss, [w])
    noGrad(() => w.assign(w.sub(g.get(w).mul(0.1))))
    await loss.item()
  }
  let most = 0
  for (let i = 0; i < 300; i++) {
    await step()
    most = Math.max(most, memory().bytes - base)
  }
  // A step makes about 6 MB; without collection it would be 1.8 GB.
  expect(most).toBeLessThan(300e6)
  await settle()
  expect(memory().bytes - base).toBeLessThan(10e6)
})
