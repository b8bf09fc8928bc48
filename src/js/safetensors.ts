// Reading safetensors files: a header of JSON, then the numbers. The checksum that Quarterturn writes beside them is not looked at here.
import { CheckpointError } from '../errors.js'
import type { Values } from './module.js'

/** What a file holds: tensors by name, and the strings written beside them. */
export interface TensorFile {
  tensors: Map<string, Values>
  metadata: Record<string, string>
}

const READERS: Record<string, { bytes: number; read: (view: DataView, at: number) => number }> = {
  F64: { bytes: 8, read: (view, at) => view.getFloat64(at, true) },
  F32: { bytes: 4, read: (view, at) => view.getFloat32(at, true) },
  BF16: { bytes: 2, read: bfloat16 },
}

/**
 * The tensors of a file, whatever their dtype as float32.
 *
 * @throws CheckpointError (`ERR_CHECKPOINT`) for a file that is truncated or malformed, and for dtypes other than F32, F64 and BF16.
 */
export function parseSafetensors(file: ArrayBuffer | Uint8Array): TensorFile {
  const bytes = file instanceof Uint8Array ? file : new Uint8Array(file)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 8) throw damaged('it is too short')
  const length = Number(view.getBigUint64(0, true))
  if (length > bytes.length - 8) throw damaged('its header is cut off')
  const { __metadata__: metadata = {}, ...entries } = headerOf(bytes.subarray(8, 8 + length))
  const tensors = new Map<string, Values>()
  for (const [name, entry] of Object.entries(entries)) tensors.set(name, valuesOf(name, entry, view, 8 + length))
  return { tensors, metadata: metadata as Record<string, string> }
}

function headerOf(bytes: Uint8Array): Record<string, unknown> {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as Record<string, unknown>
  } catch (cause) {
    throw damaged('its header is not JSON', cause)
  }
}

function valuesOf(name: string, entry: unknown, view: DataView, start: number): Values {
  const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>
  const sizes = (value: unknown): value is number[] =>
    Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0)
  if (!sizes(shape) || !sizes(offsets) || offsets.length !== 2) throw damaged(`the entry of ${name} is malformed`)
  const reader = READERS[String(dtype)]
  if (reader === undefined) throw damaged(`${name} is of dtype ${String(dtype)}, not F32, F64 or BF16`)
  const [from, to] = offsets as [number, number]
  const count = shape.reduce((product, size) => product * size, 1)
  if (to - from !== count * reader.bytes || start + to > view.byteLength)
    throw damaged(`the numbers of ${name} are cut off`)
  const data = new Float32Array(count)
  for (let i = 0; i < count; i++) data[i] = reader.read(view, start + from + i * reader.bytes)
  return { shape, data }
}

const word = new DataView(new ArrayBuffer(4))

/** The upper half of a float32. */
function bfloat16(view: DataView, at: number): number {
  word.setUint32(0, view.getUint16(at, true) << 16)
  return word.getFloat32(0)
}

function damaged(why: string, cause?: unknown): CheckpointError {
  return new CheckpointError(`loadModel: model.safetensors is damaged: ${why}`, { op: 'loadModel', cause })
}
