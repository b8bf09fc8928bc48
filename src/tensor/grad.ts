// Gradients: the backward pass as an operation, and its result keyed by variable.
import { ArgumentError, ShapeError } from '../errors.js'
import { needOptions } from './options.js'
import { type Handle, needTensor, type Result, record, withGrad } from './record.js'
import { iterable, list, sameShape, show } from './shape.js'
import { call, Tensor } from './tensor.js'

export interface GradOptions {
  /** Keeps the graph for another backward pass (default: freed). */
  retain?: boolean
  /** Records the backward pass itself, so that gradients can be differentiated again. Implies `retain`. */
  createGraph?: boolean
  /** What happens to variables that the loss does not depend on: `'error'` (default) or `'zeros'`. */
  unused?: 'error' | 'zeros'
  /** The gradient of the loss; needed where it is not a scalar. */
  gradient?: Tensor
}

/**
 * The gradients of `loss` for variables or intermediate values: ∂loss/∂v for each v. Queued like any operation.
 *
 * Differs from `loss.backward()` of PyTorch: nothing accumulates in the variables; the result is a value of its own.
 *
 * @throws ArgumentError where the loss has no graph or a variable takes no gradients; ShapeError for a loss that is not a scalar.
 * `ERR_UNUSED`, naming the variable, is found while running: awaiting a gradient rejects with it.
 */
export function grad(loss: Tensor, variables: Iterable<Tensor>, options: GradOptions = {}): Gradients {
  const { retain = false, createGraph = false, unused = 'error', gradient } = needOptions(options, 'grad')
  needTensor(loss, 'grad', 'the loss')
  const targets = [...iterable(variables, 'variables', 'grad')]
  if (targets.length === 0)
    throw new ArgumentError('grad: no variables were given', { op: 'grad', expected: 'variables', got: 'none' })
  if (!loss.requiresGrad) {
    throw new ArgumentError(
      'grad: the loss depends on nothing that takes gradients: was it computed under noGrad, or detached?',
      { op: 'grad' },
    )
  }
  if (gradient === undefined ? loss.size !== 1 : !sameShape(gradient.shape, loss.shape)) {
    throw new ShapeError(
      `grad: the loss must be a scalar, or a gradient of its shape be given; it is ${show(loss.shape)}`,
      {
        op: 'grad',
        expected: 'a scalar',
        got: show(loss.shape),
      },
    )
  }
  for (const target of targets) {
    if (!target.requiresGrad)
      throw new ArgumentError(`grad: ${nameOf(target)} takes no gradients (requiresGrad is false)`, {
        op: 'grad',
        got: String(target),
      })
  }
  const metas = targets.map(({ shape, dtype, device }) => ({ shape, dtype, device }))
  const results = withGrad(createGraph, () =>
    record('grad', [loss, gradient, ...targets], {
      metas,
      retain: retain || createGraph,
      createGraph,
      zeros: unused === 'zeros',
    }),
  )
  return new Gradients(
    targets,
    results.map((result) => new Tensor(result)),
  )
}

function nameOf(tensor: Tensor): string {
  return (tensor as Tensor & { name?: string }).name || String(tensor)
}

/** Gradients keyed by the variable they belong to. Its operations give new Gradients; `optimizer.step` takes them. */
export class Gradients {
  readonly #of: ReadonlyMap<Tensor, Tensor>

  constructor(variables: readonly Tensor[], gradients: readonly Tensor[]) {
    list(gradients, 'gradients', 'Gradients')
    this.#of = new Map(
      Array.from(list(variables, 'variables', 'Gradients'), (variable, i) => [variable, gradients[i] as Tensor]),
    )
  }

  get size(): number {
    return this.#of.size
  }

  /** @throws ArgumentError for a variable that is not among them. */
  get(variable: Tensor): Tensor {
    const gradient = this.#of.get(variable)
    if (gradient === undefined)
      throw new ArgumentError(`Gradients.get: there is no gradient for ${nameOf(variable)}`, { op: 'Gradients.get' })
    return gradient
  }

  has(variable: Tensor): boolean {
    return this.#of.has(variable)
  }

  entries(): IterableIterator<[Tensor, Tensor]> {
    return this.#of.entries()
  }

  [Symbol.iterator](): IterableIterator<[Tensor, Tensor]> {
    return this.entries()
  }

  /** The sum of two: matched by variable; one that only one of them has is taken as it is. */
  add(other: Gradients): Gradients {
    const both = [...this.#of.keys()].filter((variable) => other.has(variable))
    const sums = this.#foreach(
      'foreachAdd',
      [...both.map((v) => this.get(v)), ...both.map((v) => other.get(v))],
      both,
      {},
    )
    const merged = new Map([...this.#of, ...other])
    for (const [i, variable] of both.entries()) merged.set(variable, sums[i] as Tensor)
    return new Gradients([...merged.keys()], [...merged.values()])
  }

  /** All multiplied by a number. */
  scale(factor: number): Gradients {
    if (!Number.isFinite(factor))
      throw new ArgumentError(`Gradients.scale: factor must be finite, got ${factor}`, {
        op: 'Gradients.scale',
        got: String(factor),
      })
    return new Gradients(
      this.#variables(),
      this.#foreach('foreachScale', this.#values(), this.#variables(), { factor }),
    )
  }

  /** √Σ g², over all of them together: a scalar. */
  norm(): Tensor {
    return call('foreachNorm', this.#values(), {})
  }

  /** Scaled so that their common norm is at most `maxNorm`: g · min(1, maxNorm / (norm + 10⁻⁶)), as `clip_grad_norm_` of PyTorch. */
  clipByNorm(maxNorm: number): Gradients {
    if (!(maxNorm > 0))
      throw new ArgumentError(`Gradients.clipByNorm: maxNorm must be > 0, got ${maxNorm}`, {
        op: 'Gradients.clipByNorm',
        got: String(maxNorm),
      })
    return new Gradients(
      this.#variables(),
      this.#foreach('foreachClip', this.#values(), this.#variables(), { maxNorm }),
    )
  }

  /** Every element limited to −limit … limit, as `clip_grad_value_` of PyTorch. */
  clipByValue(limit: number): Gradients {
    if (!(limit > 0))
      throw new ArgumentError(`Gradients.clipByValue: limit must be > 0, got ${limit}`, {
        op: 'Gradients.clipByValue',
        expected: 'a number > 0',
        got: String(limit),
      })
    const within = { low: -limit, high: limit }
    return new Gradients(
      this.#variables(),
      this.#values().map((gradient) => gradient.clamp(within)),
    )
  }

  /** Frees them now. */
  dispose(): void {
    for (const gradient of this.#of.values()) gradient.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  #variables(): Tensor[] {
    return [...this.#of.keys()]
  }

  #values(): Tensor[] {
    return [...this.#of.values()]
  }

  #foreach(
    op: 'foreachAdd' | 'foreachScale' | 'foreachClip',
    inputs: readonly Handle[],
    like: readonly Tensor[],
    attributes: object,
  ): Tensor[] {
    if (like.length === 0) return []
    const metas = like.map(({ shape, dtype, device }) => ({ shape, dtype, device }))
    return record(op, inputs, { ...attributes, metas } as never).map((result: Result) => new Tensor(result))
  }
}
