// This library's JavaScript path.
import * as js from '../../../js/index.js'
import type { Contender, Model } from '../contender.js'
import { type Spec, shapeOf, weightsOf } from '../spec.js'

export function load(version: string): Contender {
  return { about: `quarterturn/js ${version}, plain JavaScript`, open: async (spec) => open(spec) }
}

function modelOf({ kind, inputSize, hiddenSize, outputSize }: Spec): js.Layer {
  if (kind === 'residual') return new js.ResidualMLP(inputSize, hiddenSize)
  const Layer = { lstm: js.LSTM, gru: js.GRU, minlstm: js.MinLSTM }[kind]
  const rnn = new Layer(inputSize, hiddenSize, { bias: false })
  return new js.Sequential(rnn, new js.LastStep(), new js.Linear(hiddenSize, outputSize))
}

function open(spec: Spec): Model<{ x: Float32Array; y: Float32Array | Int32Array }> {
  const model = modelOf(spec)
  const key = (name: string) =>
    spec.kind === 'residual' ? name : name.startsWith('head.') ? name.replace('head', '2') : `0.${name}`
  model.loadStateDict(new Map([...weightsOf(spec)].map(([name, weight]) => [key(name), weight])))
  const optimizer = new js.AdamW(model.parameters(), { lr: spec.lr, weightDecay: 0 })
  const mse = new js.MSELoss()
  const crossEntropy = new js.CrossEntropyLoss()
  const shape = shapeOf(spec)
  return {
    batch: (x, y) => ({ x, y }),
    step: async ({ x, y }) => {
      const out = model.forward(x, shape)
      const value = spec.loss === 'mse' ? mse.forward(out, y) : crossEntropy.forward(out, model.outputShape, y)
      model.backward((spec.loss === 'mse' ? mse : crossEntropy).backward())
      optimizer.step()
      return value
    },
    predict: async ({ x }) => model.forward(x, shape),
  }
}
