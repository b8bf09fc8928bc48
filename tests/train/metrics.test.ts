// Metrics: values held to figures made by hand and by formulas over plain arrays, whatever the batches; in fit, in evaluate and alone.
import { data, full, manualSeed, memory, nn, normal, type Tensor, tensor, train } from 'quarterturn'
import { beforeEach, expect, test } from 'vitest'
import { adamW, fit, loader, loss, Net, type Points } from './spiral.js'

beforeEach(() => {
  manualSeed(1)
})

const int = (values: number[] | number[][]) => tensor(values as number[], { dtype: 'int64' })

/** Scores whose largest is at each class. */
const scoresOf = (classes: number[], count: number) =>
  tensor(classes.map((c) => Array.from({ length: count }, (_, i) => (i === c ? 2 : i / 10))))

const targets = [0, 0, 0, 1, 1, 2, 2, 2, 2, 2]
const guesses = [0, 0, 1, 1, 2, 2, 2, 2, 0, 1]
const confusion = [
  [2, 1, 0],
  [0, 1, 1],
  [1, 1, 3],
]

/** Over batches of different sizes, and over one. */
async function both<V extends train.MetricValue>(metric: train.Metric<V>, p: Tensor, t: Tensor): Promise<V> {
  const tally = metric.begin()
  for (const [from, to] of [
    [0, 3],
    [3, 4],
    [4, 10],
  ] as const)
    tally.add(p.slice(0, from, to), t.slice(0, from, to))
  const value = await tally.value()
  expect(await metric.of(p, t)).toEqual(value)
  return value
}

test('accuracy: the share of targets that is named; ignored ones do not count', async () => {
  expect(await both(train.accuracy(), scoresOf(guesses, 3), int(targets))).toBe(0.6)
  expect(await train.accuracy({ ignoreIndex: 2 }).of(scoresOf(guesses, 3), int(targets))).toBe(0.6)
  expect(await train.accuracy({ ignoreIndex: 0 }).of(scoresOf(guesses, 3), int(targets))).toBeCloseTo(4 / 7, 12)
  expect(await train.accuracy().of(scoresOf([0, 1, 1], 3).reshape([1, 3, 3]), int([[0, 1, -100]]))).toBe(1)
  expect(await train.accuracy().of(int(guesses), int(targets))).toBe(0.6)
  expect(await train.accuracy().begin().value()).toBeNaN()
})

test('accuracy of scores in the shape of the target: class 1 above the threshold', async () => {
  const scores = tensor([-1, 0.2, 0.7, 3])
  const labels = tensor([0, 0, 1, 1])
  expect(await train.accuracy().of(scores, labels)).toBe(0.75)
  expect(await train.accuracy({ threshold: 0.5 }).of(scores, labels)).toBe(1)
  expect(await train.accuracy().of(scores, labels.to('bool'))).toBe(0.75)
})

test('topKAccuracy: among the k highest', async () => {
  const scores = tensor([
    [0.1, 0.5, 0.4],
    [0.1, 0.5, 0.4],
    [0.1, 0.5, 0.4],
    [0.9, 0.1, 0.3],
  ])
  const target = int([1, 2, 0, -100])
  const of = (k: number) => train.topKAccuracy(k).of(scores, target)
  expect(await Promise.all([of(1), of(2), of(3)])).toEqual([1 / 3, 2 / 3, 1])
  expect(() => train.topKAccuracy(0)).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  await expect(of(4)).rejects.toMatchObject({ op: 'topk' })
})

test('confusionMatrix: targets by rows, predictions by columns', async () => {
  expect(await both(train.confusionMatrix(), scoresOf(guesses, 3), int(targets))).toEqual(confusion)
  expect(await train.confusionMatrix({ classes: 3 }).of(int(guesses), int(targets))).toEqual(confusion)
  expect(await train.confusionMatrix({ ignoreIndex: 2 }).of(scoresOf(guesses, 3), int(targets))).toEqual([
    [2, 1, 0],
    [0, 1, 1],
    [0, 0, 0],
  ])
  expect(await train.confusionMatrix().of(tensor([-1, 2, 3]), int([0, 0, 1]))).toEqual([
    [1, 1],
    [0, 1],
  ])
})

test('precision, recall and F1 by class, and their averages', async () => {
  const [p, t] = [scoresOf(guesses, 3), int(targets)]
  const precision = [2 / 3, 1 / 3, 3 / 4]
  const recall = [2 / 3, 1 / 2, 3 / 5]
  const f1 = precision.map((each, c) => (2 * each * recall[c]!) / (each + recall[c]!))
  const close = (found: number[], wanted: number[]): void =>
    found.forEach((value, i) => void expect(value).toBeCloseTo(wanted[i]!, 12))
  close(await both(train.precision(), p, t), precision)
  close(await both(train.recall(), p, t), recall)
  close(await both(train.f1(), p, t), f1)
  const mean = (values: number[], weights: number[]) =>
    values.reduce((sum, value, i) => sum + value * weights[i]!, 0) / weights.reduce((a, b) => a + b, 0)
  expect(await train.f1({ average: 'macro' }).of(p, t)).toBeCloseTo(mean(f1, [1, 1, 1]), 12)
  expect(await train.f1({ average: 'weighted' }).of(p, t)).toBeCloseTo(mean(f1, [3, 2, 5]), 12)
  expect(await train.f1({ average: 'micro' }).of(p, t)).toBeCloseTo(0.6, 12)
})

test('a class that is never predicted has 0, one that is nowhere has NaN and counts in no average', async () => {
  const [p, t] = [scoresOf([0, 0, 0], 4), int([0, 0, 1])]
  expect(await train.precision().of(p, t)).toEqual([2 / 3, 0, Number.NaN, Number.NaN])
  expect(await train.recall().of(p, t)).toEqual([1, 0, Number.NaN, Number.NaN])
  expect(await train.f1({ average: 'macro' }).of(p, t)).toBeCloseTo(0.4, 12)
  expect(await train.f1().begin().value()).toEqual([])
})

test('perplexity is that of all targets, not a mean over batches', async () => {
  const logits = normal([10, 5], 0, 3)
  const t = int([0, 1, 2, 3, 4, 0, 1, 2, 3, -100])
  const rows = (await logits.toArray()) as number[][]
  const labels = (await t.toArray()) as number[]
  let sum = 0
  rows.slice(0, 9).forEach((row, i) => {
    sum += Math.log(row.reduce((total, x) => total + Math.exp(x), 0)) - row[labels[i]!]!
  })
  const tally = train.perplexity().begin()
  tally.add(logits.slice(0, 0, 4), t.slice(0, 0, 4))
  tally.add(logits.slice(0, 4), t.slice(0, 4))
  expect((await tally.value()) / Math.exp(sum / 9)).toBeCloseTo(1, 5)
  expect(await train.perplexity().of(full([3, 7], 0), int([1, 2, 3]))).toBeCloseTo(7, 4)
})

test('mae, rmse and r2 over all elements', async () => {
  const y = [3, -0.5, 2, 7, 4, 4.25, 1, 0, -2, 9]
  const guess = [2.5, 0, 2, 8, 4, 4, 1.5, 0.25, -1, 9]
  const [p, t] = [tensor(guess).reshape([10, 1]), tensor(y).reshape([10, 1])]
  const errors = y.map((value, i) => guess[i]! - value)
  const mean = y.reduce((a, b) => a + b) / 10
  const squares = (values: number[]) => values.reduce((sum, value) => sum + value ** 2, 0)
  expect(await both(train.mae(), p, t)).toBeCloseTo(errors.reduce((sum, e) => sum + Math.abs(e), 0) / 10, 12)
  expect(await both(train.rmse(), p, t)).toBeCloseTo(Math.sqrt(squares(errors) / 10), 12)
  const wanted = 1 - squares(errors) / squares(y.map((value) => value - mean))
  expect(await both(train.r2(), p, t)).toBeCloseTo(wanted, 12)
  // float32 values far from 0: the sums are of float64.
  expect(await train.r2().of(p.add(4096), t.add(4096))).toBeCloseTo(wanted, 6)
  expect(await train.r2().of(tensor([1, 2]), tensor([5, 5]))).toBeNaN()
})

test('shapes and classes that do not fit are named', async () => {
  const rejected = async (found: Promise<unknown>, code: string, message: RegExp) =>
    expect(found).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
  await rejected(
    train.accuracy().of(normal([4, 3]), int([0, 1])),
    'ERR_SHAPE',
    /accuracy: for a target \[2\].*\[2, C\]/,
  )
  await rejected(train.accuracy().of(normal([2, 3]), tensor([0, 1])), 'ERR_DTYPE', /int64/)
  await rejected(train.mae().of(normal([4, 1]), normal([4])), 'ERR_SHAPE', /mae.*\[4\]/)
  await rejected(train.f1().of(int([0, 1]), int([0, 1])), 'ERR_ARGUMENT', /classes/)
  await rejected(train.f1().of(scoresOf([0, 1], 2), int([0, 2])), 'ERR_RANGE', /1 targets or predictions.*0 … 1/)
  await rejected(train.confusionMatrix({ classes: 2 }).of(scoresOf([0], 3), int([0])), 'ERR_SHAPE', /3 classes/)
  expect(() => train.f1({ average: 'mean' as never })).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  const tally = train.confusionMatrix().begin()
  tally.add(scoresOf([0], 2), int([0]))
  expect(() => tally.add(scoresOf([0], 3), int([0]))).toThrowError(expect.objectContaining({ code: 'ERR_SHAPE' }))
  tally.dispose()
})

test('a tally frees what it gathered', async () => {
  const [p, t] = [scoresOf(guesses, 3), int(targets)]
  await p.data()
  const before = memory().tensors
  for (const metric of [
    train.accuracy(),
    train.f1(),
    train.topKAccuracy(2),
    train.perplexity(),
  ] as train.Metric<train.MetricValue>[]) {
    const tally = metric.begin()
    for (let i = 0; i < 5; i++) tally.add(p, t)
    expect(memory().tensors).toBe(before + 1)
    await tally.value()
    expect(memory().tensors).toBe(before)
  }
})

const outputs = (model: Net, { x, y }: Points): train.Outputs => {
  const prediction = model.forward(x)
  return { loss: nn.functional.crossEntropy(prediction, y), prediction, target: y }
}

test('in evaluate: metrics compare what the loss returns, else model.forward(x) with y', async () => {
  const model = new Net()
  const measures = { accuracy: train.accuracy(), f1: train.f1(), confusion: train.confusionMatrix() }
  let calls = 0
  const counted = (net: Net, batch: Points) => {
    calls++
    return outputs(net, batch)
  }
  const found = await train.evaluate(model, loader({ batch: 64 }), { loss: counted, ...measures })
  expect(calls).toBe(4)
  const [accuracy, f1, matrix]: [number, number[], number[][]] = [found.accuracy, found.f1, found.confusion]
  expect(accuracy).toBeGreaterThan(0)
  expect(f1.length).toBe(2)
  expect(matrix.flat().reduce((a, b) => a + b)).toBe(200)
  expect((matrix[0]![0]! + matrix[1]![1]!) / 200).toBeCloseTo(accuracy, 12)
  expect(await train.evaluate(model, loader({ batch: 7 }), measures)).toEqual({ accuracy, f1, confusion: matrix })
  const alone = await train.evaluate(model, loader(), { loss })
  expect(alone.loss).toBeCloseTo(found.loss, 6)
})

test('in fit: figures of the validation data by name, and the same metrics serve two runs at once', async () => {
  const metrics = { accuracy: train.accuracy(), f1: train.f1(), rows: (_: Net, { x }: Points) => full([], x.shape[0]!) }
  const options = { loss: outputs, validation: loader({ batch: 64, shuffle: false }), metrics, epochs: 2 }
  const models = [new Net(), new Net()]
  models[1]!.loadStateDict(models[0]!.stateDict())
  const validations = models.map(() => loader({ batch: 64, shuffle: false }))
  const [a, b] = await Promise.all(models.map((model, i) => fit(model, { ...options, validation: validations[i]! })))
  expect(a).toEqual(b)
  expect(Object.keys(a!.epochs[0]!)).toEqual(['epoch', 'loss', 'validationLoss', 'accuracy', 'f1', 'rows'])
  const after = await train.evaluate(models[0]!, options.validation, { accuracy: train.accuracy(), f1: train.f1() })
  expect(a!.epochs[1]).toMatchObject(after)
})

test('metrics that do not know what to compare say how to tell them', async () => {
  const batches = new data.Loader({ words: [[0.5, 1]], tags: [0] }, { batch: 1 })
  const wrong = { code: 'ERR_ARGUMENT', message: expect.stringContaining('{ loss, prediction, target }') }
  await expect(train.evaluate(new Net(), batches, { accuracy: train.accuracy() })).rejects.toMatchObject(wrong)
  const named = (model: Net, { words, tags }: { words: Tensor; tags: Tensor }) => outputs(model, { x: words, y: tags })
  expect(await train.evaluate(new Net(), batches, { loss: named, accuracy: train.accuracy() })).toHaveProperty(
    'accuracy',
  )
  await expect(
    train.fit(new Net(), batches, {
      loss: (model, { words, tags }) => named(model, { words, tags }).loss,
      optimizer: adamW,
      validation: batches,
      metrics: { accuracy: train.accuracy() },
      progress: false,
    }),
  ).rejects.toMatchObject(wrong)
  await expect(train.evaluate(new Net(), loader(), { accuracy: 'accuracy' as never })).rejects.toMatchObject({
    code: 'ERR_ARGUMENT',
    message: 'evaluate: measures.accuracy must be a function or a metric, got accuracy',
  })
})

test('a metric of one’s own: sums, and the figure from them; what throws in it is told apart', async () => {
  const bias = new train.Metric({
    sums: (prediction, target) => prediction.sub(target).sum().reshape([1]),
    figure: ([sum = 0]) => sum,
  })
  expect(await both(bias, full([10], 3), full([10], 1))).toBe(20)
  const failing = new train.Metric({
    sums: () => {
      throw new Error('mine')
    },
    figure: () => 0,
  })
  await expect(train.evaluate(new Net(), loader(), { failing })).rejects.toMatchObject({
    code: 'ERR_CALLBACK',
    message: 'evaluate: failing threw: mine',
  })
  const wrong = new train.Metric({ sums: (() => 3) as never, figure: () => 0 })
  await expect(train.evaluate(new Net(), loader(), { wrong })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
})
