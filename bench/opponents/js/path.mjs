// Our JavaScript path: js.LSTM and js.Linear in plain TypeScript, js.AdamW without decay, which is Adam.
import * as js from 'quarterturn/js'
import { problem, serve, weights } from './common.mjs'

const { B, T, I, H, lr, batches } = problem

await serve(`quarterturn/js, Node ${process.version}`, () => {
  const [lstm, head] = [new js.LSTM(I, H, { bias: false }), new js.Linear(H, 1)]
  const given = weights()
  lstm.loadStateDict(
    new Map([
      ['weight_ih_l0', given['lstm.weight_ih_l0']],
      ['weight_hh_l0', given['lstm.weight_hh_l0']],
    ]),
  )
  head.loadStateDict(
    new Map([
      ['weight', given['head.weight']],
      ['bias', given['head.bias']],
    ]),
  )
  const model = new js.Sequential(lstm, new js.LastStep(), head)
  const loss = new js.MSELoss()
  const optimizer = new js.AdamW(model.parameters(), { lr, weightDecay: 0 })
  return (i) => {
    const { x, y } = batches[i]
    const error = loss.forward(model.forward(x, [B, T, I]), y)
    model.backward(loss.backward(), false) // no side computes the gradient of x
    optimizer.step()
    return error
  }
})
