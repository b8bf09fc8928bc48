// How the system of 2014 was trained.
import { ArgumentError } from '../../errors.js'
import { type OptimizerFactory, schedules, sgd } from '../../optim/index.js'
import type { Tensor } from '../../tensor/index.js'
import type { Callbacks } from '../../train/index.js'
import { checkRecords, taken } from '../check.js'
import type { EncoderDecoder } from './encoder-decoder.js'
import type { PairBatch } from './loader.js'

export interface Recipe2014Options {
  /** @default 0.7 */
  lr?: number
  /** Epochs at that rate, before it is halved for the first time. @default 5 */
  after?: number
  /** In all. @default 7.5 */
  epochs?: number
}

/** Options for `fit`. */
export interface Recipe {
  loss: (model: EncoderDecoder, batch: PairBatch) => Tensor
  optimizer: OptimizerFactory
  clipNorm: number
  epochs: number
  callbacks: Callbacks
}

/**
 * The training of 2014 (§3.4) for `fit`, given a loader or how many batches it has: plain SGD on the loss per sentence, rate 0.7 for five epochs and
 * halved every half epoch from there on, gradients longer than 5 scaled to 5, 7.5 epochs. Batches are the loader's: 128 then.
 *
 * ```ts
 * const loader = model.loader(pairs)
 * await train.fit(model, loader, models.recipe2014(loader))
 * ```
 */
export function recipe2014(loader: { readonly length: number }, options: Recipe2014Options = {}): Recipe {
  const op = 'recipe2014'
  const { lr = 0.7, after = 5, epochs = 7.5 } = taken(options, op)
  const [{ length }] = checkRecords([loader], 'loaders', op) as [typeof loader]
  if (!(typeof epochs === 'number' && epochs > 0 && epochs < Number.POSITIVE_INFINITY))
    throw new ArgumentError(`${op}: epochs must be a number > 0, got ${String(epochs)}`, { op, got: String(epochs) })
  const rate = schedules.halvings(lr, { epoch: length, after })
  const last = Math.ceil(epochs * length)
  // Steps are told of now and then: those between the last one and the stop change nothing.
  const optimizer = sgd({ lr: (step) => (step < last ? rate(step) : 0) })
  return {
    loss: (model, batch) => model.loss(batch, { per: 'sentence' }),
    optimizer,
    clipNorm: 5,
    epochs: Math.ceil(epochs),
    callbacks: {
      onStep: ({ totalSteps }, run) => {
        if (totalSteps >= last) run.stop()
      },
    },
  }
}
