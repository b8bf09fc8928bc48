// Optimizer: parameter groups, learning rates, state, and the step that is all or nothing.
import { ArgumentError, BusyError, CaptureError, ShapeError } from '../errors.js'
import { zeros } from '../tensor/create.js'
import type { Gradients } from '../tensor/grad.js'
import type { StepAttributes } from '../tensor/ops/control.js'
import { countStep, isRecording, throwPending } from '../tensor/queue.js'
import { inputId, withGrad } from '../tensor/record.js'
import { scope } from '../tensor/scope.js'
import { iterable, sameShape, show } from '../tensor/shape.js'
import type { StateDict } from '../tensor/state-dict.js'
import type { Tensor } from '../tensor/tensor.js'
import { Variable } from '../tensor/variable.js'
import { told } from '../told.js'
import { Cohort, type LearningRate, state } from './cohort.js'
import { type NotFinite, verdict } from './guard.js'
import { needFlag, needNumber } from './options.js'
import { type Group, restore, type Store, snapshot } from './snapshot.js'
import { layoutOf, type StateShape } from './states.js'

export interface OptimizerOptions {
  lr: LearningRate
  /**
   * Mixed precision: every parameter in bfloat16 or float16 gets a float32 master, the step is done there with float32 states, and the parameter
   * is the master rounded. Updates too small for half precision then add up. The masters are part of the state dict (`master`); what else
   * changes a parameter after its first step is overwritten by the next. @default false
   */
  masters: boolean
}

/** Parameters with options of their own; what is absent is taken from the optimizer's options. */
export type ParameterGroup<O> = { parameters: Iterable<Variable> } & Partial<O>

export type Parameters<O> = Iterable<Variable> | Iterable<ParameterGroup<O>>

/** Makes an optimizer for parameters: what `fit` takes. */
export type OptimizerFactory = (parameters: Iterable<Variable>) => Optimizer

export interface StepOptions {
  /** A gradient that is NaN or infinite: `'ignore'` (default, as PyTorch), `'error'` (`ERR_NOT_FINITE`, naming the parameter), or `'skip'` the step. */
  notFinite?: NotFinite
  /** Keeps the gradients usable afterwards; by default they are freed. */
  keep?: boolean
}

/** What an optimizer is, apart from its update. */
export interface OptimizerRule<O> {
  /** The operation. */
  op: 'sgd' | 'adam' | 'adamw' | 'nadam' | 'rmsprop' | 'lion' | 'adafactor'
  defaults: O
  /** Throws for options outside their domain. */
  check(options: O): void
  /** Names of the states kept for each parameter, as PyTorch calls them. */
  states(options: O): readonly string[]
  /** The shape of a state of a parameter of some shape, undefined where it has no such state. (Default: that of the parameter.) */
  shapeOf?: StateShape
}

const policies = { ignore: 0, error: 1, skip: 2 } as const

/** What one operation of a step updates. */
interface Part<O> {
  group: Group<O>
  cohort: Cohort
  parameters: readonly Variable[]
  gradients: readonly Tensor[]
  rates: { base: number; rates: number[] }
}

/**
 * Updates parameters in place from gradients. A step changes everything or nothing: if a gradient is marked by an error, or is not finite and that
 * is an error or skips the step, then no parameter, no state and no count changes, and the schedule stays where it is.
 *
 * Differs from PyTorch: gradients are an argument, matched by Variable, and are consumed; the learning rate may be a function of the step.
 */
export abstract class Optimizer<O extends OptimizerOptions = OptimizerOptions> {
  readonly op: string
  readonly #rule: OptimizerRule<O>
  readonly #store: Store<O>
  #loading = false

  protected constructor(rule: OptimizerRule<O>, parameters: Parameters<O>, options: Partial<O>) {
    this.op = rule.op
    this.#rule = rule
    const groups = grouped(parameters, rule.op).map(({ parameters: members, ...own }) => {
      const group = { parameters: [...members], options: { ...rule.defaults, ...options, ...own } as O }
      this.#check(group.options)
      return { ...group, cohorts: [new Cohort(group.parameters, { done: 0, missed: 0 })] }
    })
    this.#store = { groups, states: new Map(), layout: (options, like) => layoutOf(rule, options, like) }
    checkParameters(
      groups.flatMap(({ parameters }) => parameters),
      rule.op,
    )
  }

  /** The learning rate of the first group; setting it sets all. */
  get lr(): LearningRate {
    return (this.#store.groups[0] as Group<O>).options.lr
  }

  set lr(lr: LearningRate) {
    if (typeof lr !== 'function') needNumber(lr, 'lr', this.op, 0)
    for (const group of this.#store.groups) group.options.lr = lr
  }

  /** Options of each group, which may be changed between steps. */
  get groups(): readonly { readonly parameters: readonly Variable[]; readonly options: O }[] {
    return this.#store.groups
  }

  /**
   * Queues one step. Parameters without a gradient, and frozen ones, are left alone: their count of steps stays too. Gradients of other variables
   * are not touched. Those that were used are freed, unless `keep` is set.
   *
   * @throws first any error that nobody has awaited. ArgumentError where no gradient belongs to this optimizer, BusyError while a state is loading.
   */
  step(gradients: Gradients, { notFinite = 'ignore', keep = false }: StepOptions = {}): void {
    const { op } = this
    if (isRecording()) throw new CaptureError(`${op}: a step cannot be part of a recorded function`, { op })
    if (this.#loading) throw new BusyError(`${op}: a state is being loaded; await loadStateDict before a step`, { op })
    if (!Object.hasOwn(policies, notFinite)) {
      const [expected, got] = ["'ignore', 'error' or 'skip'", String(notFinite)]
      throw new ArgumentError(`${op}: notFinite must be ${expected}, got ${got}`, { op, expected, got })
    }
    throwPending()
    const parts = this.#parts(gradients)
    withGrad(false, () => scope(() => this.#record(parts, notFinite)))
    countStep()
    if (!keep) for (const part of parts) for (const gradient of part.gradients) gradient.dispose()
  }

  /** Everything that may be wrong is found here, before anything is recorded. */
  #parts(gradients: Gradients): Part<O>[] {
    const parts: Part<O>[] = []
    for (const group of this.#store.groups) {
      this.#check(group.options)
      for (const cohort of group.cohorts) {
        const parameters = cohort.members.filter((member) => member.requiresGrad && gradients.has(member))
        if (parameters.length === 0) continue
        const rates = cohort.rates(group.options.lr)
        for (const rate of rates.rates) needNumber(rate, 'the learning rate of a step', this.op, 0)
        const own = parameters.map((parameter) => this.#gradient(parameter, gradients))
        parts.push({ group, cohort, parameters, gradients: own, rates })
      }
    }
    const { op } = this
    if (parts.length === 0) {
      throw new ArgumentError(`${op}: none of the gradients belongs to a parameter of this optimizer`, { op })
    }
    return parts
  }

  #gradient(parameter: Variable, gradients: Gradients): Tensor {
    const gradient = gradients.get(parameter)
    inputId(parameter, this.op)
    inputId(gradient, this.op)
    if (!sameShape(gradient.shape, parameter.shape)) {
      const expected = show(parameter.shape)
      throw new ShapeError(
        `${this.op}: the gradient of ${parameter.name || 'a parameter'} must be ${expected}, got ${show(gradient.shape)}`,
        { op: this.op, expected, got: show(gradient.shape) },
      )
    }
    return gradient
  }

  #record(parts: readonly Part<O>[], notFinite: NotFinite): void {
    const taking = new Set(parts.map((part) => this.#alone(part)))
    const shared = parts.length > 1 ? verdict([...taking], notFinite) : undefined
    for (const { group, cohort, parameters, gradients, rates } of taking) {
      const all: (Variable | Tensor | undefined)[][] = parameters.map((parameter, i) => [
        parameter,
        gradients[i],
        ...this.#statesOf(parameter, group.options),
      ])
      if (shared !== undefined) {
        const layout = this.#store.layout(group.options, cohort.witness(0)[0] as Variable)
        const [witness, ...beside] = cohort.witness(layout.length)
        all.push([witness, shared, ...layout.map(({ value }, s) => value && beside[s])])
      }
      // List by list: all parameters, all gradients, all first states, …
      const lists = (all[0] ?? []).flatMap((_, i) => all.map((of) => of[i]))
      // Over several operations the error is made by the guard.
      const policy = policies[shared !== undefined && notFinite === 'error' ? 'skip' : notFinite]
      const { masters } = group.options
      this.update([cohort.count, ...lists], { n: all.length, policy, masters, ...rates }, group.options)
      cohort.recorded(group.options.lr)
    }
    const busy = new Set([...taking].map(({ cohort }) => cohort))
    for (const { cohorts } of this.#store.groups) for (const cohort of cohorts) if (!busy.has(cohort)) cohort.missed++
  }

  /** The part with a cohort of only those that take part. */
  #alone(part: Part<O>): Part<O> {
    const { group, cohort, parameters } = part
    if (parameters.length === cohort.members.length) return part
    const [taking, rest] = cohort.split(parameters)
    cohort.count.dispose()
    group.cohorts = group.cohorts.flatMap((other) => (other === cohort ? [taking, rest] : [other]))
    return { ...part, cohort: taking }
  }

  /** The states in the order of their layout. */
  #statesOf(parameter: Variable, options: O): (Variable | undefined)[] {
    const states = this.#store.states.get(parameter) ?? new Map<string, Variable>()
    this.#store.states.set(parameter, states)
    return this.#store.layout(options, parameter).map(({ name, value }) => {
      if (value === undefined) return undefined
      const known = states.get(name)
      // The model may have moved since.
      known?.convert(value.dtype, parameter.device)
      if (known !== undefined) return known
      const start =
        name === 'master' ? parameter.to(value.dtype) : zeros(value.shape, { ...value, device: parameter.device })
      const made = state(start, `a state of ${parameter.name || 'a parameter'}`)
      states.set(name, made)
      return made
    })
  }

  /** Records the operation over count, parameters, gradients and states. */
  protected abstract update(inputs: readonly (Tensor | undefined)[], step: StepAttributes, options: O): void

  /**
   * A snapshot: `steps` [n] that each parameter has taken part in, `missed` [n], the rate `lr` of each group (NaN for a function), and
   * `state.0.exp_avg`, … of the parameters that have taken part, numbered over all groups. Other options are not in it.
   */
  stateDict(): Map<string, Tensor> {
    return snapshot(this.#store)
  }

  /**
   * Restores a snapshot, once its counts have been read: await it before the next step. Everything is checked before anything changes. Rates that
   * are numbers become those of the snapshot.
   *
   * @throws CheckpointError (`ERR_CHECKPOINT`) listing what is missing, unexpected, or of another shape or dtype; nothing has changed then.
   */
  async loadStateDict(dict: StateDict): Promise<this> {
    const op = `${this.op}.loadStateDict`
    if (this.#loading) throw new BusyError(`${op}: a state is being loaded already`, { op })
    this.#loading = true
    try {
      await restore(this.#store, dict, op)
    } finally {
      this.#loading = false
    }
    return this
  }

  #check(options: O): void {
    if (typeof options.lr !== 'function') needNumber(options.lr, 'lr', this.op, 0)
    needFlag(options.masters, 'masters', this.op)
    this.#rule.check(options)
  }
}

function checkParameters(parameters: readonly unknown[], op: string): void {
  if (parameters.length === 0) {
    throw new ArgumentError(`${op}: no parameters were given`, { op, expected: 'parameters', got: 'none' })
  }
  const seen = new Set<unknown>()
  for (const parameter of parameters) {
    if (!(parameter instanceof Variable)) {
      const got = told(parameter)
      throw new ArgumentError(`${op}: parameters must be Variables, got ${got}`, { op, expected: 'Variables', got })
    }
    if (seen.has(parameter)) throw new ArgumentError(`${op}: ${parameter.name || 'a parameter'} is given twice`, { op })
    seen.add(parameter)
  }
}

function grouped<O>(parameters: Parameters<O>, op: string): ParameterGroup<O>[] {
  const items = [...iterable(parameters as Iterable<Variable | ParameterGroup<O>>, 'parameters', op)]
  const isGroup = (item: unknown): boolean =>
    typeof item === 'object' && item !== null && !(item instanceof Variable) && 'parameters' in item
  if (items.length > 0 && items.every(isGroup)) return items as ParameterGroup<O>[]
  return [{ parameters: items } as unknown as ParameterGroup<O>]
}
