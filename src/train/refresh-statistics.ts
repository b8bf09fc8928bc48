// refreshStatistics: the running statistics of batch norms, taken anew, for weights that were averaged.
import { ArgumentError } from '../errors.js'
import { BatchNorm } from '../nn/batch-norm.js'
import { Module } from '../nn/module.js'
import { needFunction } from '../tensor/options.js'
import { noGrad, scope, synchronous } from '../tensor/scope.js'
import { told } from '../told.js'
import { Mode } from './mode.js'

/**
 * Sets the running statistics of every `BatchNorm1d` and `BatchNorm2d` of a model to the plain mean over some batches, with the weights as they are: averaged
 * weights (`optim.EMA`) have other statistics than any that were seen in training. Nothing else of the model changes. Differs from
 * `torch.optim.swa_utils.update_bn`: all but the norms is in eval mode, so that nothing is dropped at random, neither numbers nor whole blocks.
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
  const mode = new Mode(model)
  let count = 0
  for await (const batch of batches) {
    count++
    const own = norms.map(({ momentum }) => ({ momentum }))
    mode.run(false, () => {
      // The n-th batch counts 1/n, so that all count the same and the first replaces what was there.
      for (const norm of norms) Object.assign(norm, { momentum: 1 / count, training: true })
      try {
        noGrad(() => scope(() => void synchronous(() => forward(model, batch), op)))
      } finally {
        for (const [i, norm] of norms.entries()) Object.assign(norm, own[i])
      }
    })
  }
}
