// Recurrences whose gates read the state, each unit its own only: ParaGRU and ParaLSTM. One layer, one direction.
import type { Meta } from '../record.js'
import { sameShape } from '../shape.js'
import { at, badShape, flag, like, needKernels, needLengths, needSameDType, op } from './spec.js'

export interface Diagonal {
  /** Whether the steps are solved together, by Newton’s method, rather than one after the other. */
  newton: boolean
  reverse: boolean
}

const GATES = 3

export const diagonal = {
  paraGRU: cell('paraGRU', 3, ['h']),
  paraLSTM: cell('paraLSTM', 5, ['h', 'c']),
}

/** h [B, T, H] and the last states [B, H], from p [B, T, 3·H], the weights [W, H], the states [B, H] and lengths [B]. */
function cell(name: string, weights: number, states: readonly string[]) {
  return op<Diagonal>({
    outputs: (inputs): Meta[] => {
      const [p, weight, lengths] = [at(inputs, 0), at(inputs, 1), inputs[2 + states.length]]
      needKernels(p, name)
      needSameDType(inputs.slice(0, 2 + states.length), name)
      const [b, t, columns] = p.shape as [number, number, number]
      if (p.shape.length !== 3 || columns % GATES !== 0) throw badShape(name, 'input', `[B, T, ${GATES}H]`, p.shape)
      const hidden = columns / GATES
      if (!sameShape(weight.shape, [weights, hidden]))
        throw badShape(name, 'weightHh', `[${weights}, H=${hidden}]`, weight.shape)
      for (const [i, letter] of states.entries()) {
        const state = inputs[2 + i]
        if (state !== undefined && !sameShape(state.shape, [b, hidden]))
          throw badShape(name, `${letter}0`, `[B=${b}, H=${hidden}]`, state.shape)
      }
      needLengths(lengths, b, name)
      return [like(p, [b, t, hidden]), ...states.map(() => like(p, [b, hidden]))]
    },
    attributes: ({ newton, reverse }) => [flag(newton), flag(reverse)],
  })
}
