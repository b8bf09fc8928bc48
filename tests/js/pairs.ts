// Each layer of the JavaScript path beside the one of nn, with one set of weights.
import { nn, tensor } from 'quarterturn'
import * as js from 'quarterturn/js'
import { expect } from 'vitest'

/** What both paths may differ by: 1e-5 of the value, and of 1. */
const TOLERANCE = 1e-5

export interface Pair {
  js: js.Layer
  nn: nn.Module
  /** Of the input, without the batch axes. */
  width: number
}

export function expectEqual(actual: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  expect(actual.length, `${what}: number of elements`).toBe(expected.length)
  for (let i = 0; i < expected.length; i++) {
    const [a, e] = [actual[i] as number, expected[i] as number]
    if (!(Math.abs(a - e) <= TOLERANCE * Math.max(1, Math.abs(e))))
      expect.fail(`${what}: element ${i} is ${a}, expected ${e}`)
  }
}

/** Gives the module of nn the weights of the layer. */
export function share(layer: js.Layer, module: nn.Module): void {
  module.loadStateDict(
    new Map([...layer.parameters()].map(([key, { data, shape }]) => [key, tensor(data.slice(), { shape })])),
  )
}

/** Numbers within ± scale, by position. */
export function numbers(count: number, seed = 1, scale = 1): Float32Array {
  return Float32Array.from(
    { length: count },
    (_, i) => ((((i + seed * 977) * 2654435761) % 4294967296) / 2147483648 - 1) * scale,
  )
}

const stacked = [{}, { numLayers: 2, bidirectional: true }, { bias: false }] as const
const recurrent = { LSTM: [js.LSTM, nn.LSTM], GRU: [js.GRU, nn.GRU], RNN: [js.RNN, nn.RNN] } as const
const minimal = { MinGRU: [js.MinGRU, nn.MinGRU], MinLSTM: [js.MinLSTM, nn.MinLSTM] } as const

/** Recurrent layers with I inputs and H units, by name. */
export function recurrentPairs(I: number, H: number): Record<string, Pair> {
  const pairs: Record<string, Pair> = {}
  for (const options of stacked) {
    const about = ` ${JSON.stringify(options)}`
    for (const [name, [Ours, Native]] of Object.entries(recurrent))
      pairs[name + about] = { js: new Ours(I, H, options), nn: new Native(I, H, options), width: I }
    const relu = { ...options, nonlinearity: 'relu' } as const
    pairs[`RNN with ReLU${about}`] = { js: new js.RNN(I, H, relu), nn: new nn.RNN(I, H, relu), width: I }
    for (const [name, [Ours, Native]] of Object.entries(minimal))
      for (const positive of [false, true]) {
        const all = { ...options, positive }
        pairs[`${name}${positive ? ', positive' : ''}${about}`] = {
          js: new Ours(I, H, all),
          nn: new Native(I, H, all),
          width: I,
        }
      }
  }
  return pairs
}

/** Layers that take any axes before the last. */
export function rowPairs(I: number, H: number): Record<string, Pair> {
  const highway = { layers: 3, nonlinearity: 'tanh' } as const
  return {
    Linear: { js: new js.Linear(I, H), nn: new nn.Linear(I, H), width: I },
    'Linear without bias': {
      js: new js.Linear(I, H, { bias: false }),
      nn: new nn.Linear(I, H, { bias: false }),
      width: I,
    },
    LayerNorm: { js: new js.LayerNorm(H), nn: new nn.LayerNorm(H), width: H },
    Highway: { js: new js.Highway(I), nn: new nn.Highway(I), width: I },
    'Highway of three layers': { js: new js.Highway(I, highway), nn: new nn.Highway(I, highway), width: I },
    ResidualMLP: { js: new js.ResidualMLP(I, H), nn: new nn.ResidualMLP(I, H), width: I },
    ReLU: { js: new js.ReLU(), nn: new nn.ReLU(), width: I },
    Tanh: { js: new js.Tanh(), nn: new nn.Tanh(), width: I },
    Sigmoid: { js: new js.Sigmoid(), nn: new nn.Sigmoid(), width: I },
    GELU: { js: new js.GELU(), nn: new nn.GELU({ approximate: true }), width: I },
  }
}
