// Loading a state dict into a module: everything is checked before anything changes.
import { ArgumentError, CheckpointError } from '../errors.js'
import { noGrad } from '../tensor/scope.js'
import { sameShape, show } from '../tensor/shape.js'
import { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { type Members, resolveAlias } from './members.js'

/** Tensors by path, as `stateDict` gives and safetensors files hold them. */
export type StateDict = ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>

export function entriesOfState(dict: StateDict, op: string): Map<string, Tensor> {
  if (dict instanceof Map) return dict
  if (typeof dict === 'object' && dict !== null && !(dict instanceof Promise)) return new Map(Object.entries(dict))
  const got = dict instanceof Promise ? 'a Promise (await it)' : String(dict)
  throw new ArgumentError(`${op}: expected a Map or an object of tensors, got ${got}`, { op, expected: 'tensors by path', got })
}

/** What keeps `value` from being assigned to `variable`. */
export function misfit(path: string, variable: Tensor, value: unknown): string | undefined {
  if (!(value instanceof Tensor)) return `${path} must be a tensor, got ${value === null ? 'null' : typeof value}`
  if (value.isDisposed) return `${path} was disposed`
  if (!sameShape(value.shape, variable.shape)) return `${path} must be ${show(variable.shape)}, got ${show(value.shape)}`
  if (value.dtype !== variable.dtype) return `${path} must be ${variable.dtype}, got ${value.dtype}; convert it, or the module, with .to()`
  return undefined
}

/** Throws one CheckpointError that lists `problems`, if there are any. */
export function refuse(problems: readonly string[], op: string): void {
  if (problems.length === 0) return
  const many = problems.length === 1 ? 'one problem' : `${problems.length} problems`
  throw new CheckpointError(`${op}: ${many}, so nothing was loaded:\n  ${problems.join('\n  ')}`, { op, got: many })
}

export function loadState(members: Members, dict: StateDict, strict: boolean): void {
  const op = 'loadStateDict'
  const given = new Map<string, Tensor>()
  const unexpected: string[] = []
  const problems: string[] = []
  for (const [key, value] of entriesOfState(dict, op)) {
    const path = resolveAlias(key, members)
    const variable = members.variables.get(path)
    if (variable === undefined) {
      unexpected.push(`${key} is unexpected`)
      continue
    }
    const problem = misfit(key, variable, value)
    if (problem !== undefined) problems.push(problem)
    // The first path wins where the dict has the same parameter twice.
    if (key === path || !given.has(path)) given.set(path, value)
  }
  const missing = [...members.variables].filter(([path]) => !given.has(path)).map(([path, variable]) => `${path} ${show(variable.shape)} is missing`)
  refuse(strict ? [...missing, ...unexpected, ...problems] : problems, op)
  noGrad(() => {
    for (const [path, value] of given) (members.variables.get(path) as Variable).assign(value)
  })
}
