// The JavaScript path against the native one: outputs, last states and every gradient of every layer and loss.
import { grad, nn, type Tensor, tensor, Variable } from 'quarterturn'
import * as js from 'quarterturn/js'
import { beforeEach, describe, expect, test } from 'vitest'
import { numbersOf } from '../parity/checkOp.js'
import { expectEqual, numbers, type Pair, recurrentPairs, rowPairs, share } from './pairs.js'

const code = (name: string) => expect.objectContaining({ code: name })

beforeEach(() => js.manualSeed(7))

/** Weights that are not what layers start with: gains and biases of a norm start as ones and zeros, and would hide what they do. */
function disturb(layer: js.Layer): void {
  let seed = 1
  for (const { data } of layer.parameters().values()) {
    const noise = numbers(data.length, seed++, 0.3)
    for (let i = 0; i < data.length; i++) data[i] = (data[i] as number) + (noise[i] as number)
  }
}

async function compare(
  { js: layer, nn: module }: Pair,
  shape: readonly number[],
  forward: (x: Float32Array) => Float32Array,
  native: (x: Tensor) => Tensor,
): Promise<void> {
  disturb(layer)
  share(layer, module)
  const count = shape.reduce((product, size) => product * size, 1)
  // Twice: the second pass finds memory that the first one used, and gradients that it left.
  for (const seed of [1, 2]) {
    const x = numbers(count, seed, 1.5)
    const y = forward(x)
    const dy = numbers(y.length, seed + 10)
    const variable = new Variable(tensor(x, { shape: [...shape] }))
    const output = native(variable)
    expect(layer.outputShape).toEqual(output.shape)
    expectEqual(y, await numbersOf(output), 'output')
    for (const { grad } of layer.parameters().values()) grad.fill(0)
    const dx = layer.backward(dy)
    const named = module.namedParameters()
    const gradients = grad(output, [variable, ...named.values()], { gradient: tensor(dy, { shape: output.shape }) })
    expectEqual(dx, await numbersOf(gradients.get(variable)), 'gradient of the input')
    expect([...layer.parameters().keys()]).toEqual([...named.keys()])
    for (const [key, value] of named)
      expectEqual((layer.parameters().get(key) as js.Parameter).grad, await numbersOf(gradients.get(value)), key)
  }
}

describe.each([
  [1, 1, 1, 1],
  [3, 5, 4, 6],
  [2, 7, 3, 5],
  [5, 4, 8, 16],
  [16, 3, 9, 33],
])('B=%d T=%d I=%d H=%d', (B, T, I, H) => {
  test.each(Object.entries(recurrentPairs(I, H)))('%s is the native one, forward and backward', async (_, pair) => {
    const [layer, module] = [pair.js as js.Stacked, pair.nn as nn.LSTM]
    let state: Record<string, Tensor> = {}
    await compare(
      pair,
      [B, T, I],
      (x) => layer.forward(x, [B, T, I]),
      (x) => {
        const out = module.forward(x)
        state = out.state as never
        return out.output
      },
    )
    expectEqual(layer.state.h, await numbersOf(state.h as Tensor), 'state.h')
    if (state.c) expectEqual(layer.state.c as Float32Array, await numbersOf(state.c), 'state.c')
  })

  test.each(Object.entries(recurrentPairs(I, H)))('%s stops where a row ends', async (_, pair) => {
    const lengths = Array.from({ length: B }, (_, b) => (b === 1 ? 0 : 1 + (b % T)))
    const [layer, module] = [pair.js as js.Stacked, pair.nn as nn.LSTM]
    await compare(
      pair,
      [B, T, I],
      (x) => layer.forward(x, [B, T, I], { lengths }),
      (x) => module.forward(x, undefined, { lengths }).output,
    )
    const { state } = module.forward(tensor(numbers(B * T * I, 2, 1.5), { shape: [B, T, I] }), undefined, { lengths })
    expectEqual(layer.state.h, await numbersOf(state.h), 'state.h')
  })

  test.each(Object.entries(recurrentPairs(I, H)))('%s goes on from a state', async (_, { js: own, nn: module }) => {
    const layer = own as js.Stacked
    disturb(layer)
    share(layer, module)
    const x = numbers(B * T * I)
    layer.forward(x, [B, T, I])
    const h = layer.state.h.slice()
    const state = layer.state.c === undefined ? { h } : { h, c: layer.state.c.slice() }
    const y = layer.forward(x, [B, T, I], { state })
    const shape = [h.length / (B * H), B, H]
    const native = Object.fromEntries(Object.entries(state).map(([name, data]) => [name, tensor(data, { shape })]))
    const { output } = (module as nn.LSTM).forward(tensor(x, { shape: [B, T, I] }), native as never)
    expectEqual(y, await numbersOf(output), 'output')
  })

  test.each(Object.entries(rowPairs(I, H)))('%s is the native one, forward and backward', async (_, pair) => {
    const shape = [B, T, pair.width]
    const forward = pair.nn as nn.Linear
    await compare(
      pair,
      shape,
      (x) => pair.js.forward(x, shape),
      (x) => forward.forward(x),
    )
  })
})

test('Embedding is the native one, forward and backward', async () => {
  const layer = new js.Embedding(5, 3, { paddingIndex: 2 })
  const module = new nn.Embedding(5, 3, { paddingIndex: 2 })
  share(layer, module)
  const index = Int32Array.from([4, 2, 0, 4, 4, 1])
  const dy = numbers(18)
  const output = module.forward(tensor([...index], { shape: [2, 3], dtype: 'int64' }))
  expectEqual(layer.forward(index, [2, 3]), await numbersOf(output), 'output')
  layer.backward(dy)
  const gradients = grad(output, [module.weight], { gradient: tensor(dy, { shape: [2, 3, 3] }) })
  expectEqual(layer.weight.grad, await numbersOf(gradients.get(module.weight)), 'weight')
})

test('losses are the native ones, with their gradients', async () => {
  const x = numbers(24, 3, 4)
  const target = numbers(24, 4)
  const mse = new js.MSELoss()
  const a = new Variable(tensor(x, { shape: [24] }))
  const native = nn.functional.mseLoss(a, tensor(target))
  expectEqual([mse.forward(x, target)], [(await native.item()) as number], 'mse')
  expectEqual(mse.backward(), await numbersOf(grad(native, [a]).get(a)), 'gradient')

  const labels = [2, 0, 3, 1, 0, 2]
  const entropy = new js.CrossEntropyLoss({ ignoreIndex: 0 })
  const b = new Variable(tensor(x, { shape: [2, 3, 4] }))
  const classes = tensor(labels, { shape: [2, 3], dtype: 'int64' })
  const other = nn.functional.crossEntropy(b, classes, { ignoreIndex: 0 })
  expectEqual([entropy.forward(x, [2, 3, 4], labels)], [(await other.item()) as number], 'cross entropy')
  expectEqual(entropy.backward(), await numbersOf(grad(other, [b]).get(b)), 'gradient')
})

test('the last step takes the gradient of the last step', () => {
  const last = new js.LastStep()
  expect([...last.forward(Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8]), [2, 2, 2])]).toEqual([3, 4, 7, 8])
  expect([...last.backward(Float32Array.from([1, 2, 3, 4]))]).toEqual([0, 0, 1, 2, 0, 0, 3, 4])
})

test('what does not fit is refused with the code of the native path', () => {
  const rnn = new js.LSTM(2, 3)
  const x = new Float32Array(8)
  expect(() => rnn.forward(x, [2, 2, 3])).toThrow(code('ERR_SHAPE'))
  expect(() => rnn.forward(x, [2, 2])).toThrow('lstm: input must be [B, T, I=2], got [2, 2]')
  expect(() => rnn.forward(x, [1, 2, 2])).toThrow(code('ERR_SHAPE'))
  expect(() => rnn.forward(x, [2, 2, 2], { state: { h: new Float32Array(5) } })).toThrow('state.h')
  expect(() => rnn.forward(x, [2, 2, 2], { state: { h: new Float32Array(6) } })).toThrow('state.c')
  expect(() => rnn.forward(x, [2, 2, 2], { lengths: [1, 3] })).toThrow(code('ERR_RANGE'))
  expect(() => rnn.backward(new Float32Array(12))).toThrow('backward must follow a forward pass')
  rnn.forward(x, [2, 2, 2])
  expect(() => rnn.backward(new Float32Array(11))).toThrow(code('ERR_SHAPE'))
  expect(() => new js.LSTM(0, 3)).toThrow(code('ERR_ARGUMENT'))
  expect(() => new js.RNN(2, 3, { nonlinearity: 'gelu' as never })).toThrow(code('ERR_ARGUMENT'))
  expect(() => new js.Linear(3, 1).forward(x, [4, 2])).toThrow('linear: input must be […, I=3], got [4, 2]')
  expect(() => new js.Embedding(3, 2).forward(Int32Array.of(3), [1])).toThrow(code('ERR_RANGE'))
  expect(() => new js.CrossEntropyLoss().forward(x, [4, 2], [0, 1, 2, 0])).toThrow(code('ERR_RANGE'))
  expect(() => new js.MSELoss().forward(x, [1])).toThrow(code('ERR_SHAPE'))
  expect(() => new js.SGD(rnn.parameters(), { lr: -1 })).toThrow(code('ERR_ARGUMENT'))
  expect(() => new js.SGD(rnn.parameters(), { nesterov: true })).toThrow(code('ERR_ARGUMENT'))
  expect(() => new js.AdamW(rnn.parameters(), { betas: [1, 0.9] })).toThrow(code('ERR_ARGUMENT'))
  expect(() => new js.Linear(2, 2).loadStateDict(new js.Linear(2, 1).parameters())).toThrow(code('ERR_CHECKPOINT'))
  expect(() => new js.Linear(2, 2).loadStateDict(new Map())).toThrow('missing keys: weight, bias')
})
