// Layers other than the recurrent ones: values against plain numbers, running statistics, modes, what they refuse.
import { grad, manualSeed, memory, nn, normal, type Tensor, tensor, uniform, Variable, zeros } from 'quarterturn'
import { beforeEach, describe, expect, test } from 'vitest'
import { expectClose } from '../tolerances.js'

beforeEach(() => void manualSeed(4))
const f64 = { dtype: 'float64' } as const
const mean = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0) / xs.length
const numbers = async (x: Tensor): Promise<number[]> => Array.from((await x.data()) as Float64Array)
const code = (name: string) => expect.objectContaining({ code: name })

describe('Linear', () => {
  test('is x·Wᵀ + b over the last axis', async () => {
    const layer = new nn.Linear(2, 3, f64)
    layer.loadStateDict({
      weight: tensor(
        [
          [1, 2],
          [3, 4],
          [5, 6],
        ],
        f64,
      ),
      bias: tensor([10, 20, 30], f64),
    })
    expect(await layer.forward(tensor([[[1, -1]]], f64)).toArray()).toEqual([[[9, 19, 29]]])
  })

  test('without bias has one parameter', () => {
    expect([...new nn.Linear(2, 3, { bias: false }).namedParameters().keys()]).toEqual(['weight'])
  })

  test.each([
    [-1, 2],
    [2, 1.5],
    [Number.NaN, 2],
    ['3', 2],
  ])('refuses sizes %s, %s', (a, b) => {
    expect(() => new nn.Linear(a as number, b as number)).toThrow(code('ERR_ARGUMENT'))
  })
})

describe('Embedding', () => {
  test('the padding row starts as zeros and takes no gradient, counted from the end as well', async () => {
    for (const paddingIndex of [1, -3]) {
      const layer = new nn.Embedding(4, 3, { paddingIndex, ...f64 })
      const rows = (await layer.weight.toArray()) as number[][]
      expect(rows[1]).toEqual([0, 0, 0])
      expect(rows.flat().filter((x) => x === 0).length).toBe(3)
      const index = tensor(
        [
          [1, 2],
          [2, 0],
        ],
        { dtype: 'int64' },
      )
      const gradient = grad(layer.forward(index).sum(), [layer.weight]).get(layer.weight)
      expect(await gradient.toArray()).toEqual([
        [1, 1, 1],
        [0, 0, 0],
        [2, 2, 2],
        [0, 0, 0],
      ])
    }
  })

  test('refuses float indices at once, and indices outside while running', async () => {
    const layer = new nn.Embedding(4, 3)
    expect(() => layer.forward(zeros([2]))).toThrow(code('ERR_DTYPE'))
    await expect(layer.forward(tensor([4], { dtype: 'int64' })).data()).rejects.toMatchObject({ code: 'ERR_RANGE' })
    expect(() => new nn.Embedding(4, 3, { paddingIndex: 4 })).toThrow(code('ERR_ARGUMENT'))
  })
})

describe('LayerNorm', () => {
  test('normalises each position, then scales and shifts', async () => {
    const layer = new nn.LayerNorm(3, { eps: 0, ...f64 })
    layer.loadStateDict({ weight: tensor([1, 2, 3], f64), bias: tensor([0, 0, 1], f64) })
    const s = Math.sqrt(1.5)
    expectClose(
      await numbers(
        layer.forward(
          tensor(
            [
              [1, 2, 3],
              [40, 20, 30],
            ],
            f64,
          ),
        ),
      ),
      [-s, 0, 3 * s + 1, s, -2 * s, 1],
      'float64',
      'layerNorm',
    )
  })

  test('over two axes, and without parameters', async () => {
    const layer = new nn.LayerNorm([2, 2], { affine: false, ...f64 })
    expect(layer.parameters()).toEqual([])
    const y = layer.forward(normal([3, 2, 2], 5, 2, f64))
    expectClose(await numbers(y.mean([1, 2])), [0, 0, 0], 'float64', 'mean')
    expect([...new nn.LayerNorm(3, { bias: false }).namedParameters().keys()]).toEqual(['weight'])
  })
})

describe('BatchNorm', () => {
  test('in training uses the batch and moves the running statistics, unbiased; in eval it uses them', async () => {
    const layer = new nn.BatchNorm1d(2, { momentum: 0.25, eps: 0, ...f64 })
    const columns = [
      [1, 2, 6],
      [10, 30, 50],
    ] as const
    const x = tensor(
      [0, 1, 2].map((i) => columns.map((column) => column[i] as number)),
      f64,
    )
    const biased = columns.map((column) => mean(column.map((v) => (v - mean(column)) ** 2)))
    const y = await numbers(layer.forward(x))
    expectClose(
      y,
      [0, 1, 2].flatMap((i) =>
        columns.map((column, c) => ((column[i] as number) - mean(column)) / Math.sqrt(biased[c] as number)),
      ),
      'float64',
      'training',
    )
    const means = columns.map((column) => 0.25 * mean(column))
    const variances = biased.map((v) => 0.75 + (0.25 * v * 3) / 2)
    const dict = layer.stateDict()
    expect([...dict.keys()]).toEqual(['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'])
    expectClose(await numbers(dict.get('running_mean') as Tensor), means, 'float64', 'running mean')
    expectClose(await numbers(dict.get('running_var') as Tensor), variances, 'float64', 'running variance')
    expect(await (dict.get('num_batches_tracked') as Tensor).item()).toBe(1)
    layer.eval()
    expectClose(
      await numbers(layer.forward(tensor([[3, 4]], f64))),
      [3, 4].map((v, c) => (v - (means[c] as number)) / Math.sqrt(variances[c] as number)),
      'float64',
      'eval',
    )
    expect(await layer.numBatchesTracked?.item()).toBe(1)
  })

  test('of images is that of all their points; of [B, C, T] too', async () => {
    const [flat, image, series] = [new nn.BatchNorm1d(3, f64), new nn.BatchNorm2d(3, f64), new nn.BatchNorm1d(3, f64)]
    const x = normal([2, 3, 4, 5], 1, 2, f64)
    const expected = await numbers(flat.forward(x.permute([0, 2, 3, 1]).reshape([40, 3])))
    expectClose(await numbers(image.forward(x).permute([0, 2, 3, 1])), expected, 'float64', 'image')
    expectClose(await numbers(series.forward(x.reshape([2, 3, 20])).permute([0, 2, 1])), expected, 'float64', 'series')
    expectClose(
      await numbers(image.runningVar as Tensor),
      await numbers(flat.runningVar as Tensor),
      'float64',
      'variance',
    )
  })

  test('without running statistics the batch is used in eval mode too', async () => {
    const layer = new nn.BatchNorm1d(2, { trackRunningStats: false, affine: false, ...f64 })
    expect(layer.stateDict().size).toBe(0)
    const x = normal([4, 2], 3, 1, f64)
    const trained = await numbers(layer.forward(x))
    expectClose(await numbers(layer.eval().forward(x)), trained, 'float64', 'eval')
  })

  test('refuses other shapes, and one value per channel in training', () => {
    expect(() => new nn.BatchNorm1d(2).forward(zeros([2, 2, 2, 2]))).toThrow(
      'batchNorm: input must be [B, C] or [B, C, T], got [2, 2, 2, 2]',
    )
    expect(() => new nn.BatchNorm2d(2).forward(zeros([2, 2]))).toThrow(code('ERR_SHAPE'))
    expect(() => new nn.BatchNorm1d(2).forward(zeros([4, 3]))).toThrow(code('ERR_SHAPE'))
    expect(() => new nn.BatchNorm1d(2).forward(zeros([1, 2]))).toThrow(code('ERR_SHAPE'))
    expect(new nn.BatchNorm1d(2).eval().forward(zeros([1, 2])).shape).toEqual([1, 2])
    expect(() => new nn.BatchNorm1d(2, { momentum: 2 })).toThrow(code('ERR_ARGUMENT'))
  })
})

describe('Dropout', () => {
  test('drops the share p and scales the rest; in eval mode it is the identity', async () => {
    const layer = new nn.Dropout(0.25)
    const kept = await numbers(layer.forward(tensor(new Float32Array(10_000).fill(3))))
    expect(new Set(kept)).toEqual(new Set([0, 4]))
    // Five standard deviations of a binomial.
    expect(Math.abs(kept.filter((x) => x === 0).length - 2_500)).toBeLessThan(217)
    const x = zeros([2])
    expect(layer.eval().forward(x)).toBe(x)
    expect(() => new nn.Dropout(1.5)).toThrow(code('ERR_ARGUMENT'))
  })
})

/** Convolution by its definition. */
function convolved(
  x: number[][][][],
  w: number[][][][],
  b: number[],
  o: { stride: number[]; padding: number[]; dilation: number[]; groups: number },
): number[] {
  const [H, W] = [x[0]?.[0]?.length ?? 0, x[0]?.[0]?.[0]?.length ?? 0]
  const [kh, kw] = [w[0]?.[0]?.length ?? 0, w[0]?.[0]?.[0]?.length ?? 0]
  const size = (n: number, k: number, a: 0 | 1): number =>
    Math.floor((n + 2 * (o.padding[a] ?? 0) - (o.dilation[a] ?? 1) * (k - 1) - 1) / (o.stride[a] ?? 1)) + 1
  const out: number[] = []
  for (const image of x) {
    for (const [channel, filter] of w.entries()) {
      const first = Math.floor((channel * o.groups) / w.length) * filter.length
      for (let i = 0; i < size(H, kh, 0); i++) {
        for (let j = 0; j < size(W, kw, 1); j++) {
          let sum = b[channel] ?? 0
          for (const [c, plane] of filter.entries())
            for (const [u, row] of plane.entries())
              for (const [v, weight] of row.entries()) {
                const [y, z] = [
                  i * (o.stride[0] ?? 1) + u * (o.dilation[0] ?? 1) - (o.padding[0] ?? 0),
                  j * (o.stride[1] ?? 1) + v * (o.dilation[1] ?? 1) - (o.padding[1] ?? 0),
                ]
                sum += weight * (image[first + c]?.[y]?.[z] ?? 0)
              }
          out.push(sum)
        }
      }
    }
  }
  return out
}

describe('Conv2d', () => {
  test.each([
    { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 },
    { stride: [2, 1], padding: [1, 2], dilation: [1, 2], groups: 1 },
    { stride: [1, 2], padding: [0, 1], dilation: [2, 1], groups: 2 },
    { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 4 },
  ])('is its definition: %j', async (options) => {
    const layer = new nn.Conv2d(4, 8, [3, 2], { ...f64, ...(options as object) })
    const x = normal([2, 4, 6, 7], 0, 1, f64)
    const y = layer.forward(x)
    const [xs, ws, bs] = await Promise.all([x.toArray(), layer.weight.toArray(), layer.bias?.toArray()])
    expectClose(
      await numbers(y),
      convolved(xs as number[][][][], ws as number[][][][], bs as number[], options),
      'float64',
      'conv2d',
    )
  })

  test('refuses groups that do not divide, other channels, and images below the kernel', () => {
    expect(() => new nn.Conv2d(4, 6, 3, { groups: 4 })).toThrow(code('ERR_ARGUMENT'))
    expect(() => new nn.Conv2d(4, 6, 3, { stride: 0 })).toThrow(code('ERR_ARGUMENT'))
    expect(() => new nn.Conv2d(4, 6, 3).forward(zeros([1, 3, 8, 8]))).toThrow(
      'conv2d: input must be [B, C=4, H, W], got [1, 3, 8, 8]',
    )
    expect(() => new nn.Conv2d(4, 6, 3).forward(zeros([1, 4, 2, 8]))).toThrow(code('ERR_SHAPE'))
  })
})

describe('pooling', () => {
  const x = tensor([
    [
      [
        [1, 2, 3, 4],
        [5, 6, 7, 8],
        [9, 10, 11, 12],
        [-13, -14, -15, -16],
      ],
    ],
  ])

  test('takes the largest value or the mean of each window', async () => {
    expect(await new nn.MaxPool2d(2).forward(x).toArray()).toEqual([
      [
        [
          [6, 8],
          [10, 12],
        ],
      ],
    ])
    expect(await new nn.AvgPool2d(2).forward(x).toArray()).toEqual([
      [
        [
          [3.5, 5.5],
          [-2, -2],
        ],
      ],
    ])
    expect(await new nn.MaxPool2d([3, 1], { stride: [1, 2] }).forward(x).toArray()).toEqual([
      [
        [
          [9, 11],
          [9, 11],
        ],
      ],
    ])
  })

  test('padding never is the largest value, and counts as zeros in a mean', async () => {
    const low = tensor([
      [
        [
          [-1, -2],
          [-3, -4],
        ],
      ],
    ])
    expect(await new nn.MaxPool2d(2, { padding: 1 }).forward(low).toArray()).toEqual([
      [
        [
          [-1, -2],
          [-3, -4],
        ],
      ],
    ])
    expect(await new nn.AvgPool2d(2, { padding: 1 }).forward(low).toArray()).toEqual([
      [
        [
          [-0.25, -0.5],
          [-0.75, -1],
        ],
      ],
    ])
    expect(() => new nn.MaxPool2d(2, { padding: 2 }).forward(low)).toThrow(code('ERR_ARGUMENT'))
  })

  test('adaptive: rows ⌊i·H/h⌋ … ⌈(i+1)·H/h⌉ − 1', async () => {
    expect(await new nn.AdaptiveAvgPool2d([3, 1]).forward(x).toArray()).toEqual([[[[4.5], [8.5], [-2]]]])
    expect(await new nn.AdaptiveAvgPool2d(1).forward(x).toArray()).toEqual([[[[1.25]]]])
  })
})

test('activations compute their formulas', async () => {
  const points = [-3, -1, -0.1, 0, 0.5, 2]
  const x = tensor(points, f64)
  const total = points.reduce((sum, v) => sum + Math.exp(v), 0)
  const cdf = [
    0.0013498980316300933, 0.15865525393145707, 0.460172162722971, 0.5, 0.6914624612740131, 0.9772498680518208,
  ]
  const tanhGelu = (v: number): number => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)))
  const cases: [nn.Layer, (v: number, i: number) => number][] = [
    [new nn.ReLU(), (v) => Math.max(v, 0)],
    [new nn.LeakyReLU(0.2), (v) => (v > 0 ? v : 0.2 * v)],
    [new nn.GELU(), (v, i) => v * (cdf[i] as number)],
    [new nn.GELU({ approximate: true }), tanhGelu],
    [new nn.SiLU(), (v) => v / (1 + Math.exp(-v))],
    [new nn.Softplus(), (v) => Math.log1p(Math.exp(v))],
    [new nn.Sigmoid(), (v) => 1 / (1 + Math.exp(-v))],
    [new nn.Tanh(), Math.tanh],
    [new nn.Softmax(), (v) => Math.exp(v) / total],
    [new nn.LogSoftmax(), (v) => v - Math.log(total)],
    [new nn.Identity(), (v) => v],
    [new nn.ELU(0.5), (v) => (v > 0 ? v : 0.5 * Math.expm1(v))],
    [new nn.SELU(), (v) => 1.0507009873554805 * (v > 0 ? v : 1.6732632423543772 * Math.expm1(v))],
    [new nn.CELU(2), (v) => (v > 0 ? v : 2 * Math.expm1(v / 2))],
    [new nn.Mish(), (v) => v * Math.tanh(Math.log1p(Math.exp(v)))],
    [new nn.ReLU6(), (v) => Math.min(Math.max(v, 0), 6)],
    [new nn.Hardtanh({ low: -0.5, high: 1 }), (v) => Math.min(Math.max(v, -0.5), 1)],
    [new nn.Hardsigmoid(), (v) => Math.min(Math.max(v / 6 + 0.5, 0), 1)],
    [new nn.Hardswish(), (v) => v * Math.min(Math.max(v / 6 + 0.5, 0), 1)],
    [new nn.LogSigmoid(), (v) => -Math.log1p(Math.exp(-v))],
    [new nn.Softsign(), (v) => v / (1 + Math.abs(v))],
    [new nn.PReLU(1, f64), (v) => (v > 0 ? v : 0.25 * v)],
  ]
  for (const [layer, formula] of cases)
    expectClose(await numbers(layer.forward(x)), points.map(formula), 'float64', layer.constructor.name)
})

test('activations refuse weights and sizes that do not fit, and stay finite far out', async () => {
  expect(() => new nn.PReLU(3).forward(zeros([2, 4]))).toThrow(code('ERR_SHAPE'))
  expect(() => new nn.GLU().forward(zeros([2, 3]))).toThrow(code('ERR_SHAPE'))
  expect(new nn.PReLU(3).forward(zeros([2, 3])).shape).toEqual([2, 3])
  const x = new Variable(tensor([-1e4, 1e4], f64))
  for (const layer of [new nn.ELU(), new nn.SELU(), new nn.CELU(), new nn.Mish(), new nn.LogSigmoid()]) {
    const y = layer.forward(x)
    const [value, gradient] = [await numbers(y), await numbers(grad(y.sum(), [x]).get(x))]
    expect([...value, ...gradient].every(Number.isFinite), layer.constructor.name).toBe(true)
  }
})

test('what is no tensor, no size and no layer is refused with its code', () => {
  const wrong = [undefined, null, 'x', 3, {}, []] as unknown as Tensor[]
  const layers = [new nn.Linear(2, 2), new nn.Mish(), new nn.GLU(), new nn.Conv2d(2, 2, 1), new nn.RMSNorm(2)]
  const more = [new nn.MultiheadAttention(2, 1), new nn.SinusoidalPositions(2), new nn.LearnedPositions(2, 2)]
  for (const layer of [...layers, ...more])
    for (const x of wrong) expect(() => layer.forward(x), layer.constructor.name).toThrow(code('ERR_ARGUMENT'))
  expect(() => nn.functional.rotary(3 as never)).toThrow(code('ERR_ARGUMENT'))
  expect(() => nn.weightNorm({} as never)).toThrow(code('ERR_ARGUMENT'))
  expect(() => new nn.RMSNorm(null as never)).toThrow(code('ERR_ARGUMENT'))
  expect(() => new nn.Conv2d(2, 2, {} as never)).toThrow(code('ERR_ARGUMENT'))
  expect(() => new nn.GroupNorm(3, 4)).toThrow('groups must be a divisor of 4 channels, got 3')
  expect(() => new nn.ConvTranspose1d(4, 4, 2, { groups: 3 })).toThrow(code('ERR_ARGUMENT'))
})

test('Flatten joins the axes named, by default all but the batch', () => {
  const x = zeros([2, 3, 4, 5])
  expect(new nn.Flatten().forward(x).shape).toEqual([2, 60])
  expect(new nn.Flatten({ startDim: 0, endDim: 1 }).forward(x).shape).toEqual([6, 4, 5])
  expect(() => new nn.Flatten({ startDim: 4 }).forward(x)).toThrow(code('ERR_SHAPE'))
})

describe('Sequential', () => {
  test('runs its layers in order and is array-like', async () => {
    const layers = [new nn.Linear(2, 3), new nn.Tanh(), new nn.Linear(3, 1)]
    const net = new nn.Sequential(...layers)
    expect([net.length, net[0], net.at(-1), ...net]).toEqual([3, layers[0], layers[2], ...layers])
    expect([...net.stateDict().keys()]).toEqual(['0.weight', '0.bias', '2.weight', '2.bias'])
    const x = normal([4, 2])
    expect(await net.forward(x).toArray()).toEqual(
      await layers.reduce((h: Tensor, layer) => layer.forward(h), x).toArray(),
    )
  })

  test('frees what lies between its layers', () => {
    const net = new nn.Sequential(new nn.Linear(2, 3), new nn.Tanh(), new nn.ReLU(), new nn.Linear(3, 1))
    const x = zeros([4, 2])
    const before = memory().tensors
    const y = net.forward(x)
    expect(memory().tensors).toBe(before + 1)
    expect(y.isDisposed).toBe(false)
  })

  test('names the layer whose result is no tensor, and refuses what is no module', () => {
    const net = new nn.Sequential(new nn.Linear(2, 2), new nn.LSTM(2, 2) as never)
    expect(() => net.forward(zeros([1, 1, 2]))).toThrow('Sequential: layer 1 (LSTM) must return a tensor')
    expect(() => new nn.Sequential(3 as never)).toThrow(code('ERR_ARGUMENT'))
  })
})

describe('losses', () => {
  const { functional: F } = nn

  test('mean, sum and none', async () => {
    const [x, y] = [tensor([1, -2, 4], f64), tensor([0, 0, 2], f64)]
    expect(await F.mseLoss(x, y, { reduction: 'none' }).toArray()).toEqual([1, 4, 4])
    expect(await F.mseLoss(x, y).item()).toBe(3)
    expect(await F.l1Loss(x, y, { reduction: 'sum' }).item()).toBe(5)
    const bce = [1, -2, 4].map((v, i) => {
      const t = [0, 1, 0.5][i] as number
      return -t * Math.log(1 / (1 + Math.exp(-v))) - (1 - t) * Math.log(1 - 1 / (1 + Math.exp(-v)))
    })
    expectClose(
      [await F.binaryCrossEntropyWithLogits(x, tensor([0, 1, 0.5], f64)).item()],
      [mean(bce)],
      'float64',
      'bce',
    )
    expect(
      await F.binaryCrossEntropyWithLogits(tensor([-1000, 1000], f64), tensor([1, 0], f64), {
        reduction: 'none',
      }).toArray(),
    ).toEqual([1000, 1000])
  })

  test('cross entropy: class axis last, ignored targets, smoothing', async () => {
    const logits = uniform([2, 3, 4], -2, 2, f64)
    const target = [
      [0, 3, -100],
      [1, -100, 2],
    ]
    const rows = (await logits.toArray()) as number[][][]
    const logp = rows.map((row) =>
      row.map((z) => z.map((v) => v - Math.log(z.reduce((sum, w) => sum + Math.exp(w), 0)))),
    )
    const each = target.flatMap((row, b) =>
      row.flatMap((c, t) =>
        c < 0 ? [] : [{ nll: -(logp[b]?.[t]?.[c] as number), even: -mean(logp[b]?.[t] as number[]) }],
      ),
    )
    const y = tensor(target, { dtype: 'int64' })
    expectClose([await F.crossEntropy(logits, y).item()], [mean(each.map(({ nll }) => nll))], 'float64', 'mean')
    expectClose(
      [await F.crossEntropy(logits, y, { labelSmoothing: 0.1 }).item()],
      [mean(each.map(({ nll, even }) => 0.9 * nll + 0.1 * even))],
      'float64',
      'smoothed',
    )
    expect(F.crossEntropy(logits, y, { reduction: 'none' }).shape).toEqual([2, 3])
  })

  test('shapes that would broadcast are refused', () => {
    expect(() => F.mseLoss(zeros([4, 1]), zeros([4]))).toThrow('mseLoss: target must be [4, 1], got [4]')
    expect(() => F.crossEntropy(zeros([2, 3]), zeros([2, 3], { dtype: 'int64' }))).toThrow(code('ERR_SHAPE'))
    expect(() => F.mseLoss(zeros([2]), zeros([2]), { reduction: 'avg' as never })).toThrow(code('ERR_ARGUMENT'))
  })
})
