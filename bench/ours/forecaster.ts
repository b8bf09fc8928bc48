// Our side of train/forecaster: the step of models.Forecaster with its defaults, hourly values of two series, three days to one.
import { grad, models, optim, scope, type Tensor } from 'quarterturn'
import { options, serve, spread } from './common.js'

const [B, PAST, FUTURE, INPUTS] = [64, 72, 24, 2]
const BATCHES = 8

options()
const model = new models.Forecaster({ inputs: INPUTS, past: PAST, future: FUTURE, dropout: 0 })
const parameters = model.parameters()
for (const [k, parameter] of parameters.entries()) parameter.assign(spread(parameter.shape, 1000 * k, 0.1))
const optimizer = new optim.AdamW(parameters, { lr: 2e-3, weightDecay: 0.01 })
const batches = Array.from({ length: BATCHES }, (_, k) => ({
  past: spread([B, PAST, INPUTS], 5000 * k, 1),
  future: spread([B, FUTURE, INPUTS], 5000 * k + 1, 1),
}))
let count = 0

function queueStep(): Tensor {
  const { loss } = model.loss(batches[count++ % BATCHES] as (typeof batches)[number])
  optimizer.step(grad(loss, parameters))
  return loss
}

await serve({ step: async () => (await scope(queueStep).item()) as number })
