// Ensemble: several models that write together, as the 2014 system's five did.
import { stack, type Tensor } from '../../tensor/index.js'
import type { Vocabulary } from '../../text/index.js'
import { checkList, refused } from '../check.js'
import type { SearchProblem } from '../search.js'
import { EncoderDecoder } from './encoder-decoder.js'
import type { Tensors } from './network.js'
import { bad } from './options.js'
import { SequenceWriter } from './writer.js'

const OP = 'Ensemble'

/**
 * p(y_t | y_<t, x) = mean over the models of p_m(y_t | y_<t, x): the mean of the distributions, not of their logarithms. The models share their
 * vocabularies and may differ in all else. Their parameters stay theirs. `attention` is refused: each model attends for itself.
 *
 * Errors: `ERR_ARGUMENT` for no models, or vocabularies that differ. Source: Sutskever, Vinyals and Le 2014, §3.6.
 *
 * @example
 * const letters = new text.Vocabulary([...'abc'])
 * const make = () => new models.EncoderDecoder({ source: letters, target: letters, width: 8, numLayers: 1 })
 * const both = new models.Ensemble([make(), make()])
 * const [[best]] = await both.decode([['a', 'b']], { beam: 2 })
 * const [log] = await both.score([['a', 'b']], [best.symbols])
 */
export class Ensemble extends SequenceWriter {
  readonly models: readonly EncoderDecoder[]
  readonly source: Vocabulary
  readonly target: Vocabulary
  readonly config: { readonly maxSource: number; readonly reversed: boolean }

  constructor(models: readonly EncoderDecoder[]) {
    super()
    for (const model of checkList(models, 'models', OP))
      if (!(model instanceof EncoderDecoder)) throw refused(OP, 'each model', 'an EncoderDecoder', model)
    const [first, ...others] = models
    if (first === undefined) throw bad('models', 'at least one', 'none', OP)
    for (const [i, other] of others.entries())
      for (const side of ['source', 'target'] as const)
        if (!same(first[side], other[side]))
          throw bad(`the ${side} vocabulary of model ${i + 1}`, 'that of model 0', 'another', OP)
    this.models = [...models]
    this.source = first.source
    this.target = first.target
    this.config = { maxSource: Math.min(...models.map(({ config }) => config.maxSource)), reversed: false }
  }

  /** The logarithms of the mean distributions, [B, T, target.size]. */
  forward(source: Tensor, target: Tensor): Tensor {
    return mean(this.models.map((model) => model.forward(source, target)))
  }

  /** @internal */
  problem(source: Tensor, steps: number, attention = false): SearchProblem<Tensors> {
    if (attention) throw bad('attention', 'false: the models of an ensemble attend each for itself', attention, OP)
    const problems = this.models.map((model) => model.problem(source, steps))
    const [first] = problems as [SearchProblem<Tensors>]
    return {
      ...first,
      state: named(problems.map(({ state }) => state)),
      context: named(problems.map(({ context = {} }) => context)),
      step: (last, state, context) => {
        const results = problems.map(({ step }, m) => step(last, partOf(state, m), partOf(context, m)))
        return {
          logits: mean(results.map(({ logits }) => logits)),
          state: named(results.map((result) => result.state)),
        }
      },
    }
  }
}

function same(a: Vocabulary, b: Vocabulary): boolean {
  return a === b || (a.size === b.size && a.symbols.every((symbol, id) => symbol === b.symbols[id]))
}

/** log of the mean of softmax(logits). */
function mean(logits: readonly Tensor[]): Tensor {
  if (logits.length === 1) return (logits[0] as Tensor).logSoftmax(-1)
  return stack(logits.map((each) => each.logSoftmax(-1)))
    .logSumExp(0)
    .sub(Math.log(logits.length))
}

/** The tensors of model m are named `m.name`. */
function named(all: readonly Tensors[]): Tensors {
  return Object.fromEntries(
    all.flatMap((tensors, m) => Object.entries(tensors).map(([name, part]) => [`${m}.${name}`, part] as const)),
  )
}

function partOf(all: Tensors, model: number): Tensors {
  const start = `${model}.`
  return Object.fromEntries(
    Object.entries(all)
      .filter(([name]) => name.startsWith(start))
      .map(([name, part]) => [name.slice(start.length), part]),
  )
}
