// refreshStatistics: the running statistics of batch norms, taken anew, for weights that were averaged.
import { ArgumentError } from '../errors.js'
import { BatchNorm } from '../nn/batch-norm.js'
import { Module } from '../nn/module.js'
import { needFunction } from '../tensor/options.js'
import { noGrad, scope } from '../tensor/scope.js'
import { told } from '../told.js'

/**
 * Sets the running statistics of every `BatchNorm1d` and `BatchNorm2d` of a model to the plain mean over some batches, with the weights as they are: averaged
 * weights (`optim.EMA`) have other statistics than any that were seen in training. Nothing else of the model changes. As `torch.optim.swa_utils.update_bn`.
 *
 * ```ts
 * const net = new nn.Sequential(new nn.Linear(2, 3), new nn.BatchNorm1d(3))
 * await train.refreshStatistics(net, [normal([8, 2]), normal([8, 2])], (model, x) => model.forward(x))
 * ```
 *
 * @param forward Computes the model's output for a batch; synchronous.
 * @throws ArgumentError (`ERR_ARGUMENT`) for what is no module or cannot be iterated.
 */
export async function refreshStatistics<M extends Module, B>(
  model: M,
  batches: Iterable<B> | AsyncIterable<B>,
  forward: (model: M, batch: B) => unknown,
): Promise<void> {
  const op = 'refreshStatistics'
  const wrong = (name: string, expected: string, got: unknown) =>
    new ArgumentError(`${op}: ${name} must be ${expected}, got ${told(got)}`, { op, expected, got: told(got) })
  if (!(model instanceof Module)) throw wrong('the model', 'a Module', model)
  needFunction(forward, op, 'forward')
  const source = batches as (Iterable<B> & AsyncIterable<B>) | undefined | null
  if (typeof source?.[Symbol.asyncIterator] !== 'function' && typeof source?.[Symbol.iterator] !== 'function')
    throw wrong('batches', 'iterable', batches)
  const norms = model.modules().filter((module): module is BatchNorm => module instanceof BatchNorm)
  const momenta = norms.map(({ momentum }) => momentum)
  const modes = model.modules().map((module) => [module, module.training] as const)
  let count = 0
  try {
    for await (const batch of batches) {
      count++
      // The n-th batch counts 1/n, so that all count the same and the first replaces what was there.
      for (const norm of norms) Object.assign(norm, { momentum: 1 / count, training: true })
      noGrad(() => scope(() => void forward(model, batch)))
    }
  } finally {
    for (const [i, norm] of norms.entries()) Object.assign(norm, { momentum: momenta[i] })
    for (const [module, training] of modes) module.training = training
  }
}
