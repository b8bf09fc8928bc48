// Recurrences whose gates do not read the state: the gated linear scan, and minGRU and minLSTM on it. One layer, one direction.
import type { Meta } from '../record.js'
import { sameShape } from '../shape.js'
import { at, badShape, flag, type Input, like, needKernelsHere, needLengths, needSameDType, op } from './spec.js'

export interface GatedScan {
  reverse: boolean
}

export interface Minimal extends GatedScan {
  /** Whether candidates are made positive. */
  positive: boolean
}

/** What x is normalised by before a cell reads it. */
export const norms = { none: 0, layer: 1, rms: 2 } as const

export interface MinimalCell {
  positive: boolean
  norm: keyof typeof norms
  /** NaN: the step of the dtype at 1. */
  eps: number
}

export const gatedScan = {
  gatedScan: op<GatedScan>({
    outputs: ([a, b, h0, lengths]) => {
      const [gate, added] = [a as Meta, b as Meta]
      const results = scanned([gate, h0, lengths], 1, 'gatedScan', 'a')
      needSameDType([gate, added], 'gatedScan')
      if (!sameShape(gate.shape, added.shape))
        throw badShape('gatedScan', 'b', `[${gate.shape.join(', ')}], the shape of a`, added.shape)
      return results
    },
    attributes: ({ reverse }) => [flag(reverse)],
  }),
  minGRU: minimal('minGRU', 2),
  minLSTM: minimal('minLSTM', 3),
  minGRUCell: minimalCell('minGRUCell', 2),
  minLSTMCell: minimalCell('minLSTMCell', 3),
}

function minimal(name: string, gates: number) {
  return op<Minimal>({
    outputs: (inputs) => scanned(inputs, gates, name, 'input'),
    attributes: ({ positive, reverse }) => [flag(positive), flag(reverse)],
  })
}

/** h [B, H] from x [B, I], h [B, H], the weight [G·H, I] and bias of the map of x, and the weight and bias of its norm. */
function minimalCell(name: string, gates: number) {
  return op<MinimalCell>({
    outputs: (inputs) => {
      const [x, h, weight] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)]
      needKernelsHere(x, name, 'input', true)
      needSameDType(inputs, name)
      const [b, i] = x.shape as [number, number]
      if (x.shape.length !== 2) throw badShape(name, 'input', '[B, I]', x.shape)
      if (h.shape.length !== 2 || h.shape[0] !== b) throw badShape(name, 'h', `[B=${b}, H]`, h.shape)
      const rows = gates * (h.shape[1] as number)
      const need = (input: Input, what: string, letters: string, shape: readonly number[]): void => {
        if (input !== undefined && !sameShape(input.shape, shape)) throw badShape(name, what, letters, input.shape)
      }
      need(weight, 'weightIh', `[${gates}H=${rows}, I=${i}]`, [rows, i])
      need(inputs[3], 'biasIh', `[${gates}H=${rows}]`, [rows])
      need(inputs[4], 'the weight of the norm', `[I=${i}]`, [i])
      need(inputs[5], 'the bias of the norm', `[I=${i}]`, [i])
      return [like(h)]
    },
    attributes: ({ positive, norm, eps }) => [flag(positive), norms[norm], eps],
  })
}

/** h [B, T, H] and its last step [B, H], from x [B, T, G·H], h0 [B, H] and lengths [B]. */
function scanned(inputs: readonly Input[], gates: number, name: string, what: string): Meta[] {
  const [x, h0, lengths] = [at(inputs, 0), inputs[1], inputs[2]]
  needKernelsHere(x, name, what, true)
  needSameDType([x, h0], name)
  const form = `[B, T, ${gates === 1 ? '' : gates}H]`
  const [b, t, columns] = x.shape as [number, number, number]
  if (x.shape.length !== 3 || columns % gates !== 0) throw badShape(name, what, form, x.shape)
  const hidden = columns / gates
  if (h0 !== undefined && !sameShape(h0.shape, [b, hidden]))
    throw badShape(name, 'h0', `[B=${b}, H=${hidden}]`, h0.shape)
  needLengths(lengths, b, name)
  return [like(x, [b, t, hidden]), like(x, [b, hidden])]
}
