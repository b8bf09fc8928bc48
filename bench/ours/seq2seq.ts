// Our side of seq2seq/train: the model of bench/opponents/seq2seq.py. With `part: 'bucketing'` an epoch over pairs of 4 to 60 symbols, in batches
// of near-equal length or (`bucket: false`) of whatever comes: both train on the same pairs. With `device: 'cuda'` there (cuda/step/seq2seq).
import { type DeviceLike, grad, models, optim, scope, type Tensor, text } from 'quarterturn'
import { options, serve, spread, tokens } from './common.js'

const VOCABULARY = 8000
const WIDTH = 256
const LAYERS = 2
const B = 64
const T = 25
const BATCHES = 8
const PAIRS = 1024

const { part, bucket = true, device = 'cpu' } = options()
const place = device as DeviceLike
/** `<PAD>` and `<EOS>` are among the 8,000. */
const vocabulary = new text.Vocabulary(Array.from({ length: VOCABULARY - 2 }, (_, i) => `w${i}`))
const model = new models.EncoderDecoder({
  source: vocabulary,
  target: vocabulary,
  width: WIDTH,
  numLayers: LAYERS,
  attention: 'multiplicative',
})
const parameters = model.parameters()
for (const [k, parameter] of parameters.entries()) parameter.assign(spread(parameter.shape, 1000 * k, 0.06))
model.to(place)
const optimizer = new optim.AdamW(parameters, { lr: 1e-3 })

function queueStep(batch: models.PairBatch): Tensor {
  const loss = model.loss(batch)
  optimizer.step(grad(loss, parameters).clipByNorm(5))
  return loss
}

if (part === 'bucketing') {
  const pairs = Array.from({ length: PAIRS }, (_, i) => {
    const length = 4 + ((i * 37) % 57)
    const symbols = (seed: number): string[] =>
      Array.from({ length }, (_, t) => `w${(seed * 7919 + t * 104_729) % (VOCABULARY - 2)}`)
    return { source: symbols(i), target: symbols(i + 1) }
  })
  const loader = model.loader(pairs, { batch: B, seed: 1, bucket: bucket as boolean })
  const step = async (): Promise<number> => {
    let last: Tensor | undefined
    for await (const batch of loader) {
      last?.dispose()
      last = scope(() => queueStep(batch))
    }
    return (await (last as Tensor).item()) as number
  }
  await serve({ step })
} else {
  // No `<PAD>` among the symbols: rows are equally long on both sides.
  const batches = Array.from({ length: BATCHES }, (_, k) => ({
    source: tokens([B, T], 5000 * k, VOCABULARY - 2)
      .add(2)
      .to(place),
    target: tokens([B, T], 5000 * k + 1, VOCABULARY - 2)
      .add(2)
      .to(place),
  }))
  let count = 0
  const step = async (): Promise<number> => {
    const batch = batches[count++ % BATCHES] as (typeof batches)[number]
    return (await scope(() => queueStep(batch)).item()) as number
  }
  await serve({ step })
}
