// The dense recurrences: one layer, one direction; and stacks of them, which our kernels run as one operation. Dropout is composed in src/nn.
import { ArgumentError } from '../../errors.js'
import type { Meta } from '../record.js'
import { type Shape, sameShape } from '../shape.js'
import {
  at,
  badShape,
  flag,
  type Input,
  like,
  needFloat,
  needKernels,
  needKernelsHere,
  needLengths,
  needRank,
  needSameDType,
  op,
} from './spec.js'

export const nonlinearities = { tanh: 0, relu: 1 } as const
export type Nonlinearity = keyof typeof nonlinearities

/** Whose arithmetic: our kernels (float32 and bfloat16 on the CPU; elsewhere libtorch's are used all the same), or libtorch's own. */
export const implementations = { quarterturn: 0, libtorch: 1 } as const
export type Implementation = keyof typeof implementations

export interface Sequence {
  reverse: boolean
  /** @default 'quarterturn' */
  implementation?: Implementation
  /** 0: every step is saved. @default 0 */
  recompute?: number
}

export interface Stack {
  bidirectional: boolean
}

const words = ({ reverse, implementation = 'quarterturn' }: Sequence): number[] => [
  flag(reverse),
  implementations[implementation],
]

export const recurrent = {
  lstm: op<Sequence>({
    outputs: (inputs, attributes) => {
      const { y, h, c } = sequence(inputs, 4, 'lstm', attributes)
      return [y, h, c]
    },
    attributes: (attributes) => [...words(attributes), attributes.recompute ?? 0],
  }),
  gru: op<Sequence>({
    outputs: (inputs, attributes) => {
      const { y, h } = sequence(inputs, 3, 'gru', attributes)
      return [y, h]
    },
    attributes: (attributes) => [...words(attributes), attributes.recompute ?? 0],
  }),
  rnn: op<Sequence & { nonlinearity: Nonlinearity }>({
    outputs: (inputs, attributes) => {
      const { y, h } = sequence(inputs, 1, 'rnn', attributes)
      return [y, h]
    },
    attributes: (attributes) => [
      ...words(attributes),
      nonlinearities[attributes.nonlinearity],
      attributes.recompute ?? 0,
    ],
  }),
  lstmStack: op<Stack>({
    outputs: (inputs, { bidirectional }) => stack(inputs, 4, 'lstm', bidirectional),
    attributes: ({ bidirectional }) => [flag(bidirectional)],
  }),
  gruStack: op<Stack>({
    outputs: (inputs, { bidirectional }) => stack(inputs, 3, 'gru', bidirectional),
    attributes: ({ bidirectional }) => [flag(bidirectional)],
  }),
}

/** For what only our own kernels can do. */
export function refuseLibtorch(op: string, what: string): ArgumentError {
  return new ArgumentError(
    `${op}: ${what} needs implementation 'quarterturn': libtorch's operation has no such thing`,
    {
      op,
      expected: "implementation 'quarterturn'",
      got: "implementation 'libtorch'",
    },
  )
}

/** A projection is libtorch's. */
export function refuseProjection(op: string, what: string): ArgumentError {
  return new ArgumentError(
    `${op}: ${what} and a projection exclude each other: libtorch's operation computes the projection`,
    {
      op,
      expected: `${what} or a projection`,
      got: 'both',
    },
  )
}

/** The shapes of the outputs, after every input has been checked against the weights. */
function sequence(
  inputs: readonly Input[],
  gates: number,
  name: string,
  { implementation = 'quarterturn', recompute = 0 }: Sequence,
): { y: Meta; h: Meta; c: Meta } {
  const x = at(inputs, 0)
  const states = gates === 4 ? 2 : 1
  const floats = inputs.filter((_, i) => i !== 5 + states)
  const [weightIh, weightHh] = [at(inputs, 1 + states), at(inputs, 2 + states)]
  const [lengths, weightHr] = [inputs[5 + states], inputs[6 + states]]
  needFloat(x, name)
  needSameDType(floats, name)
  needRank(weightHh, 2, name, 'weightHh', `[${gates}H, H]`)
  if (weightHr !== undefined) needRank(weightHr, 2, name, 'weightHr', '[P, H]')
  // What a step hands to the next: H wide, or projected to P.
  const [width, hidden] = (weightHr?.shape ?? [weightHh.shape[1], weightHh.shape[1]]) as [number, number]
  if (!sameShape(weightHh.shape, [gates * hidden, width])) {
    const form = weightHr === undefined ? `[${gates}H, H]` : `[${gates * hidden}, P=${width}]`
    throw badShape(name, 'weightHh', form, weightHh.shape)
  }
  needRank(weightIh, 2, name, 'weightIh', `[${gates}H, I]`)
  const [rows, features] = weightIh.shape as [number, number]
  if (rows !== gates * hidden) throw badShape(name, 'weightIh', `[${gates * hidden}, I]`, weightIh.shape)
  if (x.shape.length !== 3 || x.shape[2] !== features) throw badShape(name, 'input', `[B, T, I=${features}]`, x.shape)
  const [b, t] = x.shape as [number, number, number]
  needState(inputs[1], [b, width], `[B=${b}, ${weightHr === undefined ? 'H' : 'P'}=${width}]`, name, 'h0')
  if (states === 2) needState(inputs[2], [b, hidden], `[B=${b}, H=${hidden}]`, name, 'c0')
  for (const bias of [inputs[3 + states], inputs[4 + states]]) {
    if (bias !== undefined && !sameShape(bias.shape, [gates * hidden]))
      throw badShape(name, 'bias', `[${gates * hidden}]`, bias.shape)
  }
  needLengths(lengths, b, name)
  if (lengths !== undefined) needOurs(x, implementation, weightHr, name, 'lengths')
  if (recompute > 0) needOurs(x, implementation, weightHr, name, 'recompute')
  return { y: like(x, [b, t, width]), h: like(x, [b, width]), c: like(x, [b, hidden]) }
}

/** Tensors of one layer in one direction. */
const SET = 4

/**
 * The shapes of the outputs of layers and directions. Inputs: x, the states [K·D, B, H] or nothing, lengths, masks [K−1, B, T, D·H], then of
 * each layer and, within it, direction weightIh, weightHh, biasIh, biasHh.
 */
function stack(inputs: readonly Input[], gates: number, name: string, bidirectional: boolean): Meta[] {
  const states = gates === 4 ? 2 : 1
  const [x, lengths, masks] = [at(inputs, 0), inputs[1 + states], inputs[2 + states]]
  const first = 3 + states
  needKernels(x, name)
  needSameDType([x, ...inputs.slice(1, 1 + states), masks, ...inputs.slice(first)], name)
  const directions = bidirectional ? 2 : 1
  const passes = (inputs.length - first) / SET
  const layers = passes / directions
  const [b, t] = x.shape as [number, number]
  let [read, hidden] = [x, 0]
  for (let pass = 0; pass < passes; pass++) {
    if (pass >= directions) read = like(x, [b, t, directions * hidden])
    const set = inputs.slice(first + pass * SET, first + (pass + 1) * SET)
    const none = Array.from({ length: states }, () => undefined)
    const { h } = sequence([read, ...none, ...set, lengths], gates, name, { reverse: false })
    hidden = h.shape[1] as number
  }
  const state = [passes, b, hidden]
  for (const [i, what] of ['h0', 'c0'].slice(0, states).entries())
    needState(inputs[1 + i], state, `[K·D=${passes}, B=${b}, H=${hidden}]`, name, what)
  const output = [b, t, directions * hidden]
  needState(masks, [layers - 1, ...output], `[K−1=${layers - 1}, B=${b}, T=${t}, D·H=${output[2]}]`, name, 'masks')
  return [like(x, output), ...Array.from({ length: states }, () => like(x, state))]
}

function needState(state: Input, shape: Shape, form: string, name: string, what: string): void {
  if (state !== undefined && !sameShape(state.shape, shape)) throw badShape(name, what, form, state.shape)
}

function needOurs(x: Meta, implementation: Implementation, weightHr: Input, name: string, what: string): void {
  if (implementation === 'libtorch') throw refuseLibtorch(name, what)
  if (weightHr !== undefined) throw refuseProjection(name, what)
  // On CUDA our kernels know lengths, in the sizes that they reach; the engine says where they do not.
  if (what === 'lengths') needKernelsHere(x, name, `input with ${what}`, true)
  else needKernels(x, name, `input with ${what}`, true)
}
