// Tensors from the bytes of files of other programs: their dtypes, and views with strides laid out row by row.
import type { Device } from '../device.js'
import { type DType, fromHalf, isDType } from '../dtype.js'
import { unscope } from '../lifetime.js'
import { stage } from '../queue.js'
import { elements, type Shape } from '../shape.js'
import { call, type Tensor } from '../tensor.js'

/** How elements lie in a file, little-endian. */
export interface ForeignFormat {
  readonly name: string
  readonly bytes: number
  /** One element as an int64 or float32, for dtypes that the library does not have. */
  readonly read?: (view: DataView, at: number) => bigint | number
}

export const formats: Readonly<Record<string, ForeignFormat>> = {
  float64: { name: 'float64', bytes: 8 },
  float32: { name: 'float32', bytes: 4 },
  bfloat16: { name: 'bfloat16', bytes: 2 },
  float16: { name: 'float16', bytes: 2, read: (view, at) => fromHalf(view.getUint16(at, true)) },
  int64: { name: 'int64', bytes: 8 },
  int32: { name: 'int32', bytes: 4, read: (view, at) => BigInt(view.getInt32(at, true)) },
  int16: { name: 'int16', bytes: 2, read: (view, at) => BigInt(view.getInt16(at, true)) },
  int8: { name: 'int8', bytes: 1, read: (view, at) => BigInt(view.getInt8(at)) },
  uint32: { name: 'uint32', bytes: 4, read: (view, at) => BigInt(view.getUint32(at, true)) },
  uint16: { name: 'uint16', bytes: 2, read: (view, at) => BigInt(view.getUint16(at, true)) },
  uint8: { name: 'uint8', bytes: 1, read: (view, at) => BigInt(view.getUint8(at)) },
  bool: { name: 'bool', bytes: 1 },
}

/** Where a tensor lies in its bytes, counted in elements. */
export interface Layout {
  readonly offset: number
  readonly shape: Shape
  readonly strides: Shape
}

/**
 * A tensor of its own from a view that lies within `bytes`. float16 becomes float32, and integers that the library does not have int64.
 * Undefined: values that the dtype cannot have.
 */
export function foreignTensor(
  bytes: Uint8Array,
  format: ForeignFormat,
  layout: Layout,
  device: Device,
): Tensor | undefined {
  const rows = laidOut(bytes, format.bytes, layout)
  if (format.name === 'bool' && rows.some((byte) => byte > 1)) return undefined
  const { dtype, content } = converted(rows, format)
  const tensor = call('fromBytes', [], { staging: stage(content), shape: layout.shape, dtype, device })
  unscope(tensor)
  return tensor
}

/** The strides of a tensor that lies row by row. */
export function rowByRow(shape: Shape): number[] {
  const strides = new Array<number>(shape.length)
  let step = 1
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = step
    step *= shape[axis] as number
  }
  return strides
}

/** The elements of a view, row by row; without a copy where they lie so. */
function laidOut(bytes: Uint8Array, width: number, { offset, shape, strides }: Layout): Uint8Array {
  const count = elements(shape)
  if (count === 0) return new Uint8Array(0)
  const plain = rowByRow(shape)
  if (shape.every((size, axis) => size === 1 || strides[axis] === plain[axis]))
    return bytes.subarray(offset * width, (offset + count) * width)
  const out = new Uint8Array(count * width)
  const index = new Array<number>(shape.length).fill(0)
  let from = offset
  for (let i = 0; i < count; i++) {
    for (let byte = 0; byte < width; byte++) out[i * width + byte] = bytes[from * width + byte] as number
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const size = shape[axis] as number
      const stride = strides[axis] as number
      from += stride
      index[axis] = (index[axis] as number) + 1
      if ((index[axis] as number) < size) break
      from -= stride * size
      index[axis] = 0
    }
  }
  return out
}

function converted(
  bytes: Uint8Array,
  { name, bytes: width, read }: ForeignFormat,
): { dtype: DType; content: Uint8Array } {
  if (read === undefined || (isDType(name) && name !== 'float16')) return { dtype: name as DType, content: bytes }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const count = bytes.byteLength / width
  if (name === 'float16') {
    const values = Float32Array.from({ length: count }, (_, i) => read(view, i * width) as number)
    return { dtype: 'float32', content: new Uint8Array(values.buffer) }
  }
  const values = BigInt64Array.from({ length: count }, (_, i) => read(view, i * width) as bigint)
  return { dtype: 'int64', content: new Uint8Array(values.buffer) }
}
