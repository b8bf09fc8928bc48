// SequenceWriter: what a model that writes sequences, and several that write together, do alike.
import * as nn from '../../nn/index.js'
import type { Tensor } from '../../tensor/index.js'
import type { Vocabulary } from '../../text/index.js'
import type { SearchProblem } from '../search.js'
import { type DecodeOptions, decode, type Hypothesis } from './decode.js'
import type { Pair } from './loader.js'
import type { Tensors } from './network.js'
import { type Candidate, perplexity, type Rescored, rescore, score } from './score.js'
import type { Symbols, Writer } from './sources.js'

/** p(y | x) = Π_t p(y_t | y_<t, x) of symbols. */
export abstract class SequenceWriter extends nn.Module implements Writer {
  abstract readonly source: Vocabulary
  abstract readonly target: Vocabulary
  abstract readonly config: Writer['config']

  abstract forward(source: Tensor, target: Tensor): Tensor

  /** @internal */
  abstract problem(source: Tensor, steps: number, attention?: boolean): SearchProblem<Tensors>

  /**
   * What the model writes for each source, best first: one hypothesis greedily, or `beam` of them by beam search. It goes ahead of training that is
   * under way, on the weights of that moment.
   *
   * @throws ArgumentError for empty sources, unknown symbols and a beam that is not within 1 … target.size − 1; OutOfRangeError for a source over
   * `maxSource`.
   */
  decode(sources: readonly Symbols[], options: DecodeOptions = {}): Promise<Hypothesis[][]> {
    return decode(this, sources, options)
  }

  /** log p(target, `<EOS>` | source) of each pair, in nats, in the order of the sources. */
  score(sources: readonly Symbols[], targets: readonly Symbols[]): Promise<number[]> {
    return score(this, sources, targets)
  }

  /** e to the mean cross entropy per target symbol, `<EOS>` among them. */
  perplexity(pairs: readonly Pair[]): Promise<number> {
    return perplexity(this, pairs)
  }

  /**
   * An n-best list of another system for each source in a new order: by weight · log p(symbols | source) + (1 − weight) · its own score, the even mean
   * by default, as in 2014 (§3.7).
   */
  rescore<C extends Candidate>(
    sources: readonly Symbols[],
    nBest: readonly (readonly C[])[],
    options: { weight?: number } = {},
  ): Promise<(C & Rescored)[][]> {
    return rescore(this, sources, nBest, options)
  }
}
