// Parametrisations: a parameter of a layer that is computed from others whenever it is read.
import { ArgumentError } from '../errors.js'
import type { Tensor } from '../tensor/tensor.js'
import { Variable } from '../tensor/variable.js'
import { told } from '../told.js'
import { snakeCase } from './members.js'
import { Module } from './module.js'

/** The layer with a field for what its parameters are computed from. */
interface Parametrized {
  parametrizations?: Record<string, unknown>
}

/** The parameter `name` of a layer, which must be a Variable of at least two axes. */
export function parameterOf(layer: Module, name: string, op: string): Variable {
  if (!(layer instanceof Module)) {
    const [expected, got] = ['a Module', told(layer)]
    throw new ArgumentError(`${op}: the layer must be ${expected}, got ${got}`, { op, expected, got })
  }
  const value = Object.hasOwn(layer, name) ? Object.getOwnPropertyDescriptor(layer, name)?.value : undefined
  if (value instanceof Variable && value.rank >= 2) return value
  const [expected, got] = ['a Variable of at least two axes', value === undefined ? 'none' : String(value)]
  throw new ArgumentError(`${op}: ${layer.constructor.name}.${name} must be ${expected}, got ${got}`, {
    op,
    expected,
    got,
  })
}

/**
 * Replaces a parameter by `compute`, called at every read. The `state` it is computed from is found under torch's keys,
 * `parametrizations.weight.…`, in the place of `weight`.
 */
export function parametrize<M extends Module>(
  layer: M,
  name: string,
  state: ReadonlyMap<string, unknown>,
  compute: () => Tensor,
): M {
  const holder = layer as Parametrized
  holder.parametrizations = { ...holder.parametrizations, [snakeCase(name)]: state }
  Object.defineProperty(layer, name, { get: compute, configurable: true, enumerable: false })
  return layer
}
