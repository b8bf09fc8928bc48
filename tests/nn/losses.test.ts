// Losses as functions: what they add to the operations, against their formulas; mistakes.
import { full, grad, nn, ones, type Tensor, tensor, uniform, Variable, zeros } from 'quarterturn'
import { describe, expect, test } from 'vitest'
import { expectClose } from '../tolerances.js'

const F = nn.functional
const f64 = { dtype: 'float64' } as const
const i64 = { dtype: 'int64' } as const
const close = async (x: Tensor, expected: number[], what: string): Promise<void> =>
  expectClose((await x.data()) as Float64Array, expected, 'float64', what)

test('huber is smoothL1 times its width, and both meet the square and the line', async () => {
  const d = tensor([-3, -0.5, 0.2, 2], f64)
  const none = { reduction: 'none' } as const
  await close(F.huberLoss(d, zeros([4], f64), { delta: 2, ...none }), [4, 0.125, 0.02, 2], 'huber')
  await close(F.smoothL1Loss(d, zeros([4], f64), { beta: 2, ...none }), [2, 0.0625, 0.01, 1], 'smooth')
  await close(F.smoothL1Loss(d, zeros([4], f64), { beta: 0, ...none }), [3, 0.5, 0.2, 2], 'without width')
})

test('klDiv by rows: the sum over the first axis', async () => {
  const [x, target] = [uniform([4, 3], -2, 0, f64), uniform([4, 3], 0.1, 1, f64)]
  const [sum, rows] = [F.klDiv(x, target, { reduction: 'sum' }), F.klDiv(x, target, { reduction: 'batchMean' })]
  await close(rows, [(await sum.item()) / 4], 'batchMean')
  await close(F.klDiv(x, target.log(), { reduction: 'sum', logTarget: true }), [await sum.item()], 'of logarithms')
})

test('weights of classes: the mean is weighted', async () => {
  const logits = uniform([3, 2], -1, 1, f64)
  const target = tensor([0, 1, 1], i64)
  const weight = tensor([2, 0.5], f64)
  const each = (await F.crossEntropy(logits, target, { reduction: 'none' }).data()) as Float64Array
  const expected = (2 * (each[0] as number) + 0.5 * (each[1] as number) + 0.5 * (each[2] as number)) / 3
  await close(F.crossEntropy(logits, target, { weight }), [expected], 'cross entropy')
  await close(F.nllLoss(logits.logSoftmax(-1), target, { weight }), [expected], 'nll')
})

test('cross entropy with probabilities: one-hot ones are classes', async () => {
  const logits = uniform([2, 3, 4], -1, 1, f64)
  const classes = tensor(
    [
      [0, 3, 1],
      [2, 2, 0],
    ],
    i64,
  )
  const expected = (await F.crossEntropy(logits, classes, { reduction: 'none' }).flatten().data()) as Float64Array
  const spread = F.oneHot(classes, 4).to('float64')
  await close(F.crossEntropy(logits, spread, { reduction: 'none' }).flatten(), [...expected], 'one-hot')
  expect(() => F.crossEntropy(logits, spread.slice(-1, 1))).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
})

// From 32,768 logits on float32 has a kernel of its own, float64 always libtorch's.
test.each([
  ['mean', 0, -100],
  ['sum', 0.1, 3],
  ['none', 0.1, -100],
] as const)(
  'cross entropy of many logits, %s, smoothing %d: values, gradients and their gradients are those of float64',
  async (reduction, labelSmoothing, ignoreIndex) => {
    const [rows, classes] = [70, 500]
    const x = uniform([7, rows / 7, classes], -4, 4)
    const target = tensor(
      Array.from({ length: rows }, (_, row) => (row % 5 === 2 ? ignoreIndex : (row * 131) % classes)),
      i64,
    ).reshape([7, rows / 7])
    const seen = async (logits: Variable): Promise<Float64Array[]> => {
      const loss = F.crossEntropy(logits, target, { reduction, labelSmoothing, ignoreIndex })
      const first = grad(loss.square().sum(), [logits], { createGraph: true }).get(logits)
      const second = grad(first.square().sum(), [logits]).get(logits)
      const again = grad(F.crossEntropy(logits, target, { reduction, labelSmoothing, ignoreIndex }).sum(), [
        logits,
      ]).get(logits)
      const all = [loss, first, second, again]
      return Promise.all(all.map(async (each) => (await each.to('float64').data()) as Float64Array))
    }
    const [got, want] = [await seen(new Variable(x)), await seen(new Variable(x.to('float64')))]
    for (const [i, what] of ['loss', 'gradient', 'second gradient', 'gradient by the kernel'].entries()) {
      const largest = Math.max(...(want[i] as Float64Array).map(Math.abs))
      const scaled = (values: Float64Array | undefined): number[] =>
        [...(values as Float64Array)].map((v) => v / largest)
      expectClose(scaled(got[i]), scaled(want[i]), 'float32', what)
    }
  },
)

test('cross entropy of many logits: a class out of bounds is an error of its own, and all rows ignored give NaN', async () => {
  const logits = zeros([128, 256])
  await expect(F.crossEntropy(logits, full([128], 256, i64)).item()).rejects.toMatchObject({ code: 'ERR_RANGE' })
  expect(await F.crossEntropy(logits, full([128], 9, i64), { ignoreIndex: 9 }).item()).toBeNaN()
})

test('targets may be bool or whole numbers', async () => {
  const x = tensor([0.3, -2], f64)
  const [bool, whole, float] = [tensor([true, false]), tensor([1, 0], { dtype: 'uint8' }), tensor([1, 0], f64)]
  for (const loss of [F.binaryCrossEntropyWithLogits, F.mseLoss, F.l1Loss, F.huberLoss, F.smoothL1Loss]) {
    const expected = await loss(x, float).item()
    await close(loss(x, bool), [expected], 'bool')
    await close(loss(x, whole), [expected], 'uint8')
  }
})

test('posWeight multiplies the positive part', async () => {
  const options = { posWeight: tensor([3], f64), reduction: 'none' } as const
  const loss = F.binaryCrossEntropyWithLogits(tensor([[0], [0]], f64), tensor([[1], [0]], f64), options)
  await close(loss, [3 * Math.LN2, Math.LN2], 'bce')
})

test('ctc: every alignment counts, lengths cut, impossible targets give infinity or 0', async () => {
  // Two steps, three classes, even odds: 'a' is aligned as a·, ·a and aa.
  const x = zeros([1, 2, 3], f64).sub(Math.log(3))
  const a = tensor([[1]], i64)
  await close(F.ctcLoss(x, a), [-Math.log(3 / 9)], 'all steps')
  await close(F.ctcLoss(x, a, { inputLengths: [1] }), [Math.log(3)], 'one step')
  await close(F.ctcLoss(x, tensor([[1, 2]], i64), { targetLengths: [1] }), [-Math.log(3 / 9)], 'one label')
  const long = tensor([[1, 1]], i64)
  await close(F.ctcLoss(x, long, { reduction: 'sum' }), [Infinity], 'too long')
  await close(F.ctcLoss(x, long, { reduction: 'sum', zeroInfinity: true }), [0], 'too long, as zero')
})

test('ctc: the gradient through logSoftmax is that of the logits', async () => {
  const start = uniform([2, 4, 3], -1, 1, f64)
  const target = tensor(
    [
      [1, 2],
      [2, 2],
    ],
    i64,
  )
  const loss = (logits: Tensor): Tensor => F.ctcLoss(logits.logSoftmax(-1), target, { reduction: 'sum' })
  const v = new Variable(start)
  const slope = grad(loss(v), [v]).get(v)
  const along = uniform([2, 4, 3], -1, 1, f64)
  const h = 1e-5
  const [up, down] = [await loss(start.add(along.mul(h))).item(), await loss(start.sub(along.mul(h))).item()]
  expect(await slope.mul(along).sum().item()).toBeCloseTo((up - down) / (2 * h), 7)
})

test('cosine and triplet: near pairs cost nothing, far ones what is missing', async () => {
  const [x, y] = [
    tensor(
      [
        [1, 0],
        [1, 0],
      ],
      f64,
    ),
    tensor(
      [
        [2, 0],
        [0, 3],
      ],
      f64,
    ),
  ]
  await close(F.cosineEmbeddingLoss(x, y, tensor([1, 1], i64), { reduction: 'none' }), [0, 1], 'alike')
  const margin = { margin: 0.2, reduction: 'none' } as const
  await close(F.cosineEmbeddingLoss(x, y, tensor([-1, -1], i64), margin), [0.8, 0], 'unlike')
  const near = tensor([[0, 0]], f64)
  await close(F.tripletMarginLoss(near, near, tensor([[0.25, 0]], f64), { eps: 0 }), [0.75], 'triplet')
})

describe('mistakes throw at the call', () => {
  const x = zeros([2, 3])
  const target = zeros([2], i64)
  test.each<[string, () => unknown, string]>([
    ['a weight of other classes', () => F.crossEntropy(x, target, { weight: ones([2]) }), 'ERR_SHAPE'],
    ['a weight of another dtype', () => F.crossEntropy(x, target, { weight: ones([3], f64) }), 'ERR_DTYPE'],
    ['classes that are floats', () => F.nllLoss(x, zeros([2])), 'ERR_DTYPE'],
    ['a target of another float', () => F.mseLoss(x, zeros([2, 3], f64)), 'ERR_DTYPE'],
    [
      'a posWeight that does not broadcast',
      () => F.binaryCrossEntropyWithLogits(x, x, { posWeight: ones([2]) }),
      'ERR_SHAPE',
    ],
    ['a width of zero', () => F.huberLoss(x, x, { delta: 0 }), 'ERR_ARGUMENT'],
    ['a mean of rows without rows', () => F.klDiv(zeros([]), zeros([]), { reduction: 'batchMean' }), 'ERR_ARGUMENT'],
    ['ctc without a batch', () => F.ctcLoss(x, zeros([2, 1], i64)), 'ERR_SHAPE'],
    [
      'ctc with lengths of another batch',
      () => F.ctcLoss(zeros([2, 4, 3]), zeros([2, 1], i64), { inputLengths: [1] }),
      'ERR_SHAPE',
    ],
    [
      'ctc with a blank beyond the classes',
      () => F.ctcLoss(zeros([2, 4, 3]), zeros([2, 1], i64), { blank: 3 }),
      'ERR_SHAPE',
    ],
    ['cosine of vectors', () => F.cosineEmbeddingLoss(zeros([3]), zeros([3]), ones([])), 'ERR_SHAPE'],
    ['triplets that differ', () => F.tripletMarginLoss(x, x, zeros([2, 4])), 'ERR_SHAPE'],
    ['a negative margin', () => F.tripletMarginLoss(x, x, x, { margin: -1 }), 'ERR_ARGUMENT'],
  ])('%s', (_, call, code) => {
    expect(call).toThrowError(expect.objectContaining({ code }))
  })
})
