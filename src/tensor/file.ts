// Tensor files: safetensors, written whole or not at all, and verified when read.
import { resolve } from 'node:path'
import { ArgumentError, CheckpointError } from '../errors.js'
import { native } from '../native.js'
import { told } from '../told.js'
import { type DeviceLike, device } from './device.js'
import { checkDType, type DType } from './dtype.js'
import { unscope } from './lifetime.js'
import { needOptions } from './options.js'
import { ask, request, stage, throwPending } from './queue.js'
import { inputId } from './record.js'
import type { Shape } from './shape.js'
import { call, Tensor } from './tensor.js'

/** Tensors by name, as a Map or a plain object. */
export type NamedTensors = ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>

/** What a file holds: tensors by name in the order of the file, and the strings written beside them. */
export interface TensorFile {
  tensors: Map<string, Tensor>
  metadata: Record<string, string>
}

export interface LoadOptions {
  /** Where the tensors are put (default: `'cpu'`). */
  device?: DeviceLike
}

/**
 * Writes tensors to a safetensors file, as they are at this place in the order of operations.
 *
 * The file is written aside, flushed to the disk and renamed: at `path` there is always the old file or the new one, whole. A checksum goes into
 * its metadata, which other readers ignore.
 *
 * @throws ArgumentError for names or metadata that are not strings; FileError (`ERR_IO`), with the path and the system's code, where the file system
 * refuses; the first error of a tensor, or of an earlier operation that nobody awaited.
 */
export async function saveSafetensors(
  path: string,
  tensors: NamedTensors,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  throwPending()
  needOptions(tensors, 'saveSafetensors', 'tensors')
  const entries = [...(tensors instanceof Map ? tensors : Object.entries(tensors))] as [string, Tensor][]
  for (const [name, tensor] of entries) {
    if (typeof name !== 'string' || name === '' || name === '__metadata__') {
      throw new ArgumentError(
        `saveSafetensors: names must be strings other than '' and '__metadata__', got ${JSON.stringify(name)}`,
        { op: 'saveSafetensors', got: String(name) },
      )
    }
    if (!(tensor instanceof Tensor))
      throw new ArgumentError(`saveSafetensors: ${name} must be a tensor, got ${told(tensor)}`, {
        op: 'saveSafetensors',
        expected: 'a tensor',
        got: told(tensor),
      })
  }
  for (const [key, value] of Object.entries(needOptions(metadata, 'saveSafetensors', 'metadata'))) {
    if (typeof value !== 'string')
      throw new ArgumentError(`saveSafetensors: metadata.${key} must be a string, got ${typeof value}`, {
        op: 'saveSafetensors',
        expected: 'a string',
        got: typeof value,
      })
  }
  const ids = entries.map(([, tensor]) => inputId(tensor, 'saveSafetensors'))
  const order = { path: absolute(path, 'saveSafetensors'), names: entries.map(([name]) => name), metadata }
  await request('save', ids, [stage(new TextEncoder().encode(JSON.stringify(order)))])
}

/**
 * The tensors of a safetensors file, by name in the order of the file.
 *
 * @throws FileError (`ERR_IO`) where the file cannot be read; CheckpointError (`ERR_CHECKPOINT`) where it is damaged: truncated, malformed, or of another
 * content than its checksum says.
 */
export async function loadSafetensors(path: string, options: LoadOptions = {}): Promise<Map<string, Tensor>> {
  return (await loadCheckpointFile(path, options)).tensors
}

/** More than any model has; each costs time and memory for nothing. */
const MOST_AXES = 64

interface Loaded {
  metadata: Record<string, string>
  tensors: { name: string; dtype: DType; shape: Shape; staging: number }[]
}

/** Like `loadSafetensors`, with the file's metadata. */
export async function loadCheckpointFile(path: string, options: LoadOptions = {}): Promise<TensorFile> {
  const { device: where = 'cpu' } = optionsOf(options, 'loadSafetensors')
  const place = device(where, 'loadSafetensors')
  const file = absolute(path, 'loadSafetensors')
  const { metadata, tensors } = (await ask((id) => native().load(id, file))) as Loaded
  const deep = tensors.find(({ shape }) => shape.length > MOST_AXES)
  if (deep !== undefined) {
    throw new CheckpointError(`${file}: ${deep.name} has ${deep.shape.length} axes; at most ${MOST_AXES} are read`, {
      op: 'loadSafetensors',
      expected: `≤ ${MOST_AXES} axes`,
      got: String(deep.shape.length),
    })
  }
  const named = new Map<string, Tensor>()
  for (const { name, dtype, shape, staging } of tensors) {
    const tensor = call('fromBytes', [], { staging, shape, dtype: checkDType(dtype, 'loadSafetensors'), device: place })
    unscope(tensor)
    named.set(name, tensor)
  }
  return { tensors: named, metadata }
}

/** A path as an absolute one. */
export function absolute(path: unknown, op: string): string {
  if (typeof path === 'string' && path !== '' && !path.includes('\0')) return resolve(path)
  throw new ArgumentError(
    `${op}: path must be a string, got ${typeof path === 'string' ? JSON.stringify(path) : typeof path}`,
    {
      op,
      expected: 'a path',
      got: typeof path === 'string' ? path : typeof path,
    },
  )
}

/** A copy of the options of a call, so that whatever a getter in them throws is told apart. */
export function optionsOf<T extends object>(options: T, op: string): T {
  try {
    if (typeof options === 'object' && options !== null) return { ...options }
  } catch (cause) {
    throw new ArgumentError(`${op}: the options cannot be read`, { op, expected: 'an object', cause })
  }
  const got = options === null ? 'null' : typeof options
  throw new ArgumentError(`${op}: options must be an object, got ${got}`, { op, expected: 'an object', got })
}
