// Matrix products.
import { ShapeError } from '../../errors.js'
import { broadcast, show } from '../shape.js'
import { at, badShape, like, type None, needFloat, needNumbers, needSameDType, nothing, op } from './spec.js'

export const linalg = {
  matmul: op<None>({
    outputs: (inputs) => {
      const a = at(inputs, 0)
      const b = at(inputs, 1)
      needSameDType(inputs, 'matmul')
      needNumbers(a, 'matmul')
      const mismatch = (): ShapeError =>
        new ShapeError(
          `matmul: ${show(a.shape)} and ${show(b.shape)} do not multiply: the last axis of the first must equal the second to last of the second`,
          {
            op: 'matmul',
            expected: show(a.shape),
            got: show(b.shape),
          },
        )
      if (a.shape.length === 0 || b.shape.length === 0) throw mismatch()
      const [m, k] = a.shape.length === 1 ? [undefined, a.shape[0]] : a.shape.slice(-2)
      const [k2, n] = b.shape.length === 1 ? [b.shape[0], undefined] : b.shape.slice(-2)
      if (k !== k2) throw mismatch()
      const batch = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2), 'matmul')
      return [like(a, [...batch, ...(m === undefined ? [] : [m]), ...(n === undefined ? [] : [n])])]
    },
    attributes: nothing,
  }),
  linear: op<None>({
    outputs: (inputs) => {
      const x = at(inputs, 0)
      const weight = at(inputs, 1)
      const bias = inputs[2]
      needFloat(x, 'linear')
      needSameDType(inputs, 'linear')
      if (weight.shape.length !== 2) throw badShape('linear', 'weight', '[O, I]', weight.shape)
      const [o, i] = weight.shape as [number, number]
      if (x.shape.at(-1) !== i) throw badShape('linear', 'input', `[…, I=${i}]`, x.shape)
      if (bias !== undefined && (bias.shape.length !== 1 || bias.shape[0] !== o))
        throw badShape('linear', 'bias', `[O=${o}]`, bias.shape)
      return [like(x, [...x.shape.slice(0, -1), o])]
    },
    attributes: nothing,
  }),
}
