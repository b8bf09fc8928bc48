// Several layers and both directions as one operation of our kernels: the same as layer after layer, dropout, lengths and gradients included.
import { cat, grad, manualSeed, nn, normal, stack, type Tensor, Variable } from 'quarterturn'
import { beforeEach, describe, expect, test } from 'vitest'
import { expectClose } from '../tolerances.js'

const [B, T, I, H] = [3, 7, 5, 6]
const K = 3
const P = 0.4
const lengths = [7, 0, 4]

const kinds = {
  LSTM: { make: (options: nn.LSTMOptions) => new nn.LSTM(I, H, options), cell: nn.functional.lstm, states: ['h', 'c'] },
  GRU: { make: (options: nn.LSTMOptions) => new nn.GRU(I, H, options), cell: nn.functional.gru, states: ['h'] },
} as const

type State = Record<string, Tensor>
type Cell = (x: Tensor, state: never, weights: never, options: object) => { output: Tensor; state: State }

/** The layers of `model` one after the other. */
function oneByOne(model: nn.LSTM | nn.GRU, cell: Cell, x: Tensor, state: State): Tensor[] {
  const directions = model.bidirectional ? 2 : 1
  const last: State[] = []
  let output = x
  for (let k = 0; k < model.numLayers; k++) {
    const input = k === 0 ? output : nn.functional.dropout(output, P, { training: model.training })
    const outputs = Array.from({ length: directions }, (_, d) => {
      const at = k * directions + d
      const before = Object.fromEntries(Object.entries(state).map(([name, part]) => [name, part.select(0, at)]))
      const result = cell(input, before as never, model.weights[at] as never, { reverse: d === 1, lengths })
      last.push(result.state)
      return result.output
    })
    output = cat(outputs, 2)
  }
  return [output, ...Object.keys(state).map((name) => stack(last.map((one) => one[name] as Tensor)))]
}

beforeEach(() => manualSeed(11))

describe.each(Object.entries(kinds))('%s', (_, { make, cell, states }) => {
  test.each([false, true])(
    'layers as one operation are the layers one after the other, with dropout and lengths (both directions: %s)',
    async (bidirectional) => {
      const model = make({ numLayers: K, dropout: P, bidirectional })
      const x = new Variable(normal([B, T, I]))
      const passes = K * (bidirectional ? 2 : 1)
      const state = Object.fromEntries(states.map((name) => [name, new Variable(normal([passes, B, H]))]))
      manualSeed(3)
      const together = model.forward(x, state as never, { lengths })
      manualSeed(3)
      const apart = oneByOne(model, cell as unknown as Cell, x, state)
      const results = [together.output, ...states.map((name) => (together.state as unknown as State)[name] as Tensor)]
      const inputs = [x, ...Object.values(state), ...model.parameters()]
      const gradients = [results, apart].map((tensors) => {
        const found = grad(
          tensors.map((one) => one.square().sum()).reduce((sum, one) => sum.add(one)),
          inputs,
        )
        return inputs.map((input) => found.get(input))
      }) as [Tensor[], Tensor[]]
      for (const [i, one] of results.entries()) expect(await one.data()).toEqual(await (apart[i] as Tensor).data())
      for (const [i, one] of gradients[0].entries()) {
        const expected = (await (gradients[1][i] as Tensor).data()) as Float32Array
        expectClose((await one.data()) as Float32Array, expected, 'float32', `gradient ${i}`)
      }
    },
  )
})
