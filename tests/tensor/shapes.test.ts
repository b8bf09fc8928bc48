// The shape rules agree with what the engine really computes, for random shapes: sizes 0 … 4, up to four axes.
import fc from 'fast-check'
import { cat, eye, full, oneHot, ones, stack, Tensor, where, zeros } from 'quarterturn'
import { expect, test } from 'vitest'
import type { OpName } from '../../src/tensor/ops/index.js'
import { type Result, record } from '../../src/tensor/record.js'
import { elements, type Shape } from '../../src/tensor/shape.js'

const runs = { numRuns: 60 }
const size = fc.nat({ max: 4 })
const shapes = (least = 0, most = 4): fc.Arbitrary<number[]> => fc.array(size, { minLength: least, maxLength: most })
const positive = (least = 0, most = 4): fc.Arbitrary<number[]> =>
  fc.array(fc.integer({ min: 1, max: 4 }), { minLength: least, maxLength: most })
const axis = (shape: Shape): fc.Arbitrary<number> => fc.nat({ max: Math.max(0, shape.length - 1) })
const subset = (shape: Shape): fc.Arbitrary<number[]> => fc.subarray(shape.map((_, i) => i))
/** A shape that broadcasts to `shape`: some axes are 1, some leading ones are missing. */
const narrower = (shape: Shape): fc.Arbitrary<number[]> =>
  fc
    .tuple(fc.array(fc.boolean(), { minLength: shape.length, maxLength: shape.length }), fc.nat({ max: shape.length }))
    .map(([ones, missing]) => shape.map((n, i) => (ones[i] ? 1 : n)).slice(missing))

/**
 * The engine's tensor has the shape that the handle says. Reading gives only the number of elements, so each axis is counted by summing over the
 * others; a permutation over the axes fails if their number is another.
 */
async function agrees(y: Tensor): Promise<void> {
  expect((await y.permute(y.shape.map((_, i) => i)).data()).length).toBe(elements(y.shape))
  const lengths = y.shape.map(async (_, i) => {
    const others = y.shape.map((_, k) => k).filter((k) => k !== i)
    const line = others.length === 0 ? y : y.to('float32').sum(others)
    return (await line.data()).length
  })
  expect(await Promise.all(lengths)).toEqual(y.shape)
}

async function allAgree(name: OpName, inputs: readonly (Tensor | undefined)[], attributes: object): Promise<void> {
  for (const result of record(name, inputs, attributes as never)) await agrees(new Tensor(result))
}

function property<T>(name: string, arbitrary: fc.Arbitrary<T>, check: (value: T) => Promise<void>): void {
  test(name, () => fc.assert(fc.asyncProperty(arbitrary, check), runs))
}

property(
  'arithmetic, comparison and where broadcast',
  shapes().chain((shape) => fc.tuple(narrower(shape), narrower(shape), narrower(shape))),
  async ([a, b, c]) => {
    await agrees(zeros(a).add(zeros(b)))
    await agrees(zeros(a).le(zeros(b)))
    await agrees(where(zeros(c).eq(0), zeros(a), zeros(b)))
    await agrees(where(zeros(c).eq(0), 1, zeros(b)))
  },
)

property(
  'expand',
  shapes().chain((shape) => fc.tuple(fc.constant(shape), narrower(shape))),
  async ([shape, from]) => agrees(zeros(from).expand(shape)),
)

property(
  'reshape, flatten, squeeze and unsqueeze',
  shapes(1).chain((shape) => fc.tuple(fc.constant(shape), axis(shape), axis(shape))),
  async ([shape, a, b]) => {
    const x = zeros(shape)
    const flat = x.flatten(Math.min(a, b), Math.max(a, b))
    await agrees(flat)
    await agrees(flat.reshape(shape))
    await agrees(x.unsqueeze(a))
    await agrees(x.unsqueeze(-1 - b))
    await agrees(x.squeeze())
    await agrees(x.squeeze(a))
    if (!shape.includes(0)) await agrees(x.reshape([-1, ...shape.slice(1)]))
  },
)

property(
  'permute, transpose and flip',
  shapes(1).chain((shape) =>
    fc.tuple(
      fc.constant(shape),
      fc.shuffledSubarray(
        shape.map((_, i) => i),
        { minLength: shape.length },
      ),
      axis(shape),
      axis(shape),
      subset(shape),
    ),
  ),
  async ([shape, dims, a, b, flipped]) => {
    const x = zeros(shape)
    await agrees(x.permute(dims))
    await agrees(x.transpose(a, b))
    await agrees(x.flip(flipped))
  },
)

property(
  'slice, select, split and unbind',
  shapes(1).chain((shape) =>
    fc.tuple(
      fc.constant(shape),
      axis(shape),
      fc.integer({ min: -6, max: 6 }),
      fc.integer({ min: -6, max: 6 }),
      fc.integer({ min: 1, max: 3 }),
    ),
  ),
  async ([shape, dim, start, end, step]) => {
    const x = zeros(shape)
    await agrees(x.slice(dim, start, end, step))
    const n = shape[dim] as number
    for (const part of [
      ...x.unbind(dim),
      ...x.split([n, 0], dim),
      ...(n > 0 ? [x.select(dim, -1), ...x.split([1, n - 1], dim)] : []),
    ])
      await agrees(part)
  },
)

property(
  'cat and stack',
  shapes(1).chain((shape) =>
    fc.tuple(
      fc.constant(shape),
      axis(shape),
      fc.array(size, { minLength: 1, maxLength: 3 }),
      fc.nat({ max: shape.length }),
    ),
  ),
  async ([shape, dim, sizes, at]) => {
    await agrees(
      cat(
        sizes.map((n) => zeros(shape.map((old, i) => (i === dim ? n : old)))),
        dim,
      ),
    )
    await agrees(
      stack(
        sizes.map(() => zeros(shape)),
        at,
      ),
    )
  },
)

property(
  'gather and indexSelect',
  positive(1).chain((shape) =>
    fc.tuple(fc.constant(shape), axis(shape), fc.tuple(...shape.map((n) => fc.nat({ max: n }))), size),
  ),
  async ([shape, dim, smaller, n]) => {
    const index = smaller.map((m, i) => (i === dim ? n : m))
    await agrees(zeros(shape).gather(dim, zeros(index, { dtype: 'int64' })))
    await agrees(zeros(shape).indexSelect(dim, zeros([n], { dtype: 'int64' })))
    for (const op of ['scatter', 'scatterAdd'] as const)
      await allAgree(op, [zeros(shape), zeros(index, { dtype: 'int64' }), zeros(index)], { dim })
    await agrees(oneHot(zeros(index, { dtype: 'uint8' }), n + 1))
  },
)

property(
  'roll, triangles, padding with a constant and selections',
  shapes(1).chain((shape) =>
    fc.tuple(
      fc.constant(shape),
      subset(shape),
      fc.integer({ min: -3, max: 3 }),
      fc.array(fc.tuple(size, size), { minLength: 1, maxLength: shape.length }),
    ),
  ),
  async ([shape, dims, by, sides]) => {
    const x = zeros(shape)
    await agrees(
      x.roll(
        dims.map(() => by),
        dims,
      ),
    )
    if (shape.length > 1) {
      await agrees(x.tril(by))
      await agrees(x.triu(by))
    }
    await allAgree('pad', [x], { padding: sides.flat(), mode: 'constant', value: 0 })
    await allAgree('nonzero', [x], {})
    await allAgree('maskedSelect', [x, x.eq(0)], {})
    await allAgree('unique', [x], {})
    const pairs = sides.slice(0, 3).map(([a, b]) => [a % 2, b % 2])
    const image = [...shape.slice(0, 2), ...pairs.map(() => 2)]
    if (image.length > pairs.length)
      for (const mode of ['reflect', 'replicate', 'circular'])
        if (!image.includes(0)) await allAgree('pad', [zeros(image)], { padding: pairs.flat(), mode, value: 0 })
  },
)

property(
  'reductions',
  shapes().chain((shape) => fc.tuple(fc.constant(shape), subset(shape), fc.boolean())),
  async ([shape, dims, keepDim]) => {
    for (const op of ['sum', 'mean', 'any', 'all', 'logSumExp'] as const)
      await allAgree(op, [zeros(shape)], { dims, keepDim })
    await allAgree('variance', [zeros(shape)], { dims, keepDim, correction: 0 })
    await allAgree('norm', [zeros(shape)], { dims, keepDim, p: 2 })
    const extremes = shape.map((n) => Math.max(1, n))
    for (const op of ['amax', 'amin'] as const) await allAgree(op, [zeros(extremes)], { dims, keepDim })
    await agrees(zeros(shape).prod(undefined, { keepDim }))
  },
)

property(
  'functions along one axis',
  positive(1).chain((shape) => fc.tuple(fc.constant(shape), axis(shape), fc.boolean(), fc.nat({ max: 4 }))),
  async ([shape, dim, keepDim, k]) => {
    const x = zeros(shape)
    for (const y of [
      x.prod(dim, { keepDim }),
      x.argmax(dim, { keepDim }),
      x.argmin(dim, { keepDim }),
      x.cumsum(dim),
      x.cumprod(dim),
      x.softmax(dim),
      x.logSoftmax(dim),
    ]) {
      await agrees(y)
    }
    const top = x.topk(Math.min(k, shape[dim] as number), { dim })
    const sorted = x.sort({ dim })
    for (const y of [top.values, top.indices, sorted.values, sorted.indices]) await agrees(y)
  },
)

property(
  'matmul and linear',
  fc
    .tuple(shapes(0, 2), size, size, size, fc.boolean(), fc.boolean())
    .chain(([batch, m, k, n, left, right]) =>
      fc
        .tuple(narrower(batch), narrower(batch))
        .map(([a, b]) => ({ a: left ? [...a, m, k] : [k], b: right ? [...b, k, n] : [k], n, batch })),
    ),
  async ({ a, b, n, batch }) => {
    await agrees(zeros(a).matmul(zeros(b)))
    const width = a.at(-1) as number
    await allAgree('linear', [zeros([...batch, width]), zeros([n, width]), zeros([n])], {})
  },
)

property('einsum and decompositions', fc.tuple(shapes(0, 2), size, size, size), async ([batch, m, n, k]) => {
  await allAgree('einsum', [zeros([m, n]), zeros([n, k])], { equation: 'ij,jk->ki' })
  await allAgree('einsum', [zeros([m, n, n])], { equation: 'ijj' })
  const matrix = ones([...batch, m, n])
  await allAgree('qr', [matrix], {})
  await allAgree('svd', [matrix], {})
  const square = eye(n).expand([...batch, n, n])
  await allAgree('solve', [square, ones([...batch, n, k])], {})
})

property('attention', fc.tuple(shapes(0, 2), size, positive(2, 2), positive(1, 1)), async ([batch, l, [s, e], [v]]) => {
  const [query, key, value] = [
    zeros([...batch, l, e as number]),
    zeros([...batch, s as number, e as number]),
    zeros([...batch, s as number, v as number]),
  ]
  const rest = { scale: 1, keyLow: 0, keyHigh: 0, offset: 0 }
  for (const mask of [undefined, ones([s as number]).eq(1), zeros([l, s as number])])
    for (const causal of [false, true])
      for (const p of [0, 0.5])
        await allAgree('scaledDotProductAttention', [query, key, value, mask], { ...rest, causal, p })
})

const pair = (least: number, most: number): fc.Arbitrary<[number, number]> =>
  fc.tuple(fc.integer({ min: least, max: most }), fc.integer({ min: least, max: most }))

property(
  'convolution, pooling and resampling',
  fc.record({
    b: size,
    c: fc.integer({ min: 1, max: 2 }),
    o: fc.integer({ min: 1, max: 2 }),
    image: pair(5, 9),
    kernel: pair(1, 3),
    stride: pair(1, 3),
    padding: pair(0, 2),
    dilation: pair(1, 2),
    groups: fc.integer({ min: 1, max: 2 }),
    size: pair(1, 6),
  }),
  async ({ b, c, o, image, kernel, stride, padding, dilation, groups, size }) => {
    const x = zeros([b, c * groups, ...image])
    await allAgree('conv2d', [x, zeros([o * groups, c, ...kernel]), undefined], { stride, padding, dilation, groups })
    // libtorch pads by at most half of the window.
    const window = {
      kernel,
      stride,
      padding: padding.map((p, i) => Math.min(p, Math.floor((kernel[i] as number) / 2))),
    }
    await allAgree('maxPool2d', [x], window)
    await allAgree('avgPool2d', [x], window)
    await allAgree('adaptiveAvgPool2d', [x], { size })
    await allAgree('adaptiveMaxPool2d', [x], { size })
    for (const mode of ['nearest', 'bilinear', 'bicubic'])
      await allAgree('interpolate', [x], { mode, alignCorners: false, size, scales: [] })
    const first = <T>([head]: readonly T[]): [T] => [head as T]
    const line = zeros([b, c * groups, image[0]])
    const narrow = { stride: first(stride), padding: first(padding), dilation: first(dilation), groups }
    await allAgree('conv1d', [line, zeros([o * groups, c, kernel[0]]), zeros([o * groups])], narrow)
    for (const op of ['maxPool1d', 'avgPool1d'] as const)
      await allAgree(op, [line], { kernel: first(kernel), stride: first(stride), padding: first(window.padding) })
    for (const op of ['adaptiveAvgPool1d', 'adaptiveMaxPool1d'] as const)
      await allAgree(op, [line], { size: first(size) })
    for (const mode of ['nearest', 'linear'])
      await allAgree('interpolate', [line], { mode, alignCorners: false, size: first(size), scales: [] })
    const outputPadding = stride.map((step, i) => Math.max(step, dilation[i] as number) - 1)
    const back = { stride, padding, dilation, groups, outputPadding }
    await allAgree('convTranspose2d', [x, zeros([c * groups, o, ...kernel]), zeros([o * groups])], back)
    await allAgree('convTranspose1d', [line, zeros([c * groups, o, kernel[0]])], {
      ...narrow,
      outputPadding: first(outputPadding),
    })
  },
)

property(
  'embedding, normalisation and losses',
  fc.tuple(shapes(0, 3), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 })),
  async ([shape, n, d]) => {
    const index = zeros(shape, { dtype: 'int64' })
    await allAgree('embedding', [zeros([n, d]), index], { paddingIndex: -1 })
    await allAgree('layerNorm', [zeros([...shape, n, d]), zeros([n, d]), undefined], { shape: [n, d], eps: 1e-5 })
    await allAgree('rmsNorm', [zeros([...shape, n, d]), zeros([n, d])], { shape: [n, d], eps: Number.NaN })
    await allAgree('groupNorm', [zeros([n, 2 * d, ...shape]), zeros([2 * d])], { groups: 2, eps: 1e-5 })
    const [x, weight] = [zeros([...shape, d]), ones([d])]
    for (const reduction of ['none', 'mean', 'sum']) {
      await allAgree('crossEntropy', [x, index, weight], { ignoreIndex: -100, reduction, labelSmoothing: 0 })
      await allAgree('nllLoss', [x, index], { ignoreIndex: -100, reduction })
      for (const op of ['mseLoss', 'l1Loss', 'huberLoss', 'smoothL1Loss', 'klDiv'] as const)
        await allAgree(op, [x, x], { reduction, delta: 1, beta: 1, logTarget: false })
      await allAgree('binaryCrossEntropyWithLogits', [x, x, undefined, weight], { reduction })
      await allAgree('tripletMarginLoss', [x, x, x], { reduction, margin: 1, p: 2, eps: 1e-6, swap: true })
      const rows = zeros([n, d])
      await allAgree('cosineEmbeddingLoss', [rows, rows, ones([n])], { reduction, margin: 0 })
      const lengths = ones([n], { dtype: 'int64' })
      const target = ones([n, 1], { dtype: 'int64' })
      await allAgree('ctcLoss', [zeros([n, d, d + 1]), target, lengths, lengths], {
        reduction,
        blank: 0,
        zeroInfinity: true,
      })
    }
  },
)

property(
  'the recurrences',
  fc.tuple(size, size, fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 }), fc.boolean()),
  async ([b, t, i, h, reverse]) => {
    const x = zeros([b, t, i])
    const state = zeros([b, h])
    const weights = (gates: number): Tensor[] => [zeros([gates * h, i]), zeros([gates * h, h])]
    await allAgree('lstm', [x, state, state, ...weights(4)], { reverse })
    await allAgree('gru', [x, state, ...weights(3)], { reverse })
    await allAgree('rnn', [x, state, ...weights(1)], { reverse, nonlinearity: 'tanh' })
    const lengths = full([b], t, { dtype: 'int64' })
    await allAgree('gru', [x, state, ...weights(3), undefined, undefined, lengths], { reverse, recompute: 2 })
    await allAgree('gatedScan', [x, x, zeros([b, i]), lengths], { reverse })
    await allAgree('minGRU', [zeros([b, t, 2 * h]), state], { reverse, positive: true })
    await allAgree('minLSTM', [zeros([b, t, 3 * h]), undefined, lengths], { reverse, positive: false })
    const diagonal = { reverse, newton: t % 2 === 0 }
    await allAgree('paraGRU', [zeros([b, t, 3 * h]), zeros([3, h]), state, lengths], diagonal)
    await allAgree('paraLSTM', [zeros([b, t, 3 * h]), zeros([5, h]), undefined, state], diagonal)
    await allAgree('sLSTM', [zeros([b, t, 8 * h]), zeros([8 * h, h]), zeros([4, b, 2 * h]), lengths], { reverse })
    const [keys, values, gates] = [zeros([b, t, 2, i]), zeros([b, t, 2, h]), zeros([b, t, 2])]
    await allAgree('deltaRule', [keys, keys, values, gates, gates, zeros([b, 2, i, h]), lengths], { reverse })
  },
)

property('residual blocks', fc.tuple(shapes(1), size, size), async ([shape, layers, hidden]) => {
  const x = zeros(shape)
  const width = shape.at(-1) as number
  await allAgree('highway', [x, zeros([layers, 2 * width, width])], { nonlinearity: 'relu' })
  await allAgree('residualNorm', [x, x, zeros([width])], { rms: hidden % 2 === 0, eps: 1e-5 })
  const weights = [zeros([hidden, width]), undefined, zeros([width, hidden])]
  await allAgree('residualMLP', [x, undefined, undefined, ...weights], { eps: 1e-5 })
})

property('making', shapes(), async (shape) => {
  await agrees(zeros(shape))
  await agrees(full(shape, 1, { dtype: 'bool' }))
})

test.each([[[3, 2]], [[6]], [[1, 2, 3]], [[2, 2]]])(
  'the comparison itself notices that %j is not [2, 3]',
  async (shape) => {
    const x = zeros([2, 3])
    const [wrong] = record('foreachScale', [x], { factor: 1, metas: [{ shape, dtype: 'float32', device: 'cpu' }] })
    await expect(agrees(new Tensor(wrong as Result))).rejects.toThrow()
  },
)
