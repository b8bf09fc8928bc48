// This library, native.
import * as nn from '../../../nn/index.js'
import { Adam } from '../../../optim/index.js'
import { grad, noGrad, scope, setThreads, type Tensor, tensor } from '../../../tensor/index.js'
import type { Contender, Model } from '../contender.js'
import { type Spec, shapeOf, weightsOf } from '../spec.js'

class Recurrent extends nn.Module {
  readonly rnn: nn.LSTM | nn.GRU | nn.MinLSTM
  readonly head: nn.Linear

  constructor({ kind, inputSize, hiddenSize, outputSize }: Spec) {
    super()
    const Layer = { lstm: nn.LSTM, gru: nn.GRU, minlstm: nn.MinLSTM }[kind as 'lstm' | 'gru' | 'minlstm']
    this.rnn = new Layer(inputSize, hiddenSize, { bias: false })
    this.head = new nn.Linear(hiddenSize, outputSize)
  }

  forward(x: Tensor): Tensor {
    return this.head.forward(this.rnn.forward(x).output.select(1, -1))
  }
}

export function load(threads: number, version: string): Contender {
  setThreads(threads)
  return { about: `quarterturn ${version}, native, ${threads} thread(s)`, open: async (spec) => open(spec) }
}

function open(spec: Spec): Model<{ x: Tensor; y: Tensor }> {
  const model = spec.kind === 'residual' ? new nn.ResidualMLP(spec.inputSize, spec.hiddenSize) : new Recurrent(spec)
  model.loadStateDict(
    new Map(
      [...weightsOf(spec)].map(([name, { shape, data }]) => [
        spec.kind === 'residual' || name.startsWith('head') ? name : `rnn.${name}`,
        tensor(data, { shape }),
      ]),
    ),
  )
  const parameters = model.parameters()
  const optimizer = new Adam(parameters, { lr: spec.lr })
  return {
    batch: (x, y) => ({
      x: tensor(x, { shape: shapeOf(spec) }),
      y:
        spec.loss === 'mse'
          ? tensor(y as Float32Array, { shape: [spec.batch, spec.outputSize] })
          : tensor(y as Int32Array, { shape: [spec.batch], dtype: 'int64' }),
    }),
    step: async ({ x, y }) => {
      const loss = scope(() => {
        const out = model.forward(x)
        const value = spec.loss === 'mse' ? nn.functional.mseLoss(out, y) : nn.functional.crossEntropy(out, y)
        optimizer.step(grad(value, parameters))
        return value
      })
      return Number(await loss.item())
    },
    predict: async ({ x }) => (await noGrad(() => scope(() => model.forward(x))).data()) as Float32Array,
  }
}
