// Whatever is passed to models, text and the readers of files, they give a result or a typed error.
import { data, loadNpz, loadTorch, models, nn, QuarterturnError, saveNpz, tensor, text, zeros } from 'quarterturn'
import { expect, it } from 'vitest'

const SETS = 300

const throwing = {
  get inputs(): never {
    throw new Error('a getter')
  },
  get width(): never {
    throw new Error('a getter')
  },
}

const table = data.Table.of({ x: [1, 2, 3], y: [2, 4, 6], kind: ['a', 'b', 'a'] })
const labelled = [
  { series: [[1], [2]], text: 'a b', label: 'u' },
  { series: [[3]], text: 'c', label: 'v' },
]
const vocabulary = text.Vocabulary.frequent([['a', 'b']])

/** One of each kind of thing that may be passed by mistake, and some that fit. */
const things: unknown[] = [
  ...[undefined, null, Number.NaN, -1, 0, 1, 2 ** 53, 1.5, '', 'x', 'a\0b', true, 10n, Symbol('s')],
  ...[
    [],
    [1],
    [[1]],
    [null],
    [[]],
    ['a'],
    [['a']],
    {},
    throwing,
    new Map(),
    new Date(),
    new Proxy({}, {}),
    () => undefined,
  ],
  ...[tensor([1, 2]), tensor([[1, 2]]), zeros([0]), tensor([[1]], { dtype: 'int64' }), new nn.Linear(2, 2)],
  ...[
    table,
    labelled,
    [{ source: ['a'], target: ['b'] }],
    vocabulary,
    { target: 'y' },
    { target: 'kind', inputs: [1] },
  ],
  { inputs: 1, past: 3, future: 2 },
  { inputs: 1, past: 3, future: 2, width: -1 },
  { inputs: 1, labels: ['u', 'v'] },
  { inputs: 1, labels: ['u', 'v'], moments: null },
  { vocabulary, labels: ['u', 'v'], width: 4 },
  { source: vocabulary, target: vocabulary, width: 4 },
  { columns: [{ name: 'x', kind: 'number', mean: 0, deviation: 1 }], target: { name: 'y', mean: 0, deviation: 1 } },
  { columns: [1], target: 'y' },
  { labels: ['u', 'v'], depth: 8, channels: 1, width: 4 },
  { images: tensor([[[[1]]]]), labels: [0] },
  { length: 3 },
  { data: new Uint8Array(4), shape: [1, 1, 2, 2] },
  { data: new Uint8Array(4), shape: [9] },
  { batch: 0 },
  { batch: 2, seed: 1 },
  { device: 'abacus' },
]

const own = { width: 4 }
/** Every function, and every method of a model that takes something from outside. */
const functions: Record<string, (...args: never[]) => unknown> = {
  loadTorch,
  loadNpz,
  // To a folder that is not there: nothing is written.
  saveNpz: (tensors: never) => saveNpz('/no/such/folder/x.npz', tensors),
}
for (const [name, fn] of Object.entries({ ...text, ...models })) {
  if (typeof fn !== 'function') continue
  if (!/^class/.test(String(fn))) {
    functions[name] = fn as (...args: never[]) => unknown
    continue
  }
  functions[`new ${name}`] = (...args) => new (fn as new (...args: never[]) => unknown)(...args)
  for (const key of ['of', 'frequent', 'load', 'sizes']) {
    const method = (fn as unknown as Record<string, (...args: never[]) => unknown>)[key]
    if (method !== undefined) functions[`${name}.${key}`] = (...args) => method.apply(fn, args)
  }
}
const instances: Record<string, object> = {
  vocabulary,
  forecaster: new models.Forecaster({ inputs: 1, past: 3, future: 2, ...own }),
  series: models.SequenceClassifier.of(labelled, own),
  texts: models.TextClassifier.of(labelled, own),
  language: models.LanguageModel.of('a b', own),
  regressor: models.TabularRegressor.of(table, { target: 'y', ...own }),
  rows: models.TabularClassifier.of(table, { target: 'kind', ...own }),
  residual: new models.ResNet({ labels: ['u', 'v'], depth: 8, channels: 1, ...own }),
  deep: new models.DeepNet({ labels: ['u', 'v'], inputs: 2, depth: 3, ...own }),
  convolutions: models.FCN.of(labelled, own),
  series1d: models.ResNet1d.of(labelled, own),
  pairs: new models.EncoderDecoder({ source: vocabulary, target: vocabulary, ...own, numLayers: 1 }),
  ensemble: new models.Ensemble([
    new models.EncoderDecoder({ source: vocabulary, target: vocabulary, ...own, numLayers: 1, attention: 'additive' }),
  ]),
}
const codec = new text.SymbolCodec(text.letters, vocabulary)
instances.translator = new models.Translator({ source: codec, target: codec, ...own, numLayers: 1 })
for (const [name, model] of Object.entries(instances)) {
  const scores = ['score', 'perplexity', 'rescore', 'sentenceVector', 'forward', 'encode', 'loss']
  const written = ['translate', 'evaluate', ...scores]
  const pairs = ['pairs', 'ensemble', 'translator'].includes(name) ? written : []
  for (const key of [
    'predict',
    'generate',
    'loader',
    'decode',
    ...(['residual', 'deep'].includes(name) ? ['classify', 'forward', 'loss'] : []),
    ...(['convolutions', 'series1d', 'rows', 'regressor'].includes(name) ? ['forward', 'loss'] : []),
    ...pairs,
    ...(name === 'vocabulary' ? ['encode', 'has'] : []),
  ])
    if (key in model) {
      const method = (model as Record<string, (...args: never[]) => unknown>)[key]
      functions[`${name}.${key}`] = (...args) => method?.apply(model, args)
    }
}

it.each(Object.keys(functions))('%s', async (name) => {
  let seed = 1
  const random = (n: number): number => {
    seed = (seed * 48271) % 2147483647
    return seed % n
  }
  let [results, errors] = [0, 0]
  for (let i = 0; i < SETS; i++) {
    const args = Array.from({ length: random(4) }, () => things[random(things.length)])
    try {
      await functions[name]?.(...(args as never[]))
      results++
    } catch (error) {
      if (!(error instanceof QuarterturnError)) throw new Error(`${name}(${args.map(described)})`, { cause: error })
      errors++
    }
  }
  expect(results + errors).toBe(SETS)
})

function described(value: unknown): string {
  try {
    return typeof value === 'object' && value !== null
      ? `${value.constructor.name} ${JSON.stringify(value)}`
      : String(value)
  } catch {
    return 'something odd'
  }
}
