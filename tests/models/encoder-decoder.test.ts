// The encoder-decoder: what its batches mean, both searches against searches written out, learning, saving and loading.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { grad, manualSeed, models, noGrad, optim, type Tensor, tensor, text, train } from 'quarterturn'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'

const letters = new text.Vocabulary([...'abcd'])
const sounds = new text.Vocabulary([...'ABCD'])
const small = { source: letters, target: sounds, width: 16, numLayers: 2 }

let model: models.EncoderDecoder
beforeEach(() => {
  manualSeed(3)
  // Far from uniform predictions, so that searches have something to find.
  model = new models.EncoderDecoder({ ...small, initRange: 1 })
})

const int64 = (rows: number[][]): Tensor => tensor(rows, { dtype: 'int64' })

/** log p of every next symbol, given a source and the symbols before it, by the forward pass alone. */
async function nextLogProbabilities(source: string[], before: number[]): Promise<number[]> {
  const target = int64([[...before, text.EOS_ID]]) // row t predicts symbol t from those before it
  const logits = noGrad(() => model.forward(int64([letters.encode(source)]), target))
  return ((await logits.logSoftmax(-1).toArray()) as number[][][])[0]!.at(-1)!
}

/** Beam search written out over arrays, without an early end: the specification. What writes `<EOS>` leaves the beam. */
async function slowBeam(source: string[], beam: number, steps: number): Promise<{ ids: number[]; score: number }[]> {
  const finished: { ids: number[]; score: number }[] = []
  let live = [{ ids: [] as number[], score: 0 }]
  for (let t = 0; t < steps; t++) {
    const next: typeof live = []
    for (const { ids, score } of live) {
      const logp = await nextLogProbabilities(source, ids)
      for (let id = 1; id < sounds.size; id++) next.push({ ids: [...ids, id], score: score + logp[id]! })
    }
    const kept = next.sort((a, b) => b.score - a.score).slice(0, beam)
    finished.push(...kept.filter(({ ids }) => ids.at(-1) === text.EOS_ID))
    live = kept.filter(({ ids }) => ids.at(-1) !== text.EOS_ID)
  }
  return [...finished, ...live].sort((a, b) => b.score - a.score).slice(0, beam)
}

describe('EncoderDecoder', () => {
  it('predicts each symbol from the source and the symbols before it alone', async () => {
    const source = int64([letters.encode('abca')])
    const one = await model.forward(source, int64([[2, 3, 4, 1]])).toArray()
    const other = await model.forward(source, int64([[2, 3, 5, 2]])).toArray()
    const rows = (x: unknown) => (x as number[][][])[0]!
    expect(rows(other).slice(0, 3)).toEqual(rows(one).slice(0, 3)) // they share the first two symbols
    expect(rows(other)[3]).not.toEqual(rows(one)[3])
  })

  it('reads the source from its end, unless told otherwise', async () => {
    const forward = new models.EncoderDecoder({ ...small, reversed: false })
    forward.loadStateDict(model.stateDict())
    const state = await model.encode(int64([letters.encode('abcd')])).state.h1!.toArray()
    expect(await forward.encode(int64([letters.encode('dcba')])).state.h1!.toArray()).toEqual(state)
    expect(await forward.encode(int64([letters.encode('abcd')])).state.h1!.toArray()).not.toEqual(state)
  })

  it('gives each row of a batch what it gets alone', async () => {
    const target = [
      [2, 3, 1],
      [4, 1, 0],
    ]
    const together = (await model
      .forward(int64(['abc', 'dda'].map((w) => letters.encode(w))), int64(target))
      .toArray()) as number[][][]
    const alone = (await model.forward(int64([letters.encode('dda')]), int64([target[1]!])).toArray()) as number[][][]
    for (const [t, row] of alone[0]!.entries())
      for (const [k, value] of row.entries()) expect(together[1]![t]![k]).toBeCloseTo(value, 5)
  })

  it('leaves padding out of the loss', async () => {
    const source = int64([letters.encode('abc')])
    const loss = await model.loss({ source, target: int64([[2, 3, 1]]) }).item()
    expect(await model.loss({ source, target: int64([[2, 3, 1, 0, 0]]) }).item()).toBeCloseTo(loss, 6)
  })

  it('has exactly the parameters of the 2014 system in this size, with torch keys', () => {
    const [V, W, H] = [letters.size, sounds.size, 16]
    const lstms = 2 * 2 * (2 * 4 * H * H + 2 * 4 * H)
    const count = model.parameters().reduce((sum, { size }) => sum + size, 0)
    expect(count).toBe(V * H + W * H + lstms + W * H + W)
    expect([...model.stateDict().keys()]).toContain('encoder.weight_hh_l1')
    expect([...model.stateDict().keys()]).toContain('head.weight')
  })

  it('starts uniform within the range', async () => {
    const fresh = new models.EncoderDecoder({ ...small, width: 32 })
    const bias = Array.from(await fresh.encoder.namedParameters().get('weight_ih_l0')!.data(), Number)
    expect(Math.max(...bias)).toBeLessThanOrEqual(0.08)
    expect(Math.max(...bias)).toBeGreaterThan(0.07)
    expect(Math.min(...bias)).toBeLessThan(-0.07)
  })
})

describe('decode', () => {
  const words = ['a', 'abcd', 'dcb', 'bad', 'ccc'].map((word) => [...word])

  it('greedy: writes the likeliest symbol at each step, like a loop over the forward pass', async () => {
    const found = await model.decode(words, { maxLength: 6 })
    for (const [i, word] of words.entries()) {
      const [slow] = await slowBeam(word, 1, 6)
      expect(found[i]).toHaveLength(1)
      expect(found[i]![0]!.symbols).toEqual(sounds.decode(slow!.ids))
      expect(found[i]![0]!.logProbability).toBeCloseTo(slow!.score, 4)
      expect(found[i]![0]!.ended).toBe(slow!.ids.includes(text.EOS_ID))
    }
  })

  it.each([2, 3, 5])('beam %i: keeps the same hypotheses as a search written out', async (beam) => {
    const found = await model.decode(words, { beam, maxLength: 5 })
    for (const [i, word] of words.entries()) {
      const slow = await slowBeam(word, beam, 5)
      expect(found[i]!.map(({ symbols }) => symbols)).toEqual(slow.map(({ ids }) => sounds.decode(ids)))
      for (const [k, { score }] of slow.entries()) expect(found[i]![k]!.logProbability).toBeCloseTo(score, 4)
    }
  })

  it('beam search finds nothing worse than greedy', async () => {
    const [greedy, beam] = [
      await model.decode(words, { maxLength: 5 }),
      await model.decode(words, { beam: 4, maxLength: 5 }),
    ]
    for (const i of words.keys())
      expect(beam[i]![0]!.logProbability).toBeGreaterThanOrEqual(greedy[i]![0]!.logProbability - 1e-5)
  })

  it('answers in the order of the sources, whatever their lengths', async () => {
    const turned = await model.decode([...words].reverse(), { maxLength: 6 })
    expect(turned.reverse()).toEqual(await model.decode(words, { maxLength: 6 }))
  })

  it('ignores dropout and leaves the mode as it was', async () => {
    const wild = new models.EncoderDecoder({ ...small, dropout: 0.9, initRange: 1 })
    const [first] = await wild.decode(words)
    expect(wild.training).toBe(true)
    expect((await wild.decode(words))[0]).toEqual(first)
    wild.eval()
    expect((await wild.decode(words))[0]).toEqual(first)
    expect(wild.training).toBe(false)
  })

  it.each([
    ['an empty source', [[]], {}, 'ERR_ARGUMENT'],
    ['an unknown symbol', [['é']], {}, 'ERR_ARGUMENT'],
    ['beam 0', [['a']], { beam: 0 }, 'ERR_ARGUMENT'],
    ['a beam wider than the vocabulary', [['a']], { beam: 6 }, 'ERR_ARGUMENT'],
    ['maxLength 0', [['a']], { maxLength: 0 }, 'ERR_ARGUMENT'],
  ])('refuses %s', async (_, sources, options, code) => {
    await expect(model.decode(sources as string[][], options)).rejects.toMatchObject({ code })
  })

  it('sees the weights of its moment while training goes on', async () => {
    const before = await model.decode([[...'abc']], { maxLength: 4 })
    const optimizer = new optim.AdamW(model.parameters(), { lr: 0.05 })
    const batch = { source: int64([letters.encode('abc')]), target: int64([[2, 2, 2, 1]]) }
    for (let i = 0; i < 60; i++) optimizer.step(grad(model.loss(batch), model.parameters()))
    await model.loss(batch).item()
    const after = await model.decode([[...'abc']], { maxLength: 4 })
    expect(after[0]![0]!.symbols).toEqual(['A', 'A', 'A'])
    expect(after).not.toEqual(before)
  })
})

describe('training', () => {
  it('learns to write words in capitals, with fit and its own loader, loss and optimizer', async () => {
    const words = ['ab', 'ba', 'abc', 'cab', 'bca', 'dab', 'add', 'dcba', 'abcd', 'badc']
    const pairs = words.map((word) => ({ source: [...word], target: [...word.toUpperCase()] }))
    const learner = new models.EncoderDecoder({ ...small, width: 32 })
    const loader = learner.loader(pairs, { batch: 4, seed: 1 })
    const history = await train.fit(learner, loader, {
      epochs: 120,
      clipNorm: 5,
      optimizer: optim.adamW({ lr: 1e-2 }),
      seed: 1,
      progress: false,
    })
    expect(history.epochs.at(-1)!.loss).toBeLessThan(0.1)
    const written = await learner.decode(
      pairs.map(({ source }) => source),
      { beam: 2 },
    )
    expect(written.map(([best]) => best!.symbols.join(''))).toEqual(words.map((word) => word.toUpperCase()))
    expect(written.every(([best]) => best!.ended)).toBe(true)
  })

  it('makes batches of near-equal lengths that end in <EOS>', async () => {
    const pairs = Array.from({ length: 64 }, (_, i) => ({
      source: [...'abcd'.repeat(2)].slice(0, 1 + (i % 8)),
      target: ['A'],
    }))
    for await (const { source, target } of model.loader(pairs, { batch: 8, seed: 1 })) {
      expect(await source.eq(text.PAD_ID).any().item()).toBe(0) // 8 of each length: no batch is mixed
      expect(await target.toArray()).toEqual(Array(8).fill([2, text.EOS_ID]))
    }
  })
})

describe('save and load', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'quarterturn-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  it('comes back with its weights, vocabularies and options', async () => {
    const path = join(folder, 'new', 'model')
    await model.save(path)
    const loaded = await models.EncoderDecoder.load(path)
    expect(loaded.config).toEqual(model.config)
    expect(loaded.training).toBe(false)
    expect(loaded.target.symbols).toEqual(sounds.symbols)
    const words = ['abc', 'd'].map((word) => [...word])
    expect(await loaded.decode(words, { beam: 3 })).toEqual(await model.decode(words, { beam: 3 }))
  })

  it('overwrites an older model', async () => {
    const path = join(folder, 'twice')
    await new models.EncoderDecoder({ ...small, width: 8 }).save(path)
    await model.save(path)
    expect((await models.EncoderDecoder.load(path)).config.width).toBe(16)
  })

  it('refuses a folder that is not there', async () => {
    await expect(models.EncoderDecoder.load(join(folder, 'none'))).rejects.toMatchObject({ code: 'ERR_IO' })
  })

  it.each([
    [
      'config.json of another kind',
      'config.json',
      (s: string) => s.replace('EncoderDecoder', 'Forecaster'),
      /kind Forecaster/,
    ],
    ['a vocabulary of another model', 'target.json', (s: string) => s.replace('"A"', '"Z"'), /do not belong together/],
    ['options that were changed', 'config.json', (s: string) => s.replace('16', '32'), /do not belong together/],
    ['a config that is cut off', 'config.json', (s: string) => s.slice(0, 20), /not JSON/],
    ['weights that are cut off', 'model.safetensors', (s: string) => s.slice(0, 900), /./],
  ])('refuses %s', async (_, file, change, message) => {
    const path = join(folder, 'damaged')
    await model.save(path)
    await writeFile(join(path, file), change(await readFile(join(path, file), 'latin1')), 'latin1')
    await expect(models.EncoderDecoder.load(path)).rejects.toMatchObject({
      code: 'ERR_CHECKPOINT',
      message: expect.stringMatching(message),
    })
  })

  it('says where it cannot write', async () => {
    const path = join(folder, 'file')
    await writeFile(path, '')
    await expect(model.save(join(path, 'model'))).rejects.toMatchObject({ code: 'ERR_IO' })
  })
})
