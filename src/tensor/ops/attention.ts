// Scaled-dot-product attention.
import type { Meta } from '../record.js'
import { broadcast, sameShape, show } from '../shape.js'
import type { Draw } from './create.js'
import { at, badDType, badShape, flag, like, needFloat, needSameDType, op } from './spec.js'

export interface Attention extends Draw {
  causal: boolean
  /** Whether several heads of the query, the axis before the last two, share one of key and value. */
  enableGqa?: boolean
  /** Factor of the products; NaN: 1/√E. */
  scale: number
  /** Probability of dropping a weight. */
  p: number
}

const NAME = 'scaledDotProductAttention'

function needLeading(x: Meta, name: string, leading: readonly number[], last: string): void {
  if (!sameShape(x.shape.slice(0, -2), leading) || x.shape.length < 2)
    throw badShape(NAME, name, `[${[...leading, last].join(', ')}]`, x.shape)
}

/** The query's leading axes with the heads of the key, which must divide the query's. */
function sharedHeads(leading: readonly number[], key: Meta): number[] {
  const [heads, own] = [leading.at(-1), key.shape.at(-3)]
  if (heads === undefined || own === undefined || own === 0 || heads % own !== 0)
    throw badShape(NAME, 'key', `[…, heads that divide ${heads ?? 'those of the query'}, S, E]`, key.shape)
  return [...leading.slice(0, -1), own]
}

export const attention = {
  scaledDotProductAttention: op<Attention>({
    outputs: (inputs, { enableGqa = false }) => {
      const [query, key, value, mask] = [at(inputs, 0), at(inputs, 1), at(inputs, 2), inputs[3]]
      needFloat(query, NAME, 'query')
      needSameDType([query, key, value], NAME)
      if (query.shape.length < 2) throw badShape(NAME, 'query', '[…, L, E]', query.shape)
      const leading = query.shape.slice(0, -2)
      const [l, e] = query.shape.slice(-2) as [number, number]
      const shared = enableGqa ? sharedHeads(leading, key) : leading
      needLeading(key, 'key', shared, `S, E=${e}`)
      const [s, keyWidth] = key.shape.slice(-2) as [number, number]
      if (keyWidth !== e) throw badShape(NAME, 'key', `[…, S, E=${e}]`, key.shape)
      needLeading(value, 'value', shared, `S=${s}, V`)
      const [steps, v] = value.shape.slice(-2) as [number, number]
      if (steps !== s) throw badShape(NAME, 'value', `[…, S=${s}, V]`, value.shape)
      if (mask !== undefined) {
        if (mask.dtype !== 'bool' && mask.dtype !== query.dtype)
          throw badDType(NAME, 'mask', `bool or ${query.dtype}`, mask.dtype)
        const weights = [...leading, l, s]
        if (!sameShape(broadcast(mask.shape, weights, NAME), weights))
          throw badShape(NAME, 'mask', `broadcast to ${show(weights)}`, mask.shape)
      }
      return [like(query, [...leading, l, v])]
    },
    attributes: ({ causal, enableGqa = false, scale, keyLow, keyHigh, offset, p }) => [
      flag(causal),
      flag(enableGqa),
      scale,
      keyLow,
      keyHigh,
      offset,
      p,
    ],
  }),
}
