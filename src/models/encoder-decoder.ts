// EncoderDecoder: one LSTM reads a sequence into its state, another writes a sequence from it (Sutskever, Vinyals and Le 2014).
import { Loader } from '../data/index.js'
import { ArgumentError } from '../errors.js'
import * as nn from '../nn/index.js'
import { adamW, type OptimizerFactory } from '../optim/index.js'
import { cat, type DeviceLike, full, noGrad, type Tensor, uniform } from '../tensor/index.js'
import { EOS_ID, PAD_ID, type Vocabulary } from '../text/index.js'
import { checkRecords, checkVocabulary, taken } from './check.js'
import { type DecodeOptions, decode, type Hypothesis } from './decode.js'
import { loadFolder, saveFolder } from './folder.js'
import { type FoldedInput, fold, readSymbols } from './symbol-lstm.js'

export interface EncoderDecoderOptions {
  /** The symbols that are read. */
  source: Vocabulary
  /** The symbols that are written. */
  target: Vocabulary
  /** Width of the embeddings and of the LSTMs. @default 256 */
  width?: number
  /** Layers of each of the two LSTMs. @default 2 */
  numLayers?: number
  /** Dropout between the layers. @default 0 */
  dropout?: number
  /** Whether the source is read from its end, which brings the first symbols of both sequences close together. @default true */
  reversed?: boolean
  /** Every parameter starts uniform within ± this. @default 0.08 */
  initRange?: number
}

/** A sequence and what is to be written for it. */
export interface Pair {
  source: readonly string[]
  target: readonly string[]
}

/** Pairs as numbers of the vocabularies. */
export interface PairBatch {
  /** int64 [B, S], in reading order, without `<EOS>`, filled up with `<PAD>` */
  source: Tensor
  /** int64 [B, T], ending in `<EOS>`, filled up with `<PAD>` */
  target: Tensor
}

export interface PairLoaderOptions {
  /** @default 128 */
  batch?: number
  /** @default true */
  shuffle?: boolean
  /** Where the shuffles start (default: drawn from the ambient generator). */
  seed?: number | bigint
}

const KIND = 'EncoderDecoder'
type Config = Required<Omit<EncoderDecoderOptions, 'source' | 'target' | 'initRange'>>

/**
 * Two separate LSTMs of `numLayers` × `width`:
 *
 *     v = state of encoder(x_S, …, x_1)        p(y_t | y_<t, x) = softmax(head(decoder(y_{t−1} | v)))        y_0 = <EOS>
 *
 * The encoder's last states (h and c of every layer) are all that the decoder knows of the source. Padding at the end of a source is read like any
 * symbol (first, where sources are reversed), so the sources of a batch should be equally long or nearly so: `loader` puts such pairs together, and
 * `decode` reads no padding at all.
 *
 * @example
 * const pairs = ['ab', 'ba', 'abba'].map((word) => ({ source: [...word], target: [...word.toUpperCase()] }))
 * const model = new models.EncoderDecoder({
 *   source: text.Vocabulary.of(pairs.map((pair) => pair.source)),
 *   target: text.Vocabulary.of(pairs.map((pair) => pair.target)),
 * })
 * await train.fit(model, model.loader(pairs), { epochs: 4, clipNorm: 5 })
 * const [[best]] = await model.decode([[...'baa']], { beam: 3 })
 * console.log(best.symbols.join(' '), Math.exp(best.logProbability))
 * await model.save('capitals')
 */
export class EncoderDecoder extends nn.Module {
  readonly source: Vocabulary
  readonly target: Vocabulary
  readonly config: Config
  sourceEmbedding: nn.Embedding
  targetEmbedding: nn.Embedding
  encoder: nn.LSTM
  decoder: nn.LSTM
  head: nn.Linear

  constructor(options: EncoderDecoderOptions) {
    super()
    const {
      source,
      target,
      width = 256,
      numLayers = 2,
      dropout = 0,
      reversed = true,
      initRange = 0.08,
    } = taken(options, KIND)
    checkVocabulary(source, 'source', KIND)
    checkVocabulary(target, 'target', KIND)
    if (!(initRange > 0 && initRange < Number.POSITIVE_INFINITY)) {
      throw new ArgumentError(`EncoderDecoder: initRange must be > 0, got ${initRange}`, {
        op: KIND,
        got: String(initRange),
      })
    }
    this.source = source
    this.target = target
    this.config = { width, numLayers, dropout, reversed }
    this.sourceEmbedding = new nn.Embedding(source.size, width)
    this.targetEmbedding = new nn.Embedding(target.size, width)
    this.encoder = new nn.LSTM(width, width, { numLayers, dropout })
    this.decoder = new nn.LSTM(width, width, { numLayers, dropout })
    this.head = new nn.Linear(width, target.size)
    noGrad(() => {
      for (const parameter of this.parameters()) parameter.assign(uniform(parameter.shape, -initRange, initRange))
    })
  }

  /** Logits [B, T, target.size]: row t is the prediction of target symbol t from those before it. */
  forward(source: Tensor, target: Tensor): Tensor {
    const start = full([target.shape[0] as number, 1], EOS_ID, { dtype: 'int64', device: target.device })
    const before: Tensor[] = [start, target.slice(1, 0, -1)]
    return this.head.forward(this.#read(cat(before, 1), this.encode(source)).output)
  }

  /** The encoder's last states for sources [B, S]: h and c are [numLayers, B, width]. */
  encode(source: Tensor): nn.LSTMState {
    const read = this.config.reversed ? source.flip(1) : source
    const { sourceEmbedding, encoder } = this
    return readSymbols(sourceEmbedding, encoder, read, undefined, fold(sourceEmbedding, encoder)).state
  }

  /** @internal What `step` uses again and again while the weights stay the same. */
  folded(): FoldedInput | undefined {
    return fold(this.targetEmbedding, this.decoder)
  }

  /** One step of the decoder: the logits [B, target.size] of what follows the symbols [B], and the next state. */
  step(symbols: Tensor, state: nn.LSTMState, folded = this.folded()): { logits: Tensor; state: nn.LSTMState } {
    const out = this.#read(symbols.unsqueeze(1), state, folded)
    return { logits: this.head.forward(out.output.squeeze(1)), state: out.state }
  }

  #read(symbols: Tensor, state: nn.LSTMState, folded = this.folded()): { output: Tensor; state: nn.LSTMState } {
    return readSymbols(this.targetEmbedding, this.decoder, symbols, state, folded)
  }

  /** The mean cross entropy per target symbol, in nats; `<PAD>` does not count. */
  loss({ source, target }: PairBatch): Tensor {
    return nn.functional.crossEntropy(this.forward(source, target), target, { ignoreIndex: PAD_ID })
  }

  optimizer(): OptimizerFactory {
    return adamW({ lr: 1e-3 })
  }

  /**
   * Batches of pairs for training: `<EOS>` added to targets, pairs of near-equal lengths together.
   *
   * @throws ArgumentError for symbols that the vocabularies do not have.
   */
  loader(pairs: readonly Pair[], options: PairLoaderOptions = {}): Loader<{ source: number[][]; target: number[][] }> {
    const { batch = 128, shuffle = true, seed } = taken(options, `${KIND}.loader`)
    checkRecords(pairs, 'pairs', `${KIND}.loader`)
    const fields = {
      source: pairs.map((pair) => this.source.encode(pair.source)),
      target: pairs.map((pair) => [...this.target.encode(pair.target), EOS_ID]),
    }
    const padding = { source: PAD_ID, target: PAD_ID }
    return new Loader(fields, {
      batch,
      shuffle,
      bucketBy: ['source', 'target'],
      padding,
      ...(seed === undefined ? {} : { seed }),
    })
  }

  /**
   * What the model writes for each source, best first: one hypothesis greedily, or `beam` of them by beam search. It goes ahead of training that is
   * under way, on the weights of that moment.
   *
   * @throws ArgumentError for empty sources, unknown symbols and a beam that is not within 1 … target.size − 1.
   */
  decode(sources: readonly (readonly string[])[], options: DecodeOptions = {}): Promise<Hypothesis[][]> {
    return decode(this, sources, options)
  }

  /**
   * Writes the model to a folder, which is made if need be: `config.json`, `source.json` and `target.json` (the vocabularies) and `model.safetensors`.
   *
   * @throws FileError (`ERR_IO`) where the file system refuses.
   */
  save(folder: string): Promise<void> {
    const { source, target } = this
    return saveFolder(folder, {
      kind: KIND,
      config: this.config,
      vocabularies: { source, target },
      state: this.stateDict(),
    })
  }

  /**
   * A model that was saved in a folder.
   *
   * @throws FileError (`ERR_IO`) where a file cannot be read; CheckpointError (`ERR_CHECKPOINT`) where one is damaged or they do not belong together.
   */
  static async load(folder: string, options: { device?: DeviceLike } = {}): Promise<EncoderDecoder> {
    const { device = 'cpu' } = taken(options, `${KIND}.load`)
    const { config, vocabularies, state } = await loadFolder<Config>(folder, KIND, ['source', 'target'])
    const { source, target } = vocabularies as { source: Vocabulary; target: Vocabulary }
    const model = new EncoderDecoder({ ...config, source, target })
    model.loadStateDict(state)
    return model.to(device).eval()
  }
}
