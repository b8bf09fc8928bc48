// Selections whose size depends on the values: results of the largest size possible, filled from the front, and how much of them counts.
import { elements, sameShape, show } from '../shape.js'
import { at, badShape, like, type None, needDType, nothing, op } from './spec.js'

export const select = {
  nonzero: op<None>({
    outputs: (inputs) => {
      const x = at(inputs, 0)
      return [like(x, [elements(x.shape), x.shape.length], 'int64'), like(x, [], 'int64')]
    },
    attributes: nothing,
    differentiable: false,
  }),
  maskedSelect: op<None>({
    outputs: (inputs) => {
      const [x, mask] = [at(inputs, 0), at(inputs, 1)]
      needDType(mask, 'bool', 'maskedSelect', 'mask')
      if (!sameShape(mask.shape, x.shape)) throw badShape('maskedSelect', 'mask', show(x.shape), mask.shape)
      return [like(x, [elements(x.shape)]), like(x, [], 'int64')]
    },
    attributes: nothing,
  }),
  unique: op<None>({
    outputs: (inputs) => {
      const x = at(inputs, 0)
      const most = [elements(x.shape)]
      return [like(x, most), like(x, x.shape, 'int64'), like(x, most, 'int64'), like(x, [], 'int64')]
    },
    attributes: nothing,
    differentiable: false,
  }),
}
