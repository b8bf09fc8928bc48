// relu(norm(x) + residual) as one operation: the same as its three parts, whatever the layout; statistics move; what it cannot do it says.
import { cat, grad, manualSeed, nn, noGrad, normal, type Tensor, tensor, Variable } from 'quarterturn'
import { beforeEach, describe, expect, it } from 'vitest'

beforeEach(() => manualSeed(3))

/** [N, C, H, W] whose channels lie side by side in memory, as a leaf. */
function images(shape: [number, number, number, number]): { leaf: Variable; x: Tensor } {
  const [n, c, h, w] = shape
  const leaf = new Variable(normal([n, h, w, c], 0.5, 2))
  return { leaf, x: leaf.permute([0, 3, 1, 2]) }
}

async function close(a: Tensor, b: Tensor): Promise<void> {
  const scale = Number(await b.abs().amax().item())
  expect(Number(await a.sub(b).abs().amax().item())).toBeLessThan(1e-5 * Math.max(1, scale))
}

describe('batchNorm with residual and relu', () => {
  it.each([
    [true, true],
    [true, false],
    [false, true],
  ])(
    'relu %s, residual %s: values, gradients and statistics are those of norm, addition and ReLU',
    async (relu, added) => {
      const [{ leaf, x }, other] = [images([4, 19, 5, 6]), images([4, 19, 5, 6])]
      const [weight, bias] = [new Variable(normal([19])), new Variable(normal([19]))]
      const cotangent = normal([4, 19, 5, 6])
      const leaves = [leaf, weight, bias, ...(added ? [other.leaf] : [])]
      const run = (fused: boolean) => {
        const [runningMean, runningVar] = [normal([19]), normal([19]).abs()].map((t) => t.clone()) as [Tensor, Tensor]
        const norm = { weight, bias, runningMean, runningVar, training: true, momentum: 0.3 }
        const residual = added ? other.x : undefined
        let y = nn.functional.batchNorm(x, fused ? { ...norm, relu, ...(residual && { residual }) } : norm)
        if (!fused && residual !== undefined) y = y.add(residual)
        if (!fused && relu) y = y.relu()
        const gradients = grad(y.mul(cotangent).sum(), leaves)
        return [y, runningMean, runningVar, ...leaves.map((of) => gradients.get(of))]
      }
      manualSeed(9)
      const one = run(true)
      manualSeed(9)
      const three = run(false)
      for (const [i, value] of one.entries()) await close(value, three[i] as Tensor)
    },
  )

  it('channels far apart in memory: the same, by libtorch', async () => {
    const { x } = images([3, 7, 4, 4])
    const spread = cat([x], 0)
    const [a, b] = [x, spread].map((each) => nn.functional.batchNorm(each, { training: true, relu: true }))
    await close(a as Tensor, b as Tensor)
  })

  it('in eval mode the running statistics count', async () => {
    const norm = new nn.BatchNorm2d(3).eval()
    const { x } = images([2, 3, 4, 4])
    await close(norm.forward(x, { residual: x, relu: true }), norm.forward(x).add(x).relu())
  })

  it('a layer updates its statistics once, and counts the batch', async () => {
    const norm = new nn.BatchNorm2d(3)
    const { x } = images([2, 3, 4, 4])
    norm.forward(x, { relu: true })
    const mean = x.mean([0, 2, 3])
    await close(norm.runningMean as unknown as Tensor, mean.mul(0.1))
    expect(await norm.numBatchesTracked?.item()).toBe(1)
  })

  it('the gradient of a residual that only is of interest, and of none', async () => {
    const [{ leaf, x }, other] = [images([2, 5, 3, 3]), images([2, 5, 3, 3])]
    const still = noGrad(() => x.clone().permute([0, 2, 3, 1]).clone().permute([0, 3, 1, 2]))
    const y = nn.functional.batchNorm(still, { training: true, relu: true, residual: other.x })
    const shown = y.gt(0).to('float32')
    await close(grad(y.sum(), [other.leaf]).get(other.leaf), shown.permute([0, 2, 3, 1]))
    const alone = nn.functional.batchNorm(x, { training: true, relu: true, residual: noGrad(() => other.x.mul(1)) })
    expect((await grad(alone.sum(), [leaf]).get(leaf).data()).every(Number.isFinite)).toBe(true)
  })

  it('a second derivative is refused where it is one operation', async () => {
    const { leaf, x } = images([2, 5, 3, 3])
    const y = nn.functional.batchNorm(x, { training: true, relu: true })
    const first = grad(y.square().sum(), [leaf], { createGraph: true }).get(leaf)
    await expect(async () => (await grad(first.square().sum(), [leaf]).get(leaf).data()).length).rejects.toThrow(
      /cannot be differentiated again/,
    )
  })

  it('a residual of another shape is refused', () => {
    const { x } = images([2, 5, 3, 3])
    expect(() => nn.functional.batchNorm(x, { training: true, residual: tensor([1]) })).toThrow(
      expect.objectContaining({ code: 'ERR_SHAPE' }),
    )
  })
})

describe('batchNorm of series with a mask', () => {
  it('is the norm of the values that count, in value, gradients and statistics', async () => {
    const x = new Variable(normal([2, 3, 5], 0.5, 2))
    const lengths = [5, 2]
    const mask = tensor([[[1, 1, 1, 1, 1]], [[1, 1, 0, 0, 0]]], { dtype: 'float32' })
    const [masked, plain] = [new nn.BatchNorm1d(3), new nn.BatchNorm1d(3)]
    // [7, 3]: the steps that count, one after another.
    const steps = (t: Tensor): Tensor => cat(lengths.map((n, i) => t.select(0, i).slice(1, 0, n).transpose(0, 1)))
    const weights = normal([7, 3])
    const y = steps(masked.forward(x, { mask, relu: true }))
    const same = plain.forward(steps(x), { relu: true })
    await close(y, same)
    await close(grad(y.mul(weights).sum(), [x]).get(x), grad(same.mul(weights).sum(), [x]).get(x))
    await close(masked.runningMean as unknown as Tensor, plain.runningMean as unknown as Tensor)
    await close(masked.runningVar as unknown as Tensor, plain.runningVar as unknown as Tensor)
    expect(await masked.numBatchesTracked?.item()).toBe(1)
  })

  it('refuses a mask of other sizes', () => {
    const norm = new nn.BatchNorm1d(3)
    for (const shape of [
      [2, 5],
      [2, 1, 4],
      [2, 3, 5],
    ])
      expect(() => norm.forward(normal([2, 3, 5]), { mask: normal(shape) })).toThrow(
        expect.objectContaining({ code: 'ERR_SHAPE' }),
      )
    expect(() => norm.forward(normal([2, 3, 5]), { mask: 1 as never })).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT' }),
    )
  })
})
