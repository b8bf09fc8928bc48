// relu(conv2d(x) + residual) as one operation: the same as its three parts, whatever the layout; it follows the weight and keeps no memory.
import {
  cat,
  grad,
  manualSeed,
  nn,
  noGrad,
  normal,
  optim,
  type Shape,
  scope,
  type Tensor,
  tensor,
  Variable,
} from 'quarterturn'
import { beforeEach, describe, expect, it } from 'vitest'

beforeEach(() => manualSeed(5))

/** [N, C, H, W] whose channels lie side by side in memory. */
function last(x: Tensor): Tensor {
  return x.permute([0, 2, 3, 1]).clone().permute([0, 3, 1, 2])
}

async function close(a: Tensor, b: Tensor, tolerance = 1e-5): Promise<void> {
  expect(a.shape).toEqual(b.shape)
  if (b.size === 0) return
  const [x, y] = [a.to('float32'), b.to('float32')]
  const scale = Number(await y.abs().amax().item())
  expect(Number(await x.sub(y).abs().amax().item())).toBeLessThan(tolerance * Math.max(1, scale))
}

/** The three parts, on images whose channels lie far apart and with gradients recorded, so that nothing is one operation. */
function parts(x: Tensor, weight: Tensor, options: nn.functional.Conv2dFunctionOptions): Tensor {
  const { residual, relu, ...rest } = options
  const y = nn.functional.conv2d(cat([x.reshape([-1])], 0).reshape(x.shape), new Variable(weight), rest)
  const sum = residual === undefined ? y : y.add(residual)
  return relu ? sum.relu() : sum
}

const whole = [true, false]
const kinds = [1, 2].flatMap((stride) =>
  [0, 1].flatMap((padding) =>
    [1, 2].flatMap((groups) => [1, 3].map((kernel) => ({ stride, padding, groups, kernel }))),
  ),
)

describe('conv2d with residual and relu in inference', () => {
  it.each(kinds)(
    'stride $stride, padding $padding, groups $groups, kernel $kernel: values are those of the three',
    async (kind) => {
      const { kernel, groups, ...place } = kind
      const weight = normal([12, 8 / groups, kernel, kernel])
      for (const batch of [1, 8, 0])
        for (const layout of [last, (x: Tensor) => x])
          for (const biased of whole)
            for (const added of whole)
              for (const relu of whole) {
                const x = layout(normal([batch, 8, 9, 7]))
                const options = { ...place, groups, relu, ...(biased ? { bias: normal([12]) } : {}) }
                const shape = nn.functional.conv2d(x, weight, options).shape
                const residual = added ? layout(normal(shape)) : undefined
                const one = noGrad(() => nn.functional.conv2d(x, weight, { ...options, residual }))
                await close(one, parts(x, weight, { ...options, residual }))
              }
    },
  )

  it('a residual that lies otherwise in memory than the images, dilation, kernels that are not square', async () => {
    const [x, weight] = [last(normal([2, 5, 11, 10])), normal([6, 5, 3, 2])]
    const options = { stride: [1, 2], padding: [2, 0], dilation: [2, 3], relu: true } as const
    const residual = normal([2, 6, 11, 4])
    const one = noGrad(() => nn.functional.conv2d(x, weight, { ...options, residual }))
    await close(one, parts(x, weight, { ...options, residual }))
  })

  it('bfloat16 rounds once where the three round each time', async () => {
    const [x, weight, residual] = [
      last(normal([2, 16, 6, 6])),
      normal([16, 16, 3, 3], 0, 0.1),
      last(normal([2, 16, 6, 6])),
    ]
    const [a, b, c] = [x, weight, residual].map((each) => each.to('bfloat16')) as [Tensor, Tensor, Tensor]
    const options = { padding: 1, relu: true }
    const exact = parts(a.to('float32'), b.to('float32'), { ...options, residual: c.to('float32') })
    await close(
      noGrad(() => nn.functional.conv2d(a, b, { ...options, residual: c })),
      exact,
      1e-2,
    )
  })

  it('float64 has the parts', async () => {
    const [x, weight] = [last(normal([2, 4, 5, 5])).to('float64'), normal([4, 4, 3, 3]).to('float64')]
    const options = { padding: 1, relu: true, residual: x }
    await close(
      noGrad(() => nn.functional.conv2d(x, weight, options)),
      parts(x, weight, options),
      1e-12,
    )
  })

  it('the result follows the weight: assigned, changed in place, stepped by an optimizer', async () => {
    const conv = new nn.Conv2d(6, 6, 3, { padding: 1 })
    const x = last(normal([2, 6, 5, 5]))
    const check = async (): Promise<Tensor> => {
      const y = noGrad(() => conv.forward(x, { residual: x, relu: true }))
      const { weight, bias } = conv
      await close(y, parts(x, weight, { bias, padding: 1, residual: x, relu: true }))
      return y
    }
    const first = await check()
    noGrad(() => conv.weight.assign(normal(conv.weight.shape)))
    expect(await (await check()).sub(first).abs().amax().item()).toBeGreaterThan(0.1)
    for (const make of [optim.sgd({ lr: 0.5 }), optim.adamW({ lr: 0.5 }), optim.rmsprop({ lr: 0.5 })]) {
      const optimizer = make(conv.parameters())
      const before = await check()
      optimizer.step(grad(conv.forward(x).square().mean(), conv.parameters()))
      expect(await (await check()).sub(before).abs().amax().item()).toBeGreaterThan(0.01)
    }
  })

  it('other sizes and strides of one weight do not mix', async () => {
    const weight = normal([32, 32, 3, 3])
    for (const [n, size, stride] of [
      [1, 7, 1],
      [8, 14, 1],
      [8, 14, 2],
      [1, 7, 1],
    ] as const) {
      const x = last(normal([n, 32, size, size]))
      await close(
        noGrad(() => nn.functional.conv2d(x, weight, { stride })),
        parts(x, weight, { stride }),
      )
    }
  })

  it('gradients are those of the three, also of the residual alone', async () => {
    const leaves = ([[2, 4, 5, 5], [6, 4, 3, 3], [6], [2, 6, 5, 5]] as Shape[]).map(
      (shape) => new Variable(normal(shape)),
    )
    const [leaf, weight, bias, residual] = leaves as [Variable, Variable, Variable, Variable]
    const cotangent = normal([2, 6, 5, 5])
    const options = { padding: 1, bias, residual, relu: true }
    const one = nn.functional.conv2d(last(leaf), weight, options)
    const three = nn.functional.conv2d(last(leaf), weight, { padding: 1, bias }).add(residual).relu()
    const [a, b] = [one, three].map((y) => grad(y.mul(cotangent).sum(), leaves))
    for (const each of leaves) await close(a?.get(each) as Tensor, b?.get(each) as Tensor)
    const [x, still] = noGrad(() => [last(leaf), weight.clone()]) as [Tensor, Tensor]
    const alone = nn.functional.conv2d(x, still, { padding: 1, residual, relu: true })
    await close(grad(alone.sum(), [residual]).get(residual), alone.gt(0).to('float32'))
  })

  it('a thousand calls, of weights that come and go too, keep no memory', async () => {
    const conv = new nn.Conv2d(64, 64, 3, { padding: 1 })
    const x = last(normal([1, 64, 14, 14]))
    const calls = async (count: number): Promise<number> => {
      for (let i = 0; i < count; i++)
        noGrad(() =>
          scope(() => {
            conv.forward(x, { residual: x, relu: true })
            nn.functional.conv2d(x, conv.weight.mul(1), { padding: 1, relu: true })
          }),
        )
      await x.sum().item()
      return process.memoryUsage().rss
    }
    const before = await calls(200)
    // Every one of the second kind keeps 147 KB if its copy stays.
    expect((await calls(1000)) - before).toBeLessThan(40e6)
  })

  it.each([
    ['a residual of another shape', { residual: tensor([1]) }, 'ERR_SHAPE'],
    ['a residual as large as the input of a stride', { stride: 2, residual: normal([2, 5, 3, 3]) }, 'ERR_SHAPE'],
    ['a residual of another dtype', { padding: 1, residual: normal([2, 5, 3, 3]).to('float64') }, 'ERR_DTYPE'],
  ])('%s is refused', (_, options, code) => {
    const [x, weight] = [normal([2, 5, 3, 3]), normal([5, 5, 3, 3])]
    expect(() => nn.functional.conv2d(x, weight, options as nn.functional.Conv2dFunctionOptions)).toThrow(
      expect.objectContaining({ code }),
    )
  })
})
