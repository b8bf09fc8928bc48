// The sLSTM over a sequence: one layer, one direction, all heads.
import type { Meta } from '../record.js'
import { sameShape } from '../shape.js'
import { at, badShape, flag, like, needKernels, needLengths, needSameDType, op } from './spec.js'

export interface SLSTM {
  reverse: boolean
}

const GATES = 4
/** h, c, n, m */
const STATES = 4

export const slstm = {
  sLSTM: op<SLSTM>({
    outputs: (inputs): Meta[] => {
      const name = 'sLSTM'
      const [x, weight, state, lengths] = [at(inputs, 0), at(inputs, 1), inputs[2], inputs[3]]
      needKernels(x, name)
      needSameDType(inputs.slice(0, 3), name)
      const [b, t, columns] = x.shape as [number, number, number]
      if (x.shape.length !== 3 || columns % GATES !== 0) throw badShape(name, 'input', `[B, T, ${GATES}H]`, x.shape)
      const hidden = columns / GATES
      const [rows, size = 0] = weight.shape
      if (weight.shape.length !== 2 || rows !== columns || (size === 0 ? hidden > 0 : hidden % size !== 0))
        throw badShape(name, 'weightHh', `[${GATES}H=${columns}, E], E a divisor of H`, weight.shape)
      if (state !== undefined && !sameShape(state.shape, [STATES, b, hidden]))
        throw badShape(name, 'state', `[${STATES}, B=${b}, H=${hidden}]`, state.shape)
      needLengths(lengths, b, name)
      return [like(x, [b, t, hidden]), like(x, [STATES, b, hidden])]
    },
    attributes: ({ reverse }) => [flag(reverse)],
  }),
}
