// Laws that every kind of encoder-decoder keeps: padding counts for nothing, decoding is the forward pass, it learns, it comes back from its folder.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { manualSeed, models, noGrad, optim, type Tensor, tensor, text, train } from 'quarterturn'
import { beforeEach, describe, expect, it } from 'vitest'
import { inFolder } from '../saved.js'
import { letters, small, sounds, variants } from './variants.js'

beforeEach(() => void manualSeed(5))

const int64 = (rows: number[][]): Tensor => tensor(rows, { dtype: 'int64' })
const words = ['abca', 'd', 'cb', 'bad', 'aaddb'].map((word) => [...word])

/** Parameters far enough from zero for predictions that are not uniform, and for hypotheses that end. */
function wild(options: Parameters<typeof small>[0]): models.EncoderDecoder {
  const recurrent = typeof (options.cell ?? 'lstm') === 'string' && options.cell !== 'transformer'
  const model = small(options, recurrent ? { initRange: 1 } : {})
  noGrad(() => {
    if (!recurrent)
      for (const [path, parameter] of model.namedParameters())
        if (!path.includes('norm')) parameter.assign(parameter.mul(1.5))
    const { bias } = model.head
    bias?.assign(tensor([0, 3, 0, 0, 0, 0])) // <EOS>
  })
  return model
}

describe.each(variants)('%s', (_, options) => {
  it('gives a sentence in a padded batch what it gives it alone', async () => {
    const model = wild(options()).to('float64')
    const source = int64(['abca', 'db', 'c'].map((word) => [...letters.encode(word), 0, 0, 0].slice(0, 4)))
    const target = int64([
      [2, 3, 1],
      [4, 1, 0],
      [1, 0, 0],
    ])
    const together = (await model.forward(source, target).toArray()) as number[][][]
    for (const [row, word] of ['abca', 'db', 'c'].entries()) {
      const alone = await model.forward(int64([letters.encode(word)]), target.slice(0, row, row + 1)).toArray()
      for (const [t, logits] of (alone as number[][][])[0]!.entries())
        for (const [k, value] of logits.entries()) expect(together[row]![t]![k]).toBeCloseTo(value, 9)
    }
  })

  it('scores what it decodes as the forward pass does', async () => {
    const model = wild(options())
    for (const beam of [1, 3]) {
      const found = await model.decode(words, { beam, maxLength: 24 })
      const ended = found.flatMap((list, i) =>
        list.filter((each) => each.ended).map((each) => ({ each, source: words[i]! })),
      )
      expect(ended.length).toBeGreaterThan(0)
      const scores = await model.score(
        ended.map(({ source }) => source),
        ended.map(({ each }) => each.symbols),
      )
      for (const [i, { each }] of ended.entries()) expect(each.logProbability).toBeCloseTo(scores[i]!, 4)
    }
  })

  it('has the parameters and the sentence vector that sizes counts', async () => {
    const model = small(options())
    const { config } = model
    const sizes = models.EncoderDecoder.sizes({ ...config, source: letters, target: sounds })
    expect(model.parameters().reduce((sum, { size }) => sum + size, 0)).toBe(sizes.parameters)
    const count = (part: { parameters(): { size: number }[] }) =>
      part.parameters().reduce((sum, { size }) => sum + size, 0)
    expect([count(model.encoder), count(model.decoder)]).toEqual([sizes.encoder, sizes.decoder])
    expect(model.sentenceVector(words).shape).toEqual([5, sizes.sentenceVector])
    expect(await model.sentenceVector(words).isFinite().all().item()).toBe(1)
  })

  it('learns to copy', async () => {
    const pairs = ['ab', 'ba', 'abc', 'cab', 'dda', 'b'].map((word) => ({
      source: [...word],
      target: [...word.toUpperCase()],
    }))
    const model = small({ numLayers: 1, ...options() }, { width: 32 })
    const history = await train.fit(model, model.loader(pairs, { batch: 6, seed: 1 }), {
      epochs: 200,
      clipNorm: 1,
      optimizer: optim.adamW({ lr: 1e-2 }),
      seed: 1,
      progress: false,
    })
    expect(history.epochs.at(-1)!.loss).toBeLessThan(0.1)
    const written = await model.decode(pairs.map(({ source }) => source))
    expect(written.map(([best]) => best!.symbols.join(''))).toEqual(pairs.map(({ target }) => target.join('')))
    expect(await model.perplexity(pairs)).toBeLessThan(1.1)
  })

  it('comes back from its folder', async () => {
    const model = wild(options())
    await inFolder(async (folder) => {
      await model.save(folder)
      const { cell } = model.config
      const own = typeof cell === 'object' && typeof cell.alongTime === 'object'
      if (own) await expect(models.EncoderDecoder.load(folder)).rejects.toMatchObject({ code: 'ERR_CHECKPOINT' })
      const loaded = await models.EncoderDecoder.load(folder, own ? { cell } : {})
      expect(loaded.config).toEqual(model.config)
      expect(
        await loaded.score(
          words,
          words.map(() => ['A', 'D']),
        ),
      ).toEqual(
        await model.score(
          words,
          words.map(() => ['A', 'D']),
        ),
      )
    })
  })
})

it('a plain model is saved as models were before there were others', async () => {
  await inFolder(async (folder) => {
    await small({}).save(folder)
    expect(JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'))).toEqual({
      quarterturn: 1,
      kind: 'EncoderDecoder',
      width: 16,
      numLayers: 2,
      dropout: 0,
      reversed: true,
    })
  })
  expect([...small({}).namedParameters().keys()]).toEqual([
    'sourceEmbedding.weight',
    'targetEmbedding.weight',
    ...['encoder', 'decoder'].flatMap((side) =>
      ['l0', 'l1'].flatMap((layer) =>
        ['weight_ih', 'weight_hh', 'bias_ih', 'bias_hh'].map((key) => `${side}.${key}_${layer}`),
      ),
    ),
    'head.weight',
    'head.bias',
  ])
})

it('tied tables are one', async () => {
  const model = new models.EncoderDecoder({ source: letters, target: letters, width: 8, tied: 'all' })
  expect(model.head.weight).toBe(model.sourceEmbedding.weight)
  expect(model.targetEmbedding).toBe(model.sourceEmbedding)
  await inFolder(async (folder) => {
    await model.save(folder)
    const loaded = await models.EncoderDecoder.load(folder)
    expect(loaded.head.weight).toBe(loaded.sourceEmbedding.weight)
    expect(await loaded.perplexity([{ source: ['a'], target: ['b'] }])).toBe(
      await model.perplexity([{ source: ['a'], target: ['b'] }]),
    )
  })
})

it('smooths labels in training alone', async () => {
  const model = small({ labelSmoothing: 0.2 }, { initRange: 1 })
  const plain = small({}).loadStateDict(model.stateDict())
  const batch = { source: int64([letters.encode('abc')]), target: int64([[2, 3, 1, 0]]) }
  const loss = async (each: models.EncoderDecoder) => (await each.loss(batch).item()) as number
  const logp = plain.forward(batch.source, batch.target).logSoftmax(-1)
  const uniform = -((await logp.slice(1, 0, 3).mean().item()) as number)
  expect(await loss(model)).toBeCloseTo(0.8 * (await loss(plain)) + 0.2 * uniform, 5)
  expect(await loss(model.eval())).toBeCloseTo(await loss(plain), 6)
})

it('the loss per sentence is the sum over its symbols', async () => {
  const model = small({})
  const batch = {
    source: int64([
      [2, 3],
      [3, 0],
    ]),
    target: int64([
      [2, 3, 1],
      [1, 0, 0],
    ]),
  }
  const perSymbol = (await model.loss(batch).item()) as number
  expect(await model.loss(batch, { per: 'sentence' }).item()).toBeCloseTo((4 * perSymbol) / 2, 5)
})

it('residual layers after the first add their input', async () => {
  const model = small({ residual: true, reversed: false })
  noGrad(() => {
    for (const [path, parameter] of model.namedParameters())
      if (path.includes('_l1')) parameter.assign(parameter.mul(0))
  })
  // A second layer of zeros writes nothing: what comes out is what the first wrote.
  const one = small({ numLayers: 1, reversed: false })
  one.loadStateDict(new Map([...model.stateDict()].filter(([path]) => !path.includes('_l1'))))
  const [source, target] = [int64([letters.encode('abca')]), int64([[2, 3, 1]])]
  expect(await model.forward(source, target).toArray()).toEqual(await one.forward(source, target).toArray())
})

it('says what it attended to, in the order of the source', async () => {
  for (const options of [
    { attention: 'multiplicative' },
    { attention: 'additive' },
    { cell: 'transformer', reversed: true },
  ] as const) {
    const model = wild(options)
    const [[found], [short]] = (await model.decode([[...'abcad'], ['b']], { maxLength: 4, attention: true })) as [
      [models.Hypothesis],
      [models.Hypothesis],
    ]
    expect(found.attention!.length).toBeGreaterThanOrEqual(found.symbols.length)
    for (const row of found.attention!) {
      expect(row).toHaveLength(5)
      expect(row.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 5)
    }
    for (const row of short.attention!) expect(row).toEqual([1])
    // The same source turned, read forward, is read in the same order: its weights come the other way round.
    const forward = new models.EncoderDecoder({ ...model.config, reversed: false, source: letters, target: sounds })
    forward.loadStateDict(model.stateDict())
    const [[turned]] = (await forward.decode([[...'dacba']], { maxLength: 4, attention: true })) as [
      [models.Hypothesis],
    ]
    expect(turned.symbols).toEqual(found.symbols)
    for (const [t, row] of turned.attention!.entries())
      for (const [s, weight] of row.entries()) expect(found.attention![t]![4 - s]).toBeCloseTo(weight, 5)
  }
})

it('a loader without buckets gives what comes', async () => {
  const pairs = Array.from({ length: 40 }, (_, i) => ({
    source: [...'abcd'.repeat(2)].slice(0, 1 + (i % 8)),
    target: ['A'],
  }))
  const model = small({})
  const padding = async (bucket: boolean) => {
    let [pads, rows] = [0, 0]
    for await (const { source } of model.loader(pairs, { batch: 5, seed: 1, bucket })) {
      pads += Number(await source.eq(text.PAD_ID).to('int64').sum().item())
      rows += source.shape[0] as number
    }
    expect(rows).toBe(40)
    return pads
  }
  expect(await padding(true)).toBe(0)
  expect(await padding(false)).toBeGreaterThan(20)
})
