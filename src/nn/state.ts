// Loading a state dict into a module: everything is checked before anything changes.
import { noGrad } from '../tensor/scope.js'
import { show } from '../tensor/shape.js'
import { entriesOfState, misfit, refuse, type StateDict } from '../tensor/state-dict.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { type Members, resolveAlias } from './members.js'

/** Overwrites the Variables of `members`; throws a CheckpointError where something does not fit. */
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
  const missing = [...members.variables]
    .filter(([path]) => !given.has(path))
    .map(([path, variable]) => `${path} ${show(variable.shape)} is missing`)
  refuse(strict ? [...missing, ...unexpected, ...problems] : problems, op)
  noGrad(() => {
    for (const [path, value] of given) (members.variables.get(path) as Variable).assign(value)
  })
}
