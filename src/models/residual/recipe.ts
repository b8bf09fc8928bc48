// How residual networks were trained in 2015, and the schedules that came after.
import { decayGroups, type OptimizerFactory, SGD, schedules } from '../../optim/index.js'
import { whole } from '../../tensor/shape.js'
import type { Callbacks } from '../../train/index.js'
import { checkRecords, refused, taken } from '../check.js'

export interface Recipe2015Options {
  /** The highest rate. @default 0.1 */
  lr?: number
  /** In all; in place of `steps`. */
  epochs?: number
  /** Steps of the optimizer in all. @default 64000 */
  steps?: number
  /** Batches for each step of the optimizer, as `fit` has it. @default 1 */
  accumulate?: number
  /**
   * `'step'`: a tenth of the rate from half of the steps on, and again from three quarters (32,000 and 48,000 of 64,000); `'oneCycle'`: up to the rate in the
   * first 30 % and down to nothing; `'cosine'`: down to nothing in half a wave. @default 'step'
   */
  schedule?: 'step' | 'oneCycle' | 'cosine'
  /** Steps at a tenth of the rate before all others: 400 for ResNet-110 in the paper. Not with 'oneCycle'. @default 0 */
  warmup?: number
  /** @default 0.9 */
  momentum?: number
  /** @default 1e-4 */
  weightDecay?: number
  /** What decays: everything, as in 2015, or no norms and biases (`optim.decayGroups`). @default 'all' */
  decay?: 'all' | 'weights'
  /** @default false */
  nesterov?: boolean
}

/** Options for `fit`. */
export interface Recipe2015 {
  optimizer: OptimizerFactory
  epochs: number
  accumulate: number
  callbacks: Callbacks
}

const OP = 'recipe2015'

/**
 * The training of He et al. (2015, section 4.2) for `fit`, given a loader or how many batches it has: SGD with momentum 0.9 on batches of 128, rate 0.1,
 * a tenth of it after 32,000 steps and again after 48,000, 64,000 in all, weight decay 1e-4. `steps` or `epochs` shortens all of it in proportion.
 * Other options of `fit` go beside it: `ema`, `clipNorm`; label smoothing is the model's.
 *
 * ```ts
 * const loader = model.loader({ images, labels })
 * await train.fit(model, loader, { ...models.recipe2015(loader, { epochs: 20, schedule: 'oneCycle' }), ema: { decay: 0.99 } })
 * ```
 *
 * @throws ArgumentError (`ERR_ARGUMENT`) for options outside their domain.
 */
export function recipe2015(loader: { readonly length: number }, options: Recipe2015Options = {}): Recipe2015 {
  const { lr = 0.1, momentum = 0.9, weightDecay = 1e-4, nesterov = false, ...rest } = taken(options, OP)
  const { schedule = 'step', decay = 'all' } = rest
  const [{ length }] = checkRecords([loader], 'loaders', OP) as [typeof loader]
  whole(length, 'the length of the loader', OP, 1)
  if (rest.steps !== undefined && rest.epochs !== undefined)
    throw refused(OP, 'steps', 'given without epochs', rest.steps)
  const { epochs } = rest
  if (epochs !== undefined && !(typeof epochs === 'number' && epochs > 0 && epochs < Number.POSITIVE_INFINITY))
    throw refused(OP, 'epochs', 'a number > 0', epochs)
  const accumulate = whole(rest.accumulate ?? 1, 'accumulate', OP, 1)
  const perEpoch = Math.ceil(length / accumulate)
  const steps = epochs === undefined ? whole(rest.steps ?? 64_000, 'steps', OP, 1) : Math.ceil(epochs * perEpoch)
  // A run counts batches; the last step of an epoch may have fewer.
  const batches = Math.floor(steps / perEpoch) * length + (steps % perEpoch) * accumulate
  const warmup = whole(rest.warmup ?? 0, 'warmup', OP, 0)
  if (decay !== 'all' && decay !== 'weights') throw refused(OP, 'decay', "'all' or 'weights'", decay)
  const rate = rateOf(schedule, lr, steps, warmup)
  // Steps are told of now and then: those between the last one and the stop change nothing.
  const settings = { lr: (step: number) => (step < steps ? rate(step) : 0), momentum, weightDecay, nesterov }
  return {
    optimizer: (parameters) => new SGD(decay === 'all' ? parameters : decayGroups(parameters), settings),
    epochs: Math.ceil(steps / perEpoch),
    accumulate,
    callbacks: {
      onStep: ({ totalSteps }, run) => {
        if (totalSteps >= batches) run.stop()
      },
    },
  }
}

function rateOf(schedule: string, lr: number, steps: number, warmup: number): (step: number) => number {
  if (schedule === 'oneCycle') {
    if (warmup > 0) throw refused(OP, 'warmup', '0: one cycle has its own', warmup)
    return schedules.oneCycle(lr, { steps })
  }
  const at = [Math.floor(steps / 2), Math.floor((3 * steps) / 4)]
  const rate =
    schedule === 'step'
      ? schedules.multiStep(lr, { at })
      : schedule === 'cosine'
        ? schedules.cosine(lr, { steps })
        : undefined
  if (rate === undefined) throw refused(OP, 'schedule', "'step', 'oneCycle' or 'cosine'", schedule)
  return (step) => (step < warmup ? rate(step) / 10 : rate(step))
}
