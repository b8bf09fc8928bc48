// The translator: texts through codecs and models; what it makes of texts that are empty, too long or unknown; its folder; training.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { data, manualSeed, models, optim, text, train } from 'quarterturn'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { inFolder } from './saved.js'

const pairs = [
  { source: 'the house is small', target: 'la maison est petite' },
  { source: 'the sea is near', target: 'la mer est proche' },
  { source: 'a small house', target: 'une petite maison' },
  { source: 'the king sees the sea', target: 'le roi voit la mer' },
]
const sources = pairs.map(({ source }) => source)

/** Words with `<UNK>`, far from uniform predictions. */
let translator: models.Translator
const make = (options: Partial<models.EncoderDecoderOptions> = {}): Promise<models.Translator> =>
  models.Translator.of(pairs, { unit: 'word', width: 16, numLayers: 1, initRange: 1, ...options })
beforeEach(async () => {
  manualSeed(4)
  translator = await make({ attention: 'multiplicative' })
})

describe('translate', () => {
  it('gives what the model decodes from the symbols, as text', async () => {
    const { model, source, target } = translator
    const symbols = source.tokenize('the small sea')
    const [found] = await model.decode([symbols], { beam: 4, lengthPenalty: 0.6 })
    const translation = await translator.translate('the small sea', { beam: 4, lengthPenalty: 0.6 })
    const expected = found!.map((each) => ({ ...each, text: target.detokenize(each.symbols) }))
    expect(translation).toEqual({ ...expected[0], alternatives: expected, source: symbols, coverage: 1 })
  })

  it('answers many texts in their order, each as it is answered alone, the empty ones among them by nothing', async () => {
    const texts = ['the sea', '', 'a small house is near the sea', ' \t', 'king', 'the house']
    const together = await translator.translate(texts, { beam: 2 })
    const alone = await Promise.all(texts.map((each) => translator.translate(each, { beam: 2 })))
    expect(together.map((each) => each.text)).toEqual(alone.map((each) => each.text))
    for (const row of [1, 3])
      expect(together[row]).toMatchObject({
        text: '',
        symbols: [],
        logProbability: 0,
        ended: true,
        alternatives: [{ text: '' }],
      })
    expect(await translator.translate([])).toEqual([])
  })

  it('decodes thousands of texts in batches of bounded size, with turns of the event loop between them', async () => {
    const few = translator.translate(sources, { maxLength: 4 })
    const many = Array.from({ length: 3000 }, (_, i) => sources[i % 4]!)
    let turns = 0
    const ticking = setInterval(() => turns++, 0)
    const found = await translator.translate(many, { maxLength: 4 })
    clearInterval(ticking)
    const expected = (await few).map((each) => each.text)
    expect(found.map((each) => each.text)).toEqual(many.map((_, i) => expected[i % 4]))
    expect(turns).toBeGreaterThan(5)
  })

  it('tells of many texts between turns of the event loop, of each once', async () => {
    const { source } = translator
    const coverage = source.coverage.bind(source)
    let [calls, before, most] = [0, 0, 0]
    Object.assign(source, {
      coverage: (line: string) => {
        calls++
        return coverage(line)
      },
    })
    const ticking = setInterval(() => {
      most = Math.max(most, calls - before)
      before = calls
    }, 0)
    await translator.translate(Array(1000).fill(' '))
    clearInterval(ticking)
    expect(calls).toBe(1000)
    expect(most).toBeLessThan(1000)
  })

  it('the translation of nothing is a new one each time', async () => {
    const first = await translator.translate('', { attention: true })
    expect(first.attention).toEqual([])
    first.symbols.push('mine')
    expect((await translator.translate('')).symbols).toEqual([])
  })

  it('decodes fewer texts together where they are long, so that no batch fills the memory', async () => {
    const codec = text.SymbolCodec.of(['abc'], text.letters)
    const model = new models.EncoderDecoder({
      source: codec.vocabulary,
      target: codec.vocabulary,
      width: 4,
      numLayers: 1,
    })
    const problem = model.problem.bind(model)
    const shapes: (readonly number[])[] = []
    model.problem = (source, ...rest) => {
      shapes.push(source.shape)
      return problem(source, ...rest)
    }
    const texts = Array.from({ length: 300 }, (_, i) => 'abc'.repeat(i < 200 ? 2 : 500))
    const found = await new models.Translator({ source: codec, target: codec, model }).translate(texts, {
      beam: 2,
      maxLength: 2,
    })
    expect(found).toHaveLength(300)
    expect(shapes.reduce((sum, [rows = 0]) => sum + rows, 0)).toBe(300)
    for (const [rows = 0, symbols = 0] of shapes) expect(2 * rows * symbols).toBeLessThanOrEqual(2 ** 16)
    expect(shapes.at(-1)![0]).toBeGreaterThan(150) // the short ones go together
  })

  it('begins as it is told to, one beginning for all or one for each', async () => {
    for (const { text } of await translator.translate(sources, { prefix: 'une mer' })) expect(text).toMatch(/^une mer/)
    const [a, b] = await translator.translate(['the sea', 'the king'], { prefix: ['la', 'le roi'], beam: 3 })
    expect([a!.text, b!.text]).toEqual([expect.stringMatching(/^la/), expect.stringMatching(/^le roi/)])
    await expect(translator.translate('the sea', { prefix: 'un navire' })).rejects.toMatchObject({
      code: 'ERR_ARGUMENT',
      message: 'translate: prefix must be of symbols that the model knows, got "un"',
    })
    await expect(translator.translate(sources, { prefix: ['la'] })).rejects.toThrow(
      /a text, or one for each of 4, got 1/,
    )
  })

  it('tells what each symbol attended to, by name', async () => {
    const { source, symbols, attention, alternatives } = await translator.translate('the sea is near', {
      beam: 2,
      attention: true,
    })
    expect(source).toEqual(['the', 'sea', 'is', 'near'])
    expect(attention).toHaveLength(symbols.length)
    for (const row of alternatives.flatMap((each) => each.attention!)) {
      expect(row).toHaveLength(4)
      expect(row.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 5)
    }
  })

  it('draws the same with the same seed', async () => {
    const drawn = () => translator.translate('the sea', { beam: 3, sample: { temperature: 2, seed: 5 } })
    const first = await drawn()
    expect(first.alternatives).toHaveLength(3)
    expect(await drawn()).toEqual(first)
  })

  it('goes through an ensemble', async () => {
    const { source, target } = translator
    const both = new models.Ensemble([
      translator.model as models.EncoderDecoder,
      (await make()).model as models.EncoderDecoder,
    ])
    const together = new models.Translator({ source, target, model: both })
    const [expected] = await both.decode([source.tokenize('the sea')], { beam: 2 })
    expect((await together.translate('the sea', { beam: 2 })).symbols).toEqual(expected![0]!.symbols)
    expect(() => together.loss({} as models.PairBatch)).toThrow(/model must be an EncoderDecoder to be trained/)
  })
})

describe('texts that do not fit', () => {
  it('words that are unknown are read as <UNK>, and coverage says so', async () => {
    const odd = await translator.translate('東京 привет')
    expect(odd).toMatchObject({ coverage: 0, source: ['東京', 'привет'] })
    const other = await translator.translate('σήμερα ελλάδα')
    expect(other.logProbability).toBe(odd.logProbability) // two unknown words are two unknown words
    expect((await translator.translate('the 東京')).coverage).toBe(0.5)
  })

  it('byte pairs read every script', async () => {
    const bytes = await models.Translator.of(pairs, { vocabularySize: 300, width: 16, numLayers: 1, initRange: 1 })
    expect((await bytes.translate('東京')).coverage).toBe(1)
    const [a, b] = await Promise.all(['東京', '大阪'].map((each) => bytes.translate(each)))
    expect(a!.logProbability).not.toBe(b!.logProbability)
  })

  it('without <UNK> the symbol that is unknown is named, and where it is', async () => {
    const codec = text.SymbolCodec.of(['abc'], text.letters)
    const letters = new models.Translator({ source: codec, target: codec, width: 8, numLayers: 1 })
    await expect(letters.translate(['ab', 'aéb'])).rejects.toMatchObject({
      code: 'ERR_ARGUMENT',
      message: 'translate: "é" in text 1 is not one of the 3 symbols that the model knows',
    })
    expect(() => letters.loader([{ source: 'a', target: 'x' }])).toThrow(/"x" in the target of pair 0 is not one of/)
  })

  it('a text over the limit is refused with its length, before anything is decoded', async () => {
    const limited = await make({ maxSource: 4 })
    const error = { code: 'ERR_RANGE', message: 'translate: text 1 must have at most 4 symbols, got 5' }
    await expect(limited.translate(['the sea', 'the king sees the sea'])).rejects.toMatchObject(error)
    await expect(limited.translate('the king sees the sea')).rejects.toThrow(
      'the text must have at most 4 symbols, got 5',
    )
    expect(() => limited.loader(pairs)).toThrow('the source of pair 3 must have at most 4 symbols, got 5')
  })

  it('symbols with a meaning of their own are no words', async () => {
    const codec = text.SymbolCodec.frequent(['a b'], text.spaced)
    const spaced = new models.Translator({ source: codec, target: codec, width: 8, numLayers: 1 })
    for (const symbol of ['<PAD>', '<EOS>'])
      await expect(spaced.translate(`a ${symbol} b`)).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
    expect((await spaced.translate('a <UNK> b')).coverage).toBeCloseTo(2 / 3)
    expect((await translator.translate('<EOS> <PAD>')).source.length).toBeGreaterThan(2) // marks and words
  })

  it('a beam wider than the vocabulary is refused', async () => {
    const widest = translator.target.size - 1
    await expect(translator.translate('the sea', { beam: widest + 1 })).rejects.toMatchObject({
      code: 'ERR_ARGUMENT',
      message: `translate: beam must be a whole number within 1 … ${widest}, got ${widest + 1}`,
    })
    await expect(translator.translate('the sea', { beam: widest })).resolves.toBeDefined()
  })

  it('half a surrogate pair is a character that is unknown, not a crash', async () => {
    expect((await translator.translate('the \ud800 sea')).source).toContain('\ufffd')
  })

  it('an empty source is no pair to learn from', () => {
    const odd = [...pairs, { source: ' ', target: 'rien' }]
    expect(() => translator.loader(odd)).toThrow('the source of pair 4 must be a text of at least one symbol, got none')
  })
})

describe('an aborted translation', () => {
  it('is a typed error, and the next one is as before', async () => {
    const before = await translator.translate('the sea', { beam: 3 })
    const weights = [...translator.stateDict()]
    const controller = new AbortController()
    const running = translator.translate(sources, {
      beam: 8,
      maxLength: 20_000,
      prefix: 'la',
      signal: controller.signal,
    })
    setTimeout(() => controller.abort(new Error('the client went away')), 30)
    await expect(running).rejects.toMatchObject({ code: 'ERR_ABORTED', cause: { message: 'the client went away' } })
    await expect(translator.translate('the sea', { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'ERR_ABORTED',
    })
    expect(await translator.translate('the sea', { beam: 3 })).toEqual(before)
    const after = translator.stateDict()
    for (const [name, value] of weights) expect(await after.get(name)!.data()).toEqual(await value.data())
  })

  it('between two batches the others are not begun', async () => {
    const controller = new AbortController()
    const many = Array.from({ length: 20_000 }, () => 'the king sees the sea')
    const begun = performance.now() // all of them would take minutes
    const running = translator.translate(many, { beam: 8, maxLength: 200, prefix: 'la', signal: controller.signal })
    setTimeout(() => controller.abort(), 20)
    await expect(running).rejects.toMatchObject({ code: 'ERR_ABORTED' })
    expect(performance.now() - begun).toBeLessThan(30_000)
  })
})

describe('a vocabulary that is not the model’s', () => {
  it('is refused where the translator is made, with the first symbol that differs', () => {
    const { source, target, model } = translator
    const other = text.SymbolCodec.frequent(['la maison'], new text.WordTokenizer())
    expect(() => new models.Translator({ source: other, target, model })).toThrow(
      /the source codec must be that of the model, which has "the" as symbol 3, got one that has "la" as symbol 3/,
    )
    const longer = new text.SymbolCodec(
      new text.WordTokenizer(),
      new text.Vocabulary([...target.vocabulary.toJSON(), 'zèbre']),
    )
    expect(() => new models.Translator({ source, target: longer, model })).toThrow(
      `the target codec must be that of the model, which has ${target.size} symbols, got one that has ${target.size + 1} symbols`,
    )
    expect(() => new models.Translator({ source, target, model, width: 8 })).toThrow(/width must be left out/)
  })

  it('is refused where it is loaded', () =>
    inFolder(async (folder) => {
      await translator.save(folder)
      const file = join(folder, 'target.json')
      const json = JSON.parse(await readFile(file, 'utf8')) as text.SymbolCodecJSON
      await writeFile(file, JSON.stringify({ ...json, symbols: json.symbols.toReversed() }))
      await expect(models.Translator.load(folder)).rejects.toMatchObject({
        code: 'ERR_CHECKPOINT',
        message: expect.stringContaining('do not belong together'),
      })
    }))
})

describe('its folder', () => {
  it.each<[string, () => Promise<models.Translator>]>([
    ['words with attention', async () => translator],
    [
      'one codec of byte pairs',
      () => models.Translator.of(pairs, { width: 16, numLayers: 1, tied: 'all', initRange: 1 }),
    ],
    [
      'letters, a Transformer',
      () => models.Translator.of(pairs, { unit: 'character', width: 16, numLayers: 1, cell: 'transformer' }),
    ],
    [
      'an ensemble of different models',
      async () => {
        const { source, target, model } = translator
        const made = [
          model as models.EncoderDecoder,
          (await make({ cell: 'gru', width: 8 })).model as models.EncoderDecoder,
        ]
        return new models.Translator({ source, target, model: new models.Ensemble(made) })
      },
    ],
    [
      'an ensemble of one',
      async () => {
        const { source, target, model } = translator
        return new models.Translator({ source, target, model: new models.Ensemble([model as models.EncoderDecoder]) })
      },
    ],
  ])('%s: gives back what translates the same', (_, made) =>
    inFolder(async (folder) => {
      const one = await made()
      await one.save(folder)
      const again = await models.Translator.load(folder)
      expect(again.training).toBe(false)
      expect(await again.translate(sources, { beam: 3 })).toEqual(await one.translate(sources, { beam: 3 }))
    }),
  )

  it('holds another kind of model: both are named', () =>
    inFolder(async (folder) => {
      await (translator.model as models.EncoderDecoder).save(folder)
      await expect(models.Translator.load(folder)).rejects.toMatchObject({
        code: 'ERR_CHECKPOINT',
        message: expect.stringMatching(/a model of kind EncoderDecoder, version 1, not Translator/),
      })
    }))

  it('is not written with codecs that could not be read again', () =>
    inFolder(async (folder) => {
      const { vocabulary } = translator.source
      const own = { ...text.letters, toJSON: () => ({ kind: 'mine' }) } as unknown as text.Tokenizer
      const odd = new text.SymbolCodec(own, vocabulary)
      const model = new models.Translator({ source: odd, target: odd, width: 8, numLayers: 1 })
      await expect(model.save(join(folder, 'model'))).rejects.toMatchObject({
        code: 'ERR_ARGUMENT',
        message: expect.stringContaining('the source codec must be one that text.codecFrom makes again of its JSON'),
      })
    }))
})

describe('learning', () => {
  let learnt: models.Translator
  beforeAll(async () => {
    manualSeed(1)
    learnt = await models.Translator.of(pairs, {
      vocabularySize: 400,
      minCount: 1,
      width: 48,
      initRange: 0.3,
      numLayers: 1,
      attention: 'additive',
    })
    const loader = learnt.loader(pairs, { batch: 4 })
    await train.fit(learnt, loader, { epochs: 80, clipNorm: 5, progress: false, optimizer: optim.adamW({ lr: 0.01 }) })
  })

  it('of byte pairs: it translates what it has learnt, and its measures say so', async () => {
    const scores = await learnt.evaluate(pairs, { beam: 2 })
    expect(scores.translations).toEqual(pairs.map(({ target }) => target))
    expect(scores.bleu.score).toBeCloseTo(100, 6)
    expect(scores.chrF.score).toBeCloseTo(100, 6)
    expect(scores.perplexity).toBeLessThan(1.2)
    expect(scores.perplexity).toBeCloseTo(await learnt.perplexity(pairs), 6)
  })

  it('scores are those of what it writes', async () => {
    const { text, logProbability } = await learnt.translate('the sea is near')
    const [right, wrong] = await learnt.score(['the sea is near', 'the sea is near'], [text, 'le roi'])
    expect(right).toBeCloseTo(logProbability, 4)
    expect(wrong).toBeLessThan(right! - 1)
  })

  it('codecs are learnt as asked: size, language, lower case, one of both languages', async () => {
    const french = await models.Translator.of([{ source: "Don't GO", target: "Qu'il aille" }], {
      ...{ unit: 'word', lowercase: true, language: { source: 'en', target: 'fr' }, width: 8, numLayers: 1 },
    })
    expect(french.source.tokenize("Don't go")).toEqual(['do', "￭n't", 'go'])
    expect(french.target.tokenize("Qu'il aille")).toEqual(["qu'￭", 'il', 'aille'])
    expect(french.source.coverage('GO')).toBe(1)
    expect((await models.Translator.of(pairs, { vocabularySize: 260, width: 8, numLayers: 1 })).source.size).toBe(260)
    const shared = await models.Translator.of(pairs, { unit: 'word', tied: 'all', width: 8, numLayers: 1 })
    expect(shared.source).toBe(shared.target)
    expect(shared.source.coverage('the maison')).toBe(1)
  })

  it.each<[string, object, RegExp]>([
    ['unit', { unit: 'syllable' }, /Translator.of: unit must be bytePair, word, character, got syllable/],
    ['vocabularySize', { vocabularySize: 100 }, /size must be a whole number ≥ 258, got 100/],
    ['language', { language: { source: 'en' } }, /language must be left out unless texts are cut into words, got en/],
    ['lowercase', { unit: 'character', lowercase: true }, /lowercase must be false for characters/],
    ['width', { width: -1 }, /width/],
  ])('%s that cannot be used is named', async (_, options, message) => {
    await expect(models.Translator.of(pairs, options)).rejects.toMatchObject({
      code: 'ERR_ARGUMENT',
      message: expect.stringMatching(message),
    })
  })

  it('files that are not aligned never become pairs', async () => {
    const bytes = (content: string) => new TextEncoder().encode(content)
    const files = { source: bytes('a\nb\n'), target: bytes('x\ny\nz\n') }
    await expect(data.readPairs(files)).rejects.toMatchObject({ code: 'ERR_DATA', line: 3 })
    await expect(models.Translator.of([])).rejects.toThrow(/pairs must be at least one/)
    await expect(models.Translator.of([{ source: 'a' } as data.TextPair])).rejects.toThrow(
      /the target of pair 0 must be a string/,
    )
  })
})
