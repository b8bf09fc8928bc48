// EncoderDecoder: one network reads a sequence, another writes a sequence from what was read (Sutskever, Vinyals and Le 2014), and what came after.
import * as nn from '../../nn/index.js'
import { adamW, type OptimizerFactory } from '../../optim/index.js'
import { ahead, cat, type DeviceLike, full, noGrad, normal, scope, type Tensor, uniform } from '../../tensor/index.js'
import { EOS_ID, PAD_ID, type Vocabulary } from '../../text/index.js'
import { Mode } from '../../train/mode.js'
import { checkVocabulary, taken } from '../check.js'
import { loadFolder, saveFolder } from '../folder.js'
import type { SearchProblem } from '../search.js'
import { type Attention, attentionOf } from './attention.js'
import { type Pair, type PairBatch, type PairLoader, type PairLoaderOptions, pairLoader } from './loader.js'
import { type Encoded, lengthsOf, maskOf, type Network, type Read, type Tensors, turned } from './network.js'
import {
  bad,
  type Cell,
  type EncoderDecoderConfig,
  type EncoderDecoderOptions,
  KIND,
  oneOf,
  paper2014,
  settled,
} from './options.js'
import { RecurrentNetwork } from './recurrent.js'
import { loadedConfig, type SavedConfig, savedConfig } from './saved.js'
import { type EncoderDecoderSizes, sizesOf } from './sizes.js'
import { checkIds, padded, type Symbols, sourceIds } from './sources.js'
import { StackNetwork } from './stacked.js'
import { TransformerNetwork } from './transformer.js'
import { SequenceWriter } from './writer.js'

/**
 * Two separate networks of `numLayers` × `width`, LSTMs by default:
 *
 *     v = state of encoder(x_S, …, x_1)        p(y_t | y_<t, x) = softmax(head(decoder(y_{t−1} | v)))        y_0 = <EOS>
 *
 * The encoder's last states (h and c of every layer) are all that the decoder knows of the source, unless it attends to it. With `cell` it is made of
 * GRUs, minLSTMs, a Transformer or any two carriers of `axis`; `EncoderDecoder.paper` is the system of 2014 in its size. Padding at the end of a
 * source counts for nothing; on CUDA recurrences read it, before the source, as if it were symbols.
 *
 * @example
 * const pairs = ['ab', 'ba', 'abba'].map((word) => ({ source: [...word], target: [...word.toUpperCase()] }))
 * const model = new models.EncoderDecoder({
 *   source: text.Vocabulary.of(pairs.map((pair) => pair.source)),
 *   target: text.Vocabulary.of(pairs.map((pair) => pair.target)),
 *   attention: 'multiplicative',
 * })
 * await train.fit(model, model.loader(pairs), { epochs: 4, clipNorm: 5 })
 * const [[best]] = await model.decode([[...'baa']], { beam: 3 })
 * console.log(best.symbols.join(' '), Math.exp(best.logProbability), await model.perplexity(pairs))
 * await model.save('capitals')
 */
export class EncoderDecoder extends SequenceWriter {
  readonly source: Vocabulary
  readonly target: Vocabulary
  readonly config: EncoderDecoderConfig
  readonly sourceEmbedding: nn.Embedding
  readonly targetEmbedding: nn.Embedding
  readonly encoder: nn.Module
  readonly decoder: nn.Module
  /** What leads a stack's sentence vector to its decoder. */
  readonly bridge: nn.Module | undefined
  readonly attention: Attention | undefined
  readonly head: nn.Linear
  readonly #network: Network

  constructor(options: EncoderDecoderOptions) {
    super()
    const { source, target, initRange, ...given } = taken(options, KIND)
    this.source = checkVocabulary(source, 'source', KIND)
    this.target = checkVocabulary(target, 'target', KIND)
    this.config = settled(given)
    const { width, cell, tied, bias } = this.config
    if (
      tied === 'all' &&
      !source.symbols.every((symbol, id) => symbol === target.symbols[id] && source.size === target.size)
    )
      throw bad('tied', "'target' or false where the vocabularies differ", tied)
    if (initRange !== undefined && !(initRange > 0 && initRange < Number.POSITIVE_INFINITY))
      throw bad('initRange', '> 0', initRange)
    this.sourceEmbedding = new nn.Embedding(source.size, width)
    this.targetEmbedding = tied === 'all' ? this.sourceEmbedding : new nn.Embedding(target.size, width)
    const Chosen =
      cell === 'transformer' ? TransformerNetwork : typeof cell === 'object' ? StackNetwork : RecurrentNetwork
    this.#network = new Chosen(this.config, this.sourceEmbedding, this.targetEmbedding)
    this.encoder = this.#network.encoder
    this.decoder = this.#network.decoder
    this.bridge = this.#network.bridge
    this.attention = attentionOf(this.config.attention, width)
    this.head = tied === false ? new nn.Linear(width, target.size, { bias }) : tiedHead(this.targetEmbedding, bias)
    this.#start(initRange)
  }

  /** The system of 2014 in its size: two LSTMs of 4 × 1000 without biases, from a reversed source, uniform within ±0.08. */
  static paper(options: { source: Vocabulary; target: Vocabulary }): EncoderDecoder {
    const { source, target } = taken(options, `${KIND}.paper`)
    return new EncoderDecoder({ ...paper2014, source, target })
  }

  /**
   * The parameters of a model of these options, counted without making it; vocabularies may be given by their sizes:
   * `EncoderDecoder.sizes({ ...models.paper2014, source: 160_000, target: 80_000 }).parameters` is 384 million.
   */
  static sizes(
    options: Partial<EncoderDecoderConfig> & { source: Vocabulary | number; target: Vocabulary | number },
  ): EncoderDecoderSizes {
    return sizesOf(options)
  }

  #start(initRange: number | undefined): void {
    const recurrent = this.#network instanceof RecurrentNetwork
    const range = initRange ?? (recurrent ? 0.08 : undefined)
    const tables = [...new Set([this.sourceEmbedding.weight, this.targetEmbedding.weight])]
    const others = [...this.head.parameters(), ...(this.attention?.parameters() ?? [])]
    noGrad(() => {
      if (range === undefined)
        for (const table of tables) table.assign(normal(table.shape, 0, 1 / Math.sqrt(this.config.width)))
      else
        for (const parameter of recurrent ? this.parameters() : new Set([...tables, ...others]))
          parameter.assign(uniform(parameter.shape, -range, range))
    })
  }

  /** Logits [B, T, target.size] for sources [B, S] and targets [B, T]: row t is the prediction of target symbol t from those before it. */
  forward(source: Tensor, target: Tensor): Tensor {
    checkIds(source, 'source', 'S', KIND)
    checkIds(target, 'target', 'T', KIND)
    if (source.shape[0] !== target.shape[0])
      throw bad('target', `of as many rows as source, ${source.shape[0]}`, target.shape[0])
    return scope(() => {
      const start = full([target.shape[0] as number, 1], EOS_ID, { dtype: 'int64', device: target.device })
      const before: Tensor[] = [start, target.slice(1, 0, -1)]
      const encoded = this.encode(source)
      return this.#logits(this.#network.write(cat(before, 1), encoded), encoded.context).logits
    })
  }

  /** What the decoder gets of sources [B, S]: its first state, and what it reads at every step. */
  encode(source: Tensor): Encoded {
    checkIds(source, 'source', 'S', `${KIND}.encode`)
    return scope(() => {
      const { state, context } = this.#read(source)
      return { state, context }
    })
  }

  #read(source: Tensor): Read {
    const lengths = lengthsOf(source)
    const read = this.#network.read(this.config.reversed ? turned(source, lengths) : source, lengths)
    if (this.attention === undefined) return read
    const mask = maskOf(lengths, source.shape[1] as number, read.memory)
    return { ...read, context: { ...read.context, ...this.attention.context(read.memory, mask) } }
  }

  /** The head over what the decoder gives, [B, L, H], attention between them. */
  #logits(output: Tensor, context: Tensors): { logits: Tensor; weights: Tensor | undefined } {
    const attended = this.attention?.forward(output, context)
    return { logits: this.head.forward(attended?.output ?? output), weights: attended?.weights }
  }

  /** @internal */
  problem(source: Tensor, steps: number, attention = false): SearchProblem<Tensors> {
    if (attention && this.attention === undefined && this.config.cell !== 'transformer')
      throw bad('attention', 'false for a model that does not attend', attention, 'decode')
    const encoded = this.encode(source)
    const { memory, keys, mask } = encoded.context
    const begun = this.#network.begin(encoded, steps)
    return {
      state: begun.state,
      context: { ...begun.context, ...(this.attention && { memory, keys, mask }) } as Tensors,
      start: EOS_ID,
      end: EOS_ID,
      banned: [PAD_ID],
      step: (last, before, read) => {
        const { output, state, attention: own } = this.#network.step(last, before, read, attention)
        const query = output.unsqueeze(1)
        if (!attention) {
          const attended = this.attention?.output(query, read) ?? query
          return { logits: this.head.forward(attended.squeeze(1)), state }
        }
        const { logits, weights } = this.#logits(query, read)
        return { logits: logits.squeeze(1), state, attention: own ?? (weights as Tensor).squeeze(1) }
      },
    }
  }

  /**
   * The mean cross entropy per target symbol, `<EOS>` among them, in nats; `<PAD>` does not count. Label smoothing, if any, in training only.
   *
   * @param options `per: 'sentence'` for the sum over the symbols of each sentence, the mean over the sentences, as in 2014.
   */
  loss(batch: PairBatch, options: { per?: 'symbol' | 'sentence' } = {}): Tensor {
    const { source, target } = taken(batch, `${KIND}.loss`, 'the batch')
    const { per = 'symbol' } = taken(options, `${KIND}.loss`)
    oneOf('per', per, ['symbol', 'sentence'], `${KIND}.loss`)
    const given = {
      ignoreIndex: PAD_ID,
      labelSmoothing: this.training ? this.config.labelSmoothing : 0,
      reduction: per === 'symbol' ? 'mean' : 'sum',
    } as const
    const loss = nn.functional.crossEntropy(this.forward(source, target), target, given)
    return per === 'symbol' ? loss : loss.div(target.shape[0] as number)
  }

  optimizer(): OptimizerFactory {
    return adamW({ lr: 1e-3 })
  }

  /**
   * Batches of pairs for training: `<EOS>` added to targets, pairs of near-equal lengths together unless `bucket: false`.
   *
   * @throws ArgumentError for empty sources and symbols that the vocabularies do not have; OutOfRangeError for a source over `maxSource`.
   */
  loader(pairs: readonly Pair[], options: PairLoaderOptions = {}): PairLoader {
    return pairLoader(this, pairs, options)
  }

  /**
   * What stands between encoder and decoder, [B, its width]: h and c of all layers for LSTMs, K·H·2 in all; h of all layers for GRU and minLSTM; the
   * last output of a stack; the mean output of a Transformer. Without gradients.
   */
  sentenceVector(sources: readonly Symbols[]): Tensor {
    const ids = sourceIds(this, sources, 'sentenceVector')
    if (ids.length === 0) throw bad('sources', 'at least one', 'none', 'sentenceVector')
    return new Mode(this).run(false, () => ahead(() => this.#read(padded(ids, this.device)).vector))
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
      config: savedConfig(this.config),
      vocabularies: { source, target },
      state: this.stateDict(),
    })
  }

  /**
   * A model that was saved in a folder. Carriers that were given by their names are found again; others are given once more as `cell`.
   *
   * @throws FileError (`ERR_IO`) where a file cannot be read; CheckpointError (`ERR_CHECKPOINT`) where one is damaged or they do not belong together.
   */
  static async load(folder: string, options: { device?: DeviceLike; cell?: Cell } = {}): Promise<EncoderDecoder> {
    const { device = 'cpu', cell } = taken(options, `${KIND}.load`)
    const { config, vocabularies, state } = await loadFolder<SavedConfig>(folder, KIND, ['source', 'target'])
    const { source, target } = vocabularies as { source: Vocabulary; target: Vocabulary }
    const model = new EncoderDecoder({ ...loadedConfig(config, cell), source, target })
    model.loadStateDict(state)
    return model.to(device).eval()
  }
}

/** A head whose weight is the table of an embedding. */
function tiedHead({ weight }: nn.Embedding, bias: boolean): nn.Linear {
  const head = new nn.Linear(0, weight.shape[0] as number, { bias })
  return Object.assign(head, { weight })
}
