// Our side of residual/resnet20-train: the model of bench/opponents/resnet20.py.
import { grad, models, optim, scope, type Tensor } from 'quarterturn'
import { options, serve, spread, tokens } from './common.js'

const [B, BATCHES] = [128, 4]

options()
const model = new models.ResNet({ labels: Array.from({ length: 10 }, (_, i) => `${i}`), depth: 20 })
const parameters = model.parameters()
for (const [k, parameter] of parameters.entries())
  if (parameter.rank > 1) {
    const fanIn = parameter.size / (parameter.shape[0] as number)
    parameter.assign(spread(parameter.shape, 1000 * k, Math.sqrt(6 / fanIn)))
  }
model.fc.bias?.assign(spread([10], 0, 0))
const optimizer = new optim.SGD(parameters, { lr: 0.01, momentum: 0.9, weightDecay: 1e-4 })
const batches = Array.from({ length: BATCHES }, (_, k) => ({
  images: spread([B, 3, 32, 32], 5000 * k, 1),
  labels: tokens([B], 5000 * k + 1, 10),
}))
let count = 0

function queueStep(): Tensor {
  const { loss } = model.loss(batches[count++ % BATCHES] as (typeof batches)[number])
  optimizer.step(grad(loss, parameters))
  return loss
}

await serve({ step: async () => (await scope(queueStep).item()) as number })
