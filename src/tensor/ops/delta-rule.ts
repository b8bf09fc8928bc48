// The delta rule over a sequence, chunk by chunk. One layer, one direction, all heads.
import type { Meta } from '../record.js'
import { sameShape } from '../shape.js'
import { at, badShape, flag, type Input, like, needKernels, needLengths, needSameDType, op } from './spec.js'

export interface DeltaRule {
  reverse: boolean
}

export const deltaRule = {
  deltaRule: op<DeltaRule>({
    outputs: (inputs): Meta[] => {
      const name = 'deltaRule'
      const [query, value, lengths] = [at(inputs, 0), at(inputs, 2), inputs[6]]
      needKernels(query, name, 'query')
      needSameDType(inputs.slice(0, 6), name)
      if (query.shape.length !== 4) throw badShape(name, 'query', '[B, T, N, E]', query.shape)
      const [b, t, n, e] = query.shape as [number, number, number, number]
      const v = value.shape[3] ?? 0
      const need = (input: Input, what: string, letters: string, shape: readonly number[]): void => {
        if (input !== undefined && !sameShape(input.shape, shape)) throw badShape(name, what, letters, input.shape)
      }
      need(at(inputs, 1), 'key', `[B=${b}, T=${t}, N=${n}, E=${e}]`, query.shape)
      need(value, 'value', `[B=${b}, T=${t}, N=${n}, E′]`, [b, t, n, v])
      for (const [i, what] of [
        [3, 'beta'],
        [4, 'decay'],
      ] as const)
        need(i === 3 ? at(inputs, i) : inputs[i], what, `[B=${b}, T=${t}, N=${n}]`, [b, t, n])
      need(inputs[5], 'state', `[B=${b}, N=${n}, E=${e}, E′=${v}]`, [b, n, e, v])
      needLengths(lengths, b, name)
      return [like(query, value.shape), like(query, [b, n, e, v])]
    },
    attributes: ({ reverse }) => [flag(reverse)],
  }),
}
