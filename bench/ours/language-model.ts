// Our side of train/lm and engine/activations: the model of bench/opponents/language_model.py. With `part: 'plain'` the loop has no scope, with
// `dtype: 'bfloat16'` everything is computed in bfloat16 over float32 masters (train/bf16), with `device: 'cuda'` there (cuda/step/lm).
import { type DeviceLike, grad, nn, optim, scope, type Tensor } from 'quarterturn'
import { options, serve, spread, tokens } from './common.js'

const VOCABULARY = 8000
const WIDTH = 256
const LAYERS = 2
const B = 32
const T = 35
const BATCHES = 8

class LanguageModel extends nn.Module {
  embed = new nn.Embedding(VOCABULARY, WIDTH)
  rnn = new nn.LSTM(WIDTH, WIDTH, { numLayers: LAYERS })
  head = new nn.Linear(WIDTH, VOCABULARY)

  forward(x: Tensor): Tensor {
    return this.head.forward(this.rnn.forward(this.embed.forward(x)).output)
  }
}

const { part, dtype = 'float32', device = 'cpu' } = options()
const place = device as DeviceLike
const half = dtype === 'bfloat16'
const model = new LanguageModel()
const parameters = [...model.parameters()]
for (const [k, parameter] of parameters.entries()) parameter.assign(spread(parameter.shape, 1000 * k, 0.06))
model.to(place)
if (half) model.to('bfloat16')
const optimizer = new optim.AdamW(parameters, { lr: 1e-3, masters: half })
// A text is its own target, moved by one token.
const batches = Array.from({ length: BATCHES }, (_, k) => ({
  x: tokens([B, T], 5000 * k, VOCABULARY).to(place),
  y: tokens([B, T], 5000 * k + 1, VOCABULARY).to(place),
}))
let count = 0

function queueStep(): Tensor {
  const { x, y } = batches[count++ % BATCHES] as (typeof batches)[number]
  const loss = nn.functional.crossEntropy(model.forward(x), y)
  optimizer.step(grad(loss, parameters))
  return loss
}

// As `fit` does with each step: temporaries go at its end rather than with the collector.
const step = async (): Promise<number> => (await (part === 'plain' ? queueStep() : scope(queueStep)).item()) as number

await serve({ step })
