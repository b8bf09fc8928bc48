// Our side of seq2seq/greedy and seq2seq/beam12: a whole `decode`, encoding and strings included, of the model of bench/opponents/seq2seq_search.py.
import { models, noGrad, tensor, text } from 'quarterturn'
import { hashed, options, serve, spread } from './common.js'

const VOCABULARY = 8000
const WIDTH = 256
const S = 20
/** What no symbol of the 20 is: `<PAD>` and `<EOS>`. */
const NEVER = -1e4

const { beam, sentences } = options() as unknown as { beam: number; sentences: number }
const vocabulary = new text.Vocabulary(Array.from({ length: VOCABULARY - 2 }, (_, i) => `w${i}`))
const model = new models.EncoderDecoder({
  source: vocabulary,
  target: vocabulary,
  width: WIDTH,
  numLayers: 2,
  attention: 'multiplicative',
})
noGrad(() => {
  for (const [k, parameter] of model.parameters().entries()) parameter.assign(spread(parameter.shape, 1000 * k, 0.3))
  const bias = hashed(VOCABULARY, 777, 0.3)
  bias.fill(NEVER, 0, 2)
  model.head.bias?.assign(tensor(bias))
})
model.eval()
const sources = Array.from({ length: sentences }, (_, b) =>
  Array.from({ length: S }, (_, t) => `w${(b * 7919 + t * 104_729) % (VOCABULARY - 2)}`),
)
const step = async (): Promise<number> => {
  const found = await model.decode(sources, { beam, maxLength: S, alternatives: 1 })
  return found.reduce((sum, [best]) => sum + (best as models.Hypothesis).logProbability, 0) / sentences
}
await serve({ step })
