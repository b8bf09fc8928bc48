// Our native side: nn.LSTM and nn.Linear on libtorch and our kernels, optim.Adam; the loss is awaited at every step, as all sides do.
import { grad, nn, optim, scope, setThreads, tensor } from 'quarterturn'
import { options, problem, serve, weights } from './common.mjs'

setThreads(options.threads)
const { B, T, I, H, lr } = problem
const batches = problem.batches.map(({ x, y }) => ({
  x: tensor(x, { shape: [B, T, I] }),
  y: tensor(y, { shape: [B, 1] }),
}))

class Net extends nn.Module {
  lstm = new nn.LSTM(I, H, { bias: false })
  head = new nn.Linear(H, 1)
  forward(x) {
    return this.head.forward(this.lstm.forward(x).output.select(1, -1))
  }
}

await serve('quarterturn, native', () => {
  const model = new Net()
  const named = Object.entries(weights()).map(([key, { data, shape }]) => [key, tensor(data, { shape })])
  model.loadStateDict(new Map(named))
  const parameters = model.parameters()
  const optimizer = new optim.Adam(parameters, { lr })
  return async (i) => {
    const { x, y } = batches[i]
    const loss = scope(() => {
      const error = nn.functional.mseLoss(model.forward(x), y)
      optimizer.step(grad(error, parameters))
      return error
    })
    return await loss.item()
  }
})
