// The recurrences: one layer, one direction; layers, directions and dropout are composed in src/nn.
import type { Meta } from '../record.js'
import { sameShape } from '../shape.js'
import { at, badShape, flag, type Input, like, needFloat, needRank, needSameDType, op } from './spec.js'

export const nonlinearities = { tanh: 0, relu: 1 } as const
export type Nonlinearity = keyof typeof nonlinearities

/** Whose arithmetic: our kernels (float32 on the CPU; elsewhere libtorch's are used all the same), or libtorch's own. */
export const implementations = { quarterturn: 0, libtorch: 1 } as const
export type Implementation = keyof typeof implementations

export interface Sequence {
  reverse: boolean
  /** @default 'quarterturn' */
  implementation?: Implementation
}

const words = ({ reverse, implementation = 'quarterturn' }: Sequence): number[] => [
  flag(reverse),
  implementations[implementation],
]

export const recurrent = {
  lstm: op<Sequence>({
    outputs: (inputs) => {
      const { y, h } = sequence(inputs, 4, 'lstm')
      return [y, h, h]
    },
    attributes: words,
  }),
  gru: op<Sequence>({
    outputs: (inputs) => {
      const { y, h } = sequence(inputs, 3, 'gru')
      return [y, h]
    },
    attributes: words,
  }),
  rnn: op<Sequence & { nonlinearity: Nonlinearity }>({
    outputs: (inputs) => {
      const { y, h } = sequence(inputs, 1, 'rnn')
      return [y, h]
    },
    attributes: (attributes) => [...words(attributes), nonlinearities[attributes.nonlinearity]],
  }),
}

/** The shapes of the outputs, after every input has been checked against the weights. */
function sequence(inputs: readonly Input[], gates: number, name: string): { y: Meta; h: Meta } {
  const x = at(inputs, 0)
  const states = gates === 4 ? 2 : 1
  const weightIh = at(inputs, 1 + states)
  const weightHh = at(inputs, 2 + states)
  needFloat(x, name)
  needSameDType(inputs, name)
  needRank(weightHh, 2, name, 'weightHh', `[${gates}H, H]`)
  const hidden = weightHh.shape[1] as number
  if (weightHh.shape[0] !== gates * hidden) throw badShape(name, 'weightHh', `[${gates}H, H]`, weightHh.shape)
  needRank(weightIh, 2, name, 'weightIh', `[${gates}H, I]`)
  const [rows, width] = weightIh.shape as [number, number]
  if (rows !== gates * hidden) throw badShape(name, 'weightIh', `[${gates * hidden}, I]`, weightIh.shape)
  if (x.shape.length !== 3 || x.shape[2] !== width) throw badShape(name, 'input', `[B, T, I=${width}]`, x.shape)
  const [b, t] = x.shape as [number, number, number]
  for (let i = 1; i <= states; i++) {
    const state = at(inputs, i)
    if (!sameShape(state.shape, [b, hidden]))
      throw badShape(name, i === 1 ? 'h0' : 'c0', `[B=${b}, H=${hidden}]`, state.shape)
  }
  for (const bias of [inputs[3 + states], inputs[4 + states]]) {
    if (bias !== undefined && !sameShape(bias.shape, [gates * hidden]))
      throw badShape(name, 'bias', `[${gates * hidden}]`, bias.shape)
  }
  return { y: like(x, [b, t, hidden]), h: like(x, [b, hidden]) }
}
