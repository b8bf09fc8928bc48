// State dicts: tensors by name, and what is wrong with them before anything is loaded.
import { ArgumentError, CheckpointError } from '../errors.js'
import { sameShape, show } from './shape.js'
import { Tensor } from './tensor.js'

/** Tensors by path, as `stateDict` gives and safetensors files hold them. */
export type StateDict = ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>

export function entriesOfState(dict: StateDict, op: string): ReadonlyMap<string, Tensor> {
  if (dict instanceof Map) return dict
  if (typeof dict === 'object' && dict !== null && !(dict instanceof Promise)) return new Map(Object.entries(dict))
  const got = dict instanceof Promise ? 'a Promise (await it)' : String(dict)
  throw new ArgumentError(`${op}: expected a Map or an object of tensors, got ${got}`, {
    op,
    expected: 'tensors by path',
    got,
  })
}

/** What keeps `value` from being copied to a tensor like `target`; undefined: nothing. */
export function misfit(path: string, target: Pick<Tensor, 'shape' | 'dtype'>, value: unknown): string | undefined {
  if (!(value instanceof Tensor)) return `${path} must be a tensor, got ${value === null ? 'null' : typeof value}`
  if (value.isDisposed) return `${path} was disposed`
  if (!sameShape(value.shape, target.shape)) return `${path} must be ${show(target.shape)}, got ${show(value.shape)}`
  if (value.dtype !== target.dtype)
    return `${path} must be ${target.dtype}, got ${value.dtype}; convert it with .to('${target.dtype}')`
  return undefined
}

/** Throws one CheckpointError that lists `problems`, if there are any. */
export function refuse(problems: readonly string[], op: string): void {
  if (problems.length === 0) return
  const many = problems.length === 1 ? 'one problem' : `${problems.length} problems`
  throw new CheckpointError(`${op}: ${many}, so nothing was loaded:\n  ${problems.join('\n  ')}`, { op, got: many })
}
