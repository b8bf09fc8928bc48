// decayGroups: weight decay for weights alone.
import { ArgumentError } from '../errors.js'
import { iterable } from '../tensor/shape.js'
import { Variable } from '../tensor/variable.js'

/** Parameters whose weights decay, and those that a decay would only distort. */
export type DecayGroup = { parameters: Variable[]; weightDecay?: number }

/**
 * Parameters in two groups: those of two axes and more, with the weight decay of the optimizer, and those of one or none, such as biases and the factors
 * and offsets of norms, without. For `fit`: `optimizer: (parameters) => new optim.SGD(optim.decayGroups(parameters), { lr: 0.1, weightDecay: 1e-4 })`.
 *
 * ```ts
 * const net = new nn.Sequential(new nn.Linear(8, 4), new nn.LayerNorm(4))
 * const groups = optim.decayGroups(net.parameters())
 * groups.map(({ parameters, weightDecay }) => [parameters.length, weightDecay])   // [[1, undefined], [3, 0]]
 * ```
 *
 * @throws ArgumentError (`ERR_ARGUMENT`) for what is no Variable.
 */
export function decayGroups(parameters: Iterable<Variable>): DecayGroup[] {
  const op = 'decayGroups'
  const all = [...iterable(parameters, 'parameters', op)]
  if (!all.every((one) => one instanceof Variable)) {
    const [expected, got] = ['Variables', 'something else']
    throw new ArgumentError(`${op}: parameters must be ${expected}, got ${got}`, { op, expected, got })
  }
  const groups: DecayGroup[] = [
    { parameters: all.filter(({ rank }) => rank > 1) },
    { parameters: all.filter(({ rank }) => rank < 2), weightDecay: 0 },
  ]
  return groups.filter((group) => group.parameters.length > 0)
}
