// Translator: texts in, texts out: an encoder-decoder, or several, with the codec of each side.
import { setImmediate } from 'node:timers/promises'
import type { TextPair } from '../../data/index.js'
import { AbortedError } from '../../errors.js'
import * as nn from '../../nn/index.js'
import type { OptimizerFactory } from '../../optim/index.js'
import type { DeviceLike, Tensor } from '../../tensor/index.js'
import { type BleuScore, bleu, type ChrFScore, type Codec, chrF, codecFrom } from '../../text/index.js'
import { checkList, checkRecords, refused, taken } from '../check.js'
import { loadFolder, saveFolder } from '../folder.js'
import { type DecodeOptions, decode, type Hypothesis } from '../seq2seq/decode.js'
import { EncoderDecoder } from '../seq2seq/encoder-decoder.js'
import { Ensemble } from '../seq2seq/ensemble.js'
import type { Pair, PairBatch, PairLoader, PairLoaderOptions } from '../seq2seq/loader.js'
import { pairLoader } from '../seq2seq/loader.js'
import { bad, type Cell, type EncoderDecoderOptions } from '../seq2seq/options.js'
import { loadedConfig, type SavedConfig, savedConfig } from '../seq2seq/saved.js'
import { checkCodec, checkSavable, checkSymbols, cut, type LearntCodecOptions, learntCodecs } from './codecs.js'

/** Of the model, beside its vocabularies, which are those of the codecs. */
type ModelOptions = Omit<EncoderDecoderOptions, 'source' | 'target'>

export interface TranslatorOptions extends ModelOptions {
  /** How texts that are read become symbols. */
  source: Codec
  /** How texts that are written do. */
  target: Codec
  /** A model, or several, of these symbols, in place of a new one of the other options. */
  model?: EncoderDecoder | Ensemble
}

export interface TranslateOptions extends Omit<DecodeOptions, 'prefix'> {
  /** What the translation begins with, or each of them: cut as a text by itself. */
  prefix?: string | readonly string[]
}

/** A text that the model wrote. */
export interface WrittenText extends Hypothesis {
  text: string
}

/** The likeliest text, and what belongs to it. */
export interface Translation extends WrittenText {
  /** All that were asked for, best first: the first is the translation itself. Two may be one text that is cut differently. */
  alternatives: WrittenText[]
  /** The symbols that the text was cut into: those that `attention` is of. */
  source: string[]
  /** The share of them that the model knows; the others it read as `<UNK>`. */
  coverage: number
}

export interface TranslatorScores {
  bleu: BleuScore
  chrF: ChrFScore
  /** Per symbol, so that codecs can be compared only by the other two. */
  perplexity: number
  translations: string[]
}

const KIND = 'Translator'
/** Texts that are cut or put together between two turns of the event loop. */
const TEXTS = 256
interface Config {
  models: SavedConfig[]
}

/**
 * Texts in one language, or any other, into texts of another: the codecs cut them into symbols, an `EncoderDecoder` or an `Ensemble` reads and writes those.
 *
 * A text without symbols (empty, or white space for words) is translated by the empty text. Words or letters that are unknown are read as `<UNK>` if the codec
 * has it, which `coverage` tells; byte pairs spell every script. `<UNK>` that the model writes stands in the text as such.
 *
 * @example
 * const pairs = [
 *   { source: 'The house is small.', target: 'La maison est petite.' },
 *   { source: 'The garden is small.', target: 'Le jardin est petit.' },
 *   { source: 'The house is near the sea.', target: 'La maison est près de la mer.' },
 * ]
 * const translator = await models.Translator.of(pairs, { unit: 'word', attention: 'multiplicative', width: 64, numLayers: 1 })
 * await train.fit(translator, translator.loader(pairs), { epochs: 60, optimizer: optim.adamW({ lr: 0.01 }), clipNorm: 5 })
 * const { text, alternatives } = await translator.translate('The house is small.', { beam: 5 })
 * const { bleu } = await translator.evaluate(pairs)
 * console.log(text, alternatives.length, bleu.score)
 * await translator.save('french')
 */
export class Translator extends nn.Module {
  readonly source: Codec
  readonly target: Codec
  readonly model: EncoderDecoder | Ensemble

  /** @throws ArgumentError (`ERR_ARGUMENT`) for what are no codecs, and for a model whose symbols are not those of the codecs. */
  constructor(options: TranslatorOptions) {
    super()
    const { source, target, model, ...sizes } = taken(options, KIND)
    this.source = checkCodec(source, 'source', KIND)
    this.target = checkCodec(target, 'target', KIND)
    if (model === undefined)
      this.model = new EncoderDecoder({ ...sizes, source: source.vocabulary, target: target.vocabulary })
    else {
      if (!(model instanceof EncoderDecoder || model instanceof Ensemble))
        throw refused(KIND, 'model', 'an EncoderDecoder or an Ensemble', model)
      const [odd] = Object.keys(sizes)
      if (odd !== undefined) throw bad(odd, 'left out where the model is given', 'both', KIND)
      checkSymbols(source.vocabulary, model.source, 'source', KIND)
      checkSymbols(target.vocabulary, model.target, 'target', KIND)
      this.model = model instanceof Ensemble && model.models.length === 1 ? (model.models[0] as EncoderDecoder) : model
    }
  }

  /**
   * A translator whose codecs are learnt from pairs (for `tied: 'all'` one codec of both languages); the model is not trained yet.
   *
   * @throws ArgumentError (`ERR_ARGUMENT`) for no pairs, what is not text, and options that cannot be used.
   */
  static async of(pairs: readonly TextPair[], options: ModelOptions & LearntCodecOptions = {}): Promise<Translator> {
    const op = `${KIND}.of`
    const { unit, vocabularySize, minCount, lowercase, language, ...sizes } = taken(options, op)
    const given = { unit, vocabularySize, minCount, lowercase, language }
    const learnt = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
    return new Translator({ ...sizes, ...(await learntCodecs(pairs, learnt, sizes.tied === 'all')) })
  }

  /** Logits [B, T, target.size] of the model: see `EncoderDecoder.forward`. */
  forward(source: Tensor, target: Tensor): Tensor {
    return this.model.forward(source, target)
  }

  /** See `EncoderDecoder.loss`. @throws ArgumentError (`ERR_ARGUMENT`) for an ensemble, whose models are trained each by itself. */
  loss(batch: PairBatch, options: { per?: 'symbol' | 'sentence' } = {}): Tensor {
    if (this.model instanceof Ensemble) throw bad('model', 'an EncoderDecoder to be trained', 'an Ensemble', KIND)
    return this.model.loss(batch, options)
  }

  optimizer(): OptimizerFactory {
    if (this.model instanceof Ensemble) throw bad('model', 'an EncoderDecoder to be trained', 'an Ensemble', KIND)
    return this.model.optimizer()
  }

  /**
   * Batches of pairs for training and validation: see `EncoderDecoder.loader`. All texts are cut at once, on the JavaScript thread.
   *
   * @throws ArgumentError (`ERR_ARGUMENT`) for an empty source and, without `<UNK>`, an unknown symbol; OutOfRangeError (`ERR_RANGE`) for a source over `maxSource`.
   */
  loader(pairs: readonly TextPair[], options: PairLoaderOptions = {}): PairLoader {
    return pairLoader(this.model, this.#pairs(pairs, `${KIND}.loader`), options)
  }

  /**
   * The translation of a text, or those of many in their order: greedy, by beam search, or drawn. Texts of near-equal length are decoded together, in
   * batches of bounded size. It goes ahead of training that is under way, on the weights of that moment.
   *
   * @throws ArgumentError (`ERR_ARGUMENT`) for a beam that is not within 1 … target.size − 1, a prefix that the model cannot write and, where the codec has no
   * `<UNK>`, an unknown symbol; OutOfRangeError (`ERR_RANGE`) for a text over `maxSource`; AbortedError (`ERR_ABORTED`) where `signal` says so, the model being
   * as before.
   */
  translate(text: string, options?: TranslateOptions): Promise<Translation>
  translate(texts: readonly string[], options?: TranslateOptions): Promise<Translation[]>
  async translate(
    given: string | readonly string[],
    options: TranslateOptions = {},
  ): Promise<Translation | Translation[]> {
    const op = 'translate'
    const { prefix, ...rest } = taken(options, op)
    const isOne = typeof given === 'string'
    const texts = isOne ? [given] : checkList(given, 'the argument', op)
    const sources: string[][] = []
    for (const [i, text] of texts.entries()) {
      if (i > 0 && i % TEXTS === 0) await turn(rest.signal)
      sources.push(cut(this.source, text, isOne ? 'the text' : `text ${i}`, op, this.model.config.maxSource))
    }
    const before = prefix === undefined ? undefined : this.#prefixes(prefix, texts.length)
    const rows = sources.flatMap(({ length }, row) => (length === 0 ? [] : row))
    const found = await decode(
      this.model,
      rows.map((row) => sources[row] as string[]),
      { ...rest, ...(before && { prefix: rows.map((row) => before[row] as string[]) }) },
      op,
    )
    const results: Translation[] = []
    const written = found.values()
    for (const [row, source] of sources.entries()) {
      if (row > 0 && row % TEXTS === 0) await setImmediate()
      const hypotheses = source.length === 0 ? [nothing(rest)] : (written.next().value as Hypothesis[])
      results.push(this.#told(hypotheses, source, texts[row] as string))
    }
    return isOne ? (results[0] as Translation) : results
  }

  #told(hypotheses: readonly Hypothesis[], source: string[], text: string): Translation {
    const alternatives = hypotheses.map((each) => ({ text: this.target.detokenize(each.symbols), ...each }))
    return { ...(alternatives[0] as WrittenText), alternatives, source, coverage: this.source.coverage(text) }
  }

  #prefixes(given: string | readonly string[], length: number): string[][] {
    const op = 'translate'
    const texts = typeof given === 'string' ? Array<string>(length).fill(given) : checkList(given, 'prefix', op)
    if (texts.length !== length) throw bad('prefix', `a text, or one for each of ${length}`, texts.length, op)
    return texts.map((text) => {
      const symbols = cut(this.target, text, 'prefix', op)
      const unknown = symbols.find((symbol) => !this.target.has(symbol))
      if (unknown !== undefined) throw bad('prefix', 'of symbols that the model knows', JSON.stringify(unknown), op)
      return symbols
    })
  }

  /** log p(target | source) of each, in nats: of the symbols that the codec cuts it into, and `<EOS>`. */
  async score(sources: readonly string[], targets: readonly string[]): Promise<number[]> {
    const op = `${KIND}.score`
    const [of, into] = [checkList(sources, 'sources', op), checkList(targets, 'targets', op)]
    if (of.length !== into.length) throw bad('targets', `as many as sources, ${of.length}`, into.length, op)
    const pairs = this.#pairs(
      of.map((source, i) => ({ source, target: into[i] as string })),
      op,
    )
    return this.model.score(
      pairs.map(({ source }) => source),
      pairs.map(({ target }) => target),
    )
  }

  /** e to the mean cross entropy per symbol of the targets, `<EOS>` among them. */
  async perplexity(pairs: readonly TextPair[]): Promise<number> {
    return this.model.perplexity(this.#pairs(pairs, `${KIND}.perplexity`))
  }

  /** Translates the sources and holds them against the targets: BLEU and chrF as sacreBLEU has them, and the perplexity of the targets. */
  async evaluate(pairs: readonly TextPair[], options: TranslateOptions = {}): Promise<TranslatorScores> {
    const op = `${KIND}.evaluate`
    const symbols = this.#pairs(pairs, op)
    if (symbols.length === 0) throw bad('pairs', 'at least one', 'none', op)
    const found = await this.translate(
      pairs.map(({ source }) => source),
      options,
    )
    const translations = found.map(({ text }) => text)
    const references = pairs.map(({ target }) => target)
    return {
      bleu: bleu(translations, references),
      chrF: chrF(translations, references),
      perplexity: await this.model.perplexity(symbols),
      translations,
    }
  }

  #pairs(pairs: readonly TextPair[], op: string): Pair[] {
    return checkRecords(pairs, 'pairs', op).map(({ source, target }, i) => {
      const read = cut(this.source, source, `the source of pair ${i}`, op, this.model.config.maxSource)
      if (read.length === 0) throw bad(`the source of pair ${i}`, 'a text of at least one symbol', 'none', op)
      return { source: read, target: cut(this.target, target, `the target of pair ${i}`, op) }
    })
  }

  /**
   * Writes the translator to a folder, which is made if need be: `config.json`, `source.json` and `target.json` (the codecs) and `model.safetensors`.
   *
   * @throws FileError (`ERR_IO`) where the file system refuses; ArgumentError (`ERR_ARGUMENT`) for codecs of one's own.
   */
  async save(folder: string): Promise<void> {
    const { source, target, model } = this
    for (const [side, codec] of Object.entries({ source, target })) checkSavable(codec, side, 'save')
    const config: Config = { models: (model instanceof Ensemble ? model.models : [model]).map(configOf) }
    await saveFolder(folder, { kind: KIND, config, vocabularies: { source, target }, state: model.stateDict() })
  }

  /**
   * A translator that was saved in a folder. `cell`: as for `EncoderDecoder.load`.
   *
   * @throws FileError (`ERR_IO`) where a file cannot be read; CheckpointError (`ERR_CHECKPOINT`) where one is damaged or they do not belong together.
   */
  static async load(folder: string, options: { device?: DeviceLike; cell?: Cell } = {}): Promise<Translator> {
    const { device = 'cpu', cell } = taken(options, `${KIND}.load`)
    const { config, vocabularies, state } = await loadFolder<Config, Codec>(
      folder,
      KIND,
      ['source', 'target'],
      codecFrom,
    )
    const { source, target } = vocabularies as { source: Codec; target: Codec }
    const symbols = { source: source.vocabulary, target: target.vocabulary }
    const all = config.models.map((each) => new EncoderDecoder({ ...loadedConfig(each, cell), ...symbols }))
    const model = all.length === 1 ? (all[0] as EncoderDecoder) : new Ensemble(all)
    model.loadStateDict(state)
    return new Translator({ source, target, model }).to(device).eval()
  }
}

/** Lets others have their turn of the event loop. @throws AbortedError where that brought an abort. */
async function turn(signal: AbortSignal | undefined): Promise<void> {
  await setImmediate()
  if (!(signal instanceof AbortSignal && signal.aborted)) return
  throw new AbortedError('translate: aborted before the first batch', { op: 'translate', cause: signal.reason })
}

/** The translation of nothing. */
function nothing({ attention }: TranslateOptions): Hypothesis {
  return { symbols: [], logProbability: 0, score: 0, ended: true, ...(attention && { attention: [] }) }
}

function configOf({ config }: EncoderDecoder): SavedConfig {
  return savedConfig(config)
}
