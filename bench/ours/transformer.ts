// Our side of train/transformer: the model of bench/opponents/transformer.py.
import { grad, nn, optim, scope, type Tensor } from 'quarterturn'
import { options, serve, spread, tokens } from './common.js'

const [VOCABULARY, WIDTH, HEADS, LAYERS] = [1000, 256, 8, 4]
const [B, T, BATCHES] = [16, 64, 8]

class Transformer extends nn.Module {
  embed = new nn.Embedding(VOCABULARY, WIDTH)
  encoder = new nn.TransformerEncoder(WIDTH, HEADS, {
    numLayers: LAYERS,
    dimFeedforward: 4 * WIDTH,
    dropout: 0,
    activation: 'gelu',
    normFirst: true,
  })
  head = new nn.Linear(WIDTH, VOCABULARY)

  forward(x: Tensor): Tensor {
    return this.head.forward(this.encoder.forward(this.embed.forward(x), { causal: true }))
  }
}

options()
const model = new Transformer()
const parameters = model.parameters()
for (const [k, parameter] of parameters.entries()) parameter.assign(spread(parameter.shape, 1000 * k, 0.06))
const optimizer = new optim.AdamW(parameters, { lr: 1e-3 })
const batches = Array.from({ length: BATCHES }, (_, k) => ({
  x: tokens([B, T], 5000 * k, VOCABULARY),
  y: tokens([B, T], 5000 * k + 1, VOCABULARY),
}))
let count = 0

function queueStep(): Tensor {
  const { x, y } = batches[count++ % BATCHES] as (typeof batches)[number]
  const loss = nn.functional.crossEntropy(model.forward(x), y)
  optimizer.step(grad(loss, parameters))
  return loss
}

await serve({ step: async () => (await scope(queueStep).item()) as number })
