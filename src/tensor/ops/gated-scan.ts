// Recurrences whose gates do not read the state: the gated linear scan, and minGRU and minLSTM on it. One layer, one direction.
import type { Meta } from '../record.js'
import { sameShape } from '../shape.js'
import { at, badShape, flag, type Input, like, needKernels, needLengths, needSameDType, op } from './spec.js'

export interface GatedScan {
  reverse: boolean
}

export interface Minimal extends GatedScan {
  /** Whether candidates are made positive. */
  positive: boolean
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
}

function minimal(name: string, gates: number) {
  return op<Minimal>({
    outputs: (inputs) => scanned(inputs, gates, name, 'input'),
    attributes: ({ positive, reverse }) => [flag(positive), flag(reverse)],
  })
}

/** h [B, T, H] and its last step [B, H], from x [B, T, G·H], h0 [B, H] and lengths [B]. */
function scanned(inputs: readonly Input[], gates: number, name: string, what: string): Meta[] {
  const [x, h0, lengths] = [at(inputs, 0), inputs[1], inputs[2]]
  needKernels(x, name, what)
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
