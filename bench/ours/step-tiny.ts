// Our side of engine/step-tiny: the model of bench/opponents/step_tiny.py.
import { grad, matmul, optim, scope, type Tensor, tanh, Variable } from 'quarterturn'
import { options, serve, spread } from './common.js'

const DIM = 8
const BATCH = 4
const LAYERS = 33

options()
const weights = Array.from({ length: LAYERS }, (_, k) => new Variable(spread([DIM, DIM], 1000 * k, 0.5)))
const biases = Array.from({ length: LAYERS }, (_, k) => new Variable(spread([DIM], 1000 * k + 500, 0.1)))
const x = spread([BATCH, DIM], 77, 1)
const parameters = [...weights, ...biases]
const optimizer = new optim.SGD(parameters, { lr: 0.01 })

async function step(): Promise<number> {
  // As `fit` does with each step: temporaries go at its end rather than with the collector.
  const loss = scope(() => {
    let y: Tensor = x
    for (let k = 0; k < LAYERS; k++) y = tanh(matmul(y, weights[k] as Variable).add(biases[k] as Variable))
    const sum = y.sum()
    optimizer.step(grad(sum, parameters))
    return sum
  })
  return (await loss.item()) as number
}

await serve({ step })
