// Sub-programs: functions recorded once and run again by the engine.
import {
  checkpoint,
  customGrad,
  dropout,
  grad,
  manualSeed,
  normal,
  scan,
  type Tensor,
  tensor,
  Variable,
  zeros,
} from 'quarterturn'
import { expect, test } from 'vitest'

const f64 = { dtype: 'float64' } as const

function close(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 1e-12): void {
  expect(actual.length).toBe(expected.length)
  for (let i = 0; i < expected.length; i++)
    expect(Math.abs((actual[i] as number) - (expected[i] as number))).toBeLessThan(tolerance)
}

async function numbers(x: Tensor): Promise<number[]> {
  return Array.from((await x.data()) as ArrayLike<number>)
}

test('checkpoint: the same value and gradients as without, for inputs and for variables it takes in', async () => {
  manualSeed(1)
  const x = new Variable(normal([3, 4], 0, 1, f64))
  const w = new Variable(normal([4, 4], 0, 1, f64))
  const layer = (a: Tensor): Tensor => a.matmul(w).tanh()
  const plain = layer(layer(x)).square().sum()
  const saved = checkpoint((a) => layer(layer(a)), x)
    .square()
    .sum()
  close(await numbers(saved), await numbers(plain))
  const [a, b] = [grad(plain, [x, w]), grad(saved, [x, w])]
  close(await numbers(b.get(x)), await numbers(a.get(x)))
  close(await numbers(b.get(w)), await numbers(a.get(w)))
})

test('checkpoint: dropout has the same mask when it is computed again', async () => {
  manualSeed(7)
  const x = new Variable(zeros([64], f64).add(1))
  const y = checkpoint((a) => dropout(a.mul(3), 0.5), x)
  const gradient = await numbers(grad(y.sum(), [x]).get(x))
  const value = await numbers(y)
  close(gradient, value)
  expect(new Set(value)).toEqual(new Set([0, 6]))
})

test('checkpoint: nested, and twice differentiated through', async () => {
  const x = new Variable(tensor([0.5, -1], f64))
  const y = checkpoint((a) => checkpoint((b) => b.sin(), a).mul(a), x).sum()
  close(
    await numbers(grad(y, [x]).get(x)),
    [0.5, -1].map((v) => Math.sin(v) + v * Math.cos(v)),
  )
})

test('customGrad: the backward is the one given, and can be differentiated again', async () => {
  const cube = customGrad(
    (x) => x.mul(x).mul(x),
    ({ inputs: [x], gradients: [g] }) => [(g as Tensor).mul((x as Tensor).square().mul(3))],
  )
  const x = new Variable(tensor([2, -3], f64))
  const first = grad(cube(x).sum(), [x], { createGraph: true }).get(x)
  close(await numbers(first), [12, 27])
  close(await numbers(grad(first.sum(), [x]).get(x)), [12, -18])
  const wrong = customGrad(
    (x) => x.square(),
    ({ gradients: [g] }) => [(g as Tensor).mul(100)],
  )
  close(await numbers(grad(wrong(x).sum(), [x]).get(x)), [100, 100])
})

test('customGrad: an input without gradient gets zeros, a wrong count or shape is refused', async () => {
  const x = new Variable(tensor([1, 2], f64))
  const y = new Variable(tensor([3, 4], f64))
  const f = customGrad(
    (a, b) => a.mul(b),
    ({ gradients: [g] }) => [g, undefined],
  )
  const g = grad(f(x, y).sum(), [x, y])
  close(await numbers(g.get(x)), [1, 1])
  close(await numbers(g.get(y)), [0, 0])
  expect(() =>
    customGrad(
      (a) => a,
      () => [],
    )(x),
  ).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  expect(() =>
    customGrad(
      (a) => a,
      () => [zeros([5], f64)],
    )(x),
  ).toThrowError()
})

test('scan: a recurrence equals its loop, forward and gradients, in both directions', async () => {
  manualSeed(3)
  const [B, T, H] = [2, 5, 3]
  const x = new Variable(normal([B, T, H], 0, 1, f64))
  const h0 = new Variable(normal([B, H], 0, 1, f64))
  const w = new Variable(normal([H, H], 0, 0.5, f64))
  for (const reverse of [false, true]) {
    const out = scan(
      (h: Tensor, xt: Tensor) => {
        const next = h.matmul(w).add(xt).tanh()
        return { state: next, output: next.mul(2) }
      },
      h0 as Tensor,
      x as Tensor,
      { reverse },
    )
    expect(out.output.shape).toEqual([B, T, H])
    let h: Tensor = h0
    const ys: Tensor[] = new Array(T)
    for (let i = 0; i < T; i++) {
      const t = reverse ? T - 1 - i : i
      h = h.matmul(w).add(x.select(1, t)).tanh()
      ys[t] = h.mul(2)
    }
    const { stack } = await import('quarterturn')
    const loop = stack(ys, 1)
    close(await numbers(out.output), await numbers(loop))
    close(await numbers(out.state), await numbers(h))
    const weight = normal([B, T, H], 0, 1, f64)
    const [a, b] = [out.output, loop].map((y) => grad(y.mul(weight).sum(), [x, h0, w])) as [
      ReturnType<typeof grad>,
      ReturnType<typeof grad>,
    ]
    for (const v of [x, h0, w]) close(await numbers(a.get(v)), await numbers(b.get(v)))
  }
})

test('scan: states and sequences may be objects, constants are passed, no step gives the initial state', async () => {
  const xs = { a: tensor([[1, 2, 3]], f64), b: tensor([[10, 20, 30]], f64) }
  const out = scan(
    (s: { sum: Tensor; count: Tensor }, x: { a: Tensor; b: Tensor }, k: Tensor) => {
      const state = { sum: s.sum.add(x.a.mul(k)).add(x.b), count: s.count.add(1) }
      return { state, output: [state.sum] }
    },
    { sum: zeros([1], f64), count: zeros([1], f64) },
    xs,
    { constants: tensor([2], f64) as Tensor },
  )
  expect(await out.state.sum.item()).toBe(72)
  expect(await out.state.count.item()).toBe(3)
  expect(await (out.output[0] as Tensor).toArray()).toEqual([[12, 36, 72]])
  const none = scan(
    (s: Tensor, x: Tensor) => ({ state: s.add(x), output: s }),
    zeros([2]) as Tensor,
    zeros([2, 0]) as Tensor,
  )
  expect(await none.state.toArray()).toEqual([0, 0])
  expect(none.output.shape).toEqual([2, 0])
})

test('scan: random numbers differ from step to step and are the same again', async () => {
  const run = async (): Promise<number[]> => {
    manualSeed(11)
    const { output } = scan(
      (s: Tensor, x: Tensor) => ({ state: s, output: dropout(x, 0.5) }),
      zeros([1]) as Tensor,
      zeros([1, 40]).add(1) as Tensor,
    )
    return numbers(output)
  }
  const first = await run()
  expect(new Set(first).size).toBe(2)
  expect(await run()).toEqual(first)
})

test('values from outside that are not declared throw, at the line that uses them', () => {
  const outside = tensor([1, 2])
  const x = tensor([3, 4])
  expect(() => checkpoint((a) => a.mul(outside), x)).toThrowError(expect.objectContaining({ code: 'ERR_CAPTURE' }))
  expect(() =>
    scan(
      (s: Tensor, a: Tensor) => ({ state: s.add(outside), output: a }),
      zeros([2]) as Tensor,
      zeros([2, 3]) as Tensor,
    ),
  ).toThrowError(expect.objectContaining({ code: 'ERR_CAPTURE' }))
  let leaked: Tensor | undefined
  checkpoint((a) => (leaked = a.mul(2)), x)
  expect(() => (leaked as Tensor).add(1)).toThrowError(expect.objectContaining({ code: 'ERR_CAPTURE' }))
})

test('a recorded function can neither await nor read, nor change the form of its state', () => {
  const x = tensor([3, 4])
  expect(() => checkpoint((a) => Promise.resolve(a) as never, x)).toThrowError(
    expect.objectContaining({ code: 'ERR_ARGUMENT' }),
  )
  expect(() =>
    checkpoint((a) => {
      void a.data().catch(() => {})
      return a
    }, x),
  ).not.toThrow()
  expect(() =>
    scan(
      (s: Tensor, a: Tensor) => ({ state: s.unsqueeze(0), output: a }),
      zeros([2]) as Tensor,
      zeros([2, 3]) as Tensor,
    ),
  ).toThrowError(expect.objectContaining({ code: 'ERR_SHAPE' }))
})

test('an error inside a program marks its outputs and nothing else', async () => {
  const { nn } = await import('quarterturn')
  const weight = new Variable(zeros([4, 2]))
  const bad = checkpoint((i) => nn.functional.embedding(i, weight), tensor([9], { dtype: 'int64' }) as Tensor)
  await expect(bad.data()).rejects.toMatchObject({ code: 'ERR_RANGE' })
  expect(await tensor([1]).item()).toBe(1)
})
