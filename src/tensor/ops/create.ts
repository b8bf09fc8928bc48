// Operations that make tensors: from bytes, constants, and the counter-based generator.

import { type Device, deviceCode } from '../device.js'
import { type DType, dtypes } from '../dtype.js'
import type { Meta } from '../record.js'
import { at, like, needFloat, type OpSpec, op, type Place, placeWords } from './spec.js'

/** Where in the stream of random numbers an operation reads: a Philox key and the first counter. */
export interface Draw {
  keyLow: number
  keyHigh: number
  offset: number
}

const place = ({ shape, dtype, device }: Place): Meta => ({ shape, dtype, device })
const drawWords = ({ keyLow, keyHigh, offset }: Draw): number[] => [keyLow, keyHigh, offset]

/** Two parameters of a distribution: low and high, or mean and deviation. */
function distribution(): OpSpec<Draw & Place & { a: number; b: number }> {
  return {
    outputs: (_, attributes) => [place(attributes)],
    attributes: (attributes) => [...drawWords(attributes), attributes.a, attributes.b, ...placeWords(attributes)],
  }
}

export const create = {
  fromBytes: op<Place & { staging: number }>({
    outputs: (_, attributes) => [place(attributes)],
    attributes: (attributes) => [attributes.staging, ...placeWords(attributes)],
  }),
  full: op<Place & { value: number }>({
    outputs: (_, attributes) => [place(attributes)],
    attributes: (attributes) => [attributes.value, ...placeWords(attributes)],
  }),
  arange: op<{ start: number; end: number; step: number; dtype: DType; device: Device }>({
    outputs: (_, { start, end, step, dtype, device }) => [
      { shape: [Math.max(0, Math.ceil((end - start) / step))], dtype, device },
    ],
    attributes: ({ start, end, step, dtype, device }) => [start, end, step, dtypes[dtype].code, deviceCode(device)],
  }),
  uniform: distribution(),
  normal: distribution(),
  randint: op<Draw & Place & { low: number; high: number }>({
    outputs: (_, attributes) => [place(attributes)],
    attributes: (attributes) => {
      const { low, high, device, shape } = attributes
      return [...drawWords(attributes), low, high, deviceCode(device), shape.length, ...shape]
    },
  }),
  permutation: op<Draw & { n: number; device: Device }>({
    outputs: (_, { n, device }) => [{ shape: [n], dtype: 'int64', device }],
    attributes: (attributes) => [...drawWords(attributes), attributes.n, deviceCode(attributes.device)],
  }),
  dropout: op<Draw & { p: number }>({
    outputs: (inputs) => {
      needFloat(at(inputs, 0), 'dropout')
      return [like(at(inputs, 0))]
    },
    attributes: (attributes) => [...drawWords(attributes), attributes.p],
  }),
}
