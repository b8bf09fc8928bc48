// What an optimizer keeps of its parameters, as a state dict and back.
import { tensor } from '../tensor/create.js'
import { stack } from '../tensor/functions.js'
import { withGrad } from '../tensor/record.js'
import { scope } from '../tensor/scope.js'
import { entriesOfState, misfit, refuse, type StateDict } from '../tensor/state-dict.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { Cohort, type LearningRate, state } from './cohort.js'
import type { StateLayout } from './states.js'

export interface Group<O> {
  readonly parameters: readonly Variable[]
  readonly options: O
  cohorts: Cohort[]
}

export interface Store<O> {
  readonly groups: readonly Group<O>[]
  /** By name; made when a parameter takes part for the first time. */
  readonly states: Map<Variable, Map<string, Variable>>
  /** The states that a parameter has or will have. */
  layout(options: O, parameter: Variable): readonly StateLayout[]
}

interface WithRate {
  lr: LearningRate
}

export function parametersOf({ groups }: Pick<Store<unknown>, 'groups'>): Variable[] {
  return groups.flatMap(({ parameters }) => parameters)
}

/** The state keys: `state.0.exp_avg`, numbered over all groups. */
function keysOf<O>({ groups, states, layout }: Store<O>) {
  let next = 0
  return groups.flatMap(({ parameters, options }) =>
    parameters.flatMap((parameter) => {
      const index = next++
      return layout(options, parameter).flatMap(({ name, value: like }) => {
        if (like === undefined) return []
        return { key: `state.${index}.${name}`, parameter, index, name, like, value: states.get(parameter)?.get(name) }
      })
    }),
  )
}

export function snapshot<O extends WithRate>(store: Store<O>): Map<string, Tensor> {
  const record = (): Map<string, Tensor> => {
    const cohorts = new Map(
      store.groups.flatMap((group) => group.cohorts.flatMap((c) => c.members.map((member) => [member, c]))),
    )
    const each = parametersOf(store).map((parameter) => cohorts.get(parameter) as Cohort)
    const rates = store.groups.map(({ options: { lr } }) => (typeof lr === 'number' ? lr : Number.NaN))
    const dict = new Map<string, Tensor>([
      ['steps', stack(each.map(({ count }) => count))],
      ['missed', tensor(Float32Array.from(each, ({ missed }) => missed))],
      ['lr', tensor(Float64Array.from(rates))],
    ])
    for (const { key, value } of keysOf(store)) if (value !== undefined) dict.set(key, value.clone())
    return dict
  }
  return withGrad(false, () => scope(record))
}

export async function restore<O extends WithRate>(store: Store<O>, dict: StateDict, op: string): Promise<void> {
  const given = entriesOfState(dict, op)
  refuse(problems(store, given), op)
  const read = async (key: string): Promise<number[]> => Array.from((await given.get(key)?.data()) as Float32Array)
  // Copies now: what happens to the given tensors while the counts are read does not matter.
  const copies = new Map<string, Variable>()
  for (const { key, parameter } of keysOf(store)) {
    const value = given.get(key)
    const name = `a state of ${parameter.name || 'a parameter'}`
    if (value !== undefined)
      copies.set(
        key,
        withGrad(false, () => scope(() => state(value.to(parameter.device), name))),
      )
  }
  const [steps, missed, lr] = await Promise.all([read('steps'), read('missed'), read('lr')])
  const late = keysOf(store).filter(({ key, index }) => (steps[index] as number) > 0 && !copies.has(key))
  const bad = late.map(({ key }) => `${key} is missing`)
  const whole = [...steps, ...missed].every((n) => Number.isInteger(n) && n >= 0)
  if (!whole) bad.push('steps and missed must be whole numbers ≥ 0')
  if (!lr.every((rate) => Number.isNaN(rate) || (rate >= 0 && rate < Infinity))) bad.push('lr must be numbers ≥ 0')
  refuse(bad, op)
  replaceStates(store, copies)
  let first = 0
  for (const [g, group] of store.groups.entries()) {
    group.cohorts = cohortsOf(group.parameters, steps.slice(first), missed.slice(first))
    first += group.parameters.length
    const rate = lr[g] as number
    if (typeof group.options.lr === 'number' && !Number.isNaN(rate)) group.options.lr = rate
  }
}

function problems<O>(store: Store<O>, given: ReadonlyMap<string, Tensor>): string[] {
  const likes = new Map<string, Pick<Tensor, 'shape' | 'dtype'>>(keysOf(store).map((k) => [k.key, k.like]))
  const n = parametersOf(store).length
  likes.set('steps', { shape: [n], dtype: 'float32' })
  likes.set('missed', { shape: [n], dtype: 'float32' })
  likes.set('lr', { shape: [store.groups.length], dtype: 'float64' })
  const missing = ['steps', 'missed', 'lr'].filter((key) => !given.has(key)).map((key) => `${key} is missing`)
  const wrong = [...given].flatMap(([key, value]) => {
    const like = likes.get(key)
    return (like === undefined ? `${key} is unexpected` : misfit(key, like, value)) ?? []
  })
  return [...missing, ...wrong]
}

function replaceStates<O>(store: Store<O>, copies: ReadonlyMap<string, Variable>): void {
  for (const old of store.states.values()) for (const one of old.values()) one.dispose()
  store.states.clear()
  for (const { key, parameter, name } of keysOf(store)) {
    const copy = copies.get(key)
    if (copy === undefined) continue
    const states = store.states.get(parameter) ?? new Map<string, Variable>()
    store.states.set(parameter, states.set(name, copy))
  }
}

/** Parameters with the same past are one cohort. */
function cohortsOf(parameters: readonly Variable[], steps: readonly number[], missed: readonly number[]): Cohort[] {
  const together = new Map<string, { members: Variable[]; done: number; missed: number }>()
  for (const [i, parameter] of parameters.entries()) {
    const past = { done: steps[i] as number, missed: missed[i] as number }
    const key = `${past.done} ${past.missed}`
    const others = together.get(key)
    if (others === undefined) together.set(key, { members: [parameter], ...past })
    else others.members.push(parameter)
  }
  return [...together.values()].map(({ members, ...past }) => new Cohort(members, past))
}
