// Optimizer: parameter groups, learning rates, state, and the step that is all or nothing.
import { ArgumentError, CheckpointError } from '../errors.js'
import { zeros, zerosLike } from '../tensor/create.js'
import type { Gradients } from '../tensor/grad.js'
import type { Rates } from '../tensor/ops/control.js'
import { countStep, throwPending } from '../tensor/queue.js'
import { withGrad } from '../tensor/record.js'
import { sameShape, show } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { Variable } from '../tensor/variable.js'

/** A rate, or the rate for each number of steps done so far (0, 1, …). It must be a pure function. */
export type LearningRate = number | ((step: number) => number)

export interface OptimizerOptions {
  lr: LearningRate
}

/** Parameters with options of their own; what is absent is taken from the optimizer's options. */
export type ParameterGroup<O> = { parameters: Iterable<Variable> } & Partial<O>

export type Parameters<O> = Iterable<Variable> | Iterable<ParameterGroup<O>>

/** Makes an optimizer for parameters: what `fit` takes. */
export type OptimizerFactory = (parameters: Iterable<Variable>) => Optimizer

export interface StepOptions {
  /** A gradient that is NaN or infinite: `'ignore'` (default, as PyTorch), `'error'` (`ERR_NOT_FINITE`, naming the parameter), or `'skip'` the step. */
  notFinite?: 'ignore' | 'error' | 'skip'
  /** Keeps the gradients usable afterwards; by default they are freed. */
  keep?: boolean
}

const policies = { ignore: 0, error: 1, skip: 2 } as const
/** Steps after which the number of those that succeeded is read back, where the rate depends on it. */
const COUNT_EVERY = 16

/**
 * Updates parameters in place from gradients. A step is one operation over all parameters of a group: if a gradient is marked by an error, or is
 * not finite and that is an error, nothing changes at all, the count of steps and so the schedule included.
 *
 * Differs from PyTorch: gradients are an argument, matched by Variable, and are consumed; the learning rate may be a function of the step.
 */
export abstract class Optimizer<O extends OptimizerOptions = OptimizerOptions> {
  readonly #groups: Group<O>[]

  protected constructor(
    readonly op: string,
    parameters: Parameters<O>,
    defaults: O,
    /** Names of the states kept for each parameter, as PyTorch calls them. */
    states: (options: O) => readonly string[],
  ) {
    const groups = grouped(parameters).map(({ parameters: members, ...own }) => ({ members: [...members], options: { ...defaults, ...own } as O }))
    const seen = new Set<Variable>()
    for (const { members } of groups) {
      for (const parameter of members) {
        if (seen.has(parameter)) throw new ArgumentError(`${op}: ${parameter.name || 'a parameter'} is given twice`, { op })
        seen.add(parameter)
      }
    }
    if (seen.size === 0) throw new ArgumentError(`${op}: no parameters were given`, { op, expected: 'parameters', got: 'none' })
    this.#groups = groups.map(({ members, options }) => new Group(members, options, states(options)))
  }

  /** The learning rate of the first group; setting it sets all. */
  get lr(): LearningRate {
    return (this.#groups[0] as Group<O>).options.lr
  }

  set lr(lr: LearningRate) {
    if (typeof lr !== 'function') needNumber(lr, 'lr', this.op, 0)
    for (const group of this.#groups) group.options.lr = lr
  }

  /** Options of each group, which may be changed between steps. */
  get groups(): readonly { readonly parameters: readonly Variable[]; readonly options: O }[] {
    return this.#groups
  }

  /**
   * Queues one step. Parameters without a gradient, and frozen ones, are left alone.
   *
   * @throws first any error that nobody has awaited.
   */
  step(gradients: Gradients, { notFinite = 'ignore', keep = false }: StepOptions = {}): void {
    throwPending()
    let used = 0
    for (const group of this.#groups) {
      const members = group.parameters.map((_, i) => i).filter((i) => group.takes(i, gradients))
      if (members.length === 0) continue
      used += members.length
      const pick = <T>(list: readonly T[]): T[] => members.map((i) => list[i] as T)
      const parameters = pick(group.parameters)
      const inputs = [group.count, ...parameters, ...parameters.map((p) => gradients.get(p)), ...group.states.flatMap(pick)]
      withGrad(false, () => this.update(inputs, { n: parameters.length, ...group.rates(policies[notFinite]) }, group.options))
    }
    if (used === 0) throw new ArgumentError(`${this.op}: none of the gradients belongs to a parameter of this optimizer`, { op: this.op })
    countStep()
    if (!keep) gradients.dispose()
  }

  /** Records the operation of one group over count, parameters, gradients and states. */
  protected abstract update(inputs: readonly Tensor[], rates: Rates & { n: number }, options: O): void

  /** A snapshot: `groups.0.step`, `state.0.exp_avg`, … numbered over all groups. */
  stateDict(): Map<string, Tensor> {
    return withGrad(false, () => new Map(this.#entries().map(([key, variable]) => [key, variable.clone()])))
  }

  /**
   * Restores a snapshot. Everything is checked before anything changes.
   *
   * @throws CheckpointError (`ERR_CHECKPOINT`) listing what is missing, unexpected or of another shape.
   */
  async loadStateDict(dict: ReadonlyMap<string, Tensor> | Record<string, Tensor>): Promise<this> {
    const given = dict instanceof Map ? (dict as ReadonlyMap<string, Tensor>) : new Map(Object.entries(dict))
    const entries = this.#entries()
    const known = new Set(entries.map(([key]) => key))
    const problems = [...given.keys()].filter((key) => !known.has(key)).map((key) => `unexpected ${key}`)
    for (const [key, variable] of entries) {
      const tensor = given.get(key)
      if (tensor === undefined) problems.push(`missing ${key}`)
      else if (!sameShape(tensor.shape, variable.shape)) problems.push(`${key} is ${show(tensor.shape)} instead of ${show(variable.shape)}`)
    }
    if (problems.length > 0) throw new CheckpointError(`${this.op}: the state is of another optimizer: ${problems.join('; ')}`, { op: this.op })
    for (const [key, variable] of entries) variable.assign(given.get(key) as Tensor)
    await Promise.all(this.#groups.map((group) => group.readCount()))
    return this
  }

  #entries(): [string, Variable][] {
    let first = 0
    return this.#groups.flatMap((group, g) => {
      const entries: [string, Variable][] = [[`groups.${g}.step`, group.count]]
      group.names.forEach((name, s) => {
        group.states[s]?.forEach((state, i) => {
          entries.push([`state.${first + i}.${name}`, state])
        })
      })
      first += group.parameters.length
      return entries
    })
  }
}

/** The parameters of one group with their state. */
class Group<O extends OptimizerOptions> {
  readonly count: Variable
  readonly states: readonly Variable[][]
  /** Steps known to have been done, and steps recorded until then. */
  #known = { count: 0, recorded: 0 }
  #recorded = 0

  constructor(
    readonly parameters: readonly Variable[],
    readonly options: O,
    readonly names: readonly string[],
  ) {
    const state = (value: Tensor): Variable => new Variable(value, { requiresGrad: false })
    this.count = state(zeros([]))
    this.states = withGrad(false, () => names.map(() => parameters.map((parameter) => state(zerosLike(parameter)))))
  }

  takes(index: number, gradients: Gradients): boolean {
    const parameter = this.parameters[index] as Variable
    return parameter.requiresGrad && gradients.has(parameter)
  }

  /** The rates of the next step: how many of the steps in flight will succeed is not known yet. */
  rates(policy: number): Rates {
    const { lr } = this.options
    if (typeof lr === 'number') {
      this.#recorded++
      return { policy, base: 0, rates: [lr] }
    }
    const { count: base, recorded } = this.#known
    const rates = Array.from({ length: this.#recorded - recorded + 1 }, (_, i) => lr(base + i))
    for (const rate of rates) needNumber(rate, 'the learning rate of a step', 'optimizer', 0)
    this.#recorded++
    if (this.#recorded % COUNT_EVERY === 0) this.readCount().catch(() => {})
    return { policy, base, rates }
  }

  async readCount(): Promise<void> {
    const recorded = this.#recorded
    this.#known = { count: await this.count.item(), recorded }
  }
}

function grouped<O>(parameters: Parameters<O>): ParameterGroup<O>[] {
  const items = [...(parameters as Iterable<Variable | ParameterGroup<O>>)]
  if (items.every((item) => item instanceof Variable)) return [{ parameters: items } as unknown as ParameterGroup<O>]
  return items as ParameterGroup<O>[]
}

/** An option that must be a number within bounds. */
export function needNumber(value: unknown, name: string, op: string, least = -Infinity, below = Infinity): number {
  if (typeof value === 'number' && value >= least && value < below) return value
  const expected = below === Infinity ? `a number ≥ ${least}` : `a number, ${least} ≤ ${name} < ${below}`
  throw new ArgumentError(`${op}: ${name} must be ${expected}, got ${String(value)}`, { op, expected, got: String(value) })
}
