// Trials before a training: which learning rate, and whether the model can learn one batch by heart. Model and data are as before afterwards.
import { ArgumentError } from '../errors.js'
import type { Module } from '../nn/index.js'
import type { Optimizer } from '../optim/index.js'
import { unscope } from '../tensor/lifetime.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { type Batches, checkBatches, discard } from './batches.js'
import { isOutputs, scalar } from './call.js'
import { checkModel, taken } from './check.js'
import { fit } from './fit.js'
import { type FitOptions, settings } from './options.js'
import { checkFree } from './run.js'

/** The options of `fit` that a trial has too. */
export type TrialOptions<M extends Module, B> = Pick<
  FitOptions<M, B>,
  'loss' | 'optimizer' | 'clipNorm' | 'unused' | 'seed'
>

export interface LearningRateOptions<M extends Module, B> extends TrialOptions<M, B> {
  /** The first and the last rate. @default 1e-6 and 1 */
  from?: number
  to?: number
  /** How many rates are tried, one step each. @default 100 */
  steps?: number
}

export interface LearningRates {
  /** The rate at which the loss falls fastest; undefined where it falls nowhere. */
  readonly suggestion: number | undefined
  /** What was tried: the loss before the step at each rate, and its running mean, which ends the trial. */
  readonly points: readonly { readonly lr: number; readonly loss: number; readonly smooth: number }[]
}

/** Weight of the past in the running mean of losses. */
const PAST = 0.9
/** The trial ends where the loss is this many times the lowest. */
const DIVERGED = 4
/** The fall at a rate is seen over this share of the points on each side, and no fewer than so many. */
const WINDOW = 0.1
const FEWEST = 3

/**
 * A learning rate to begin with: one step each at rates that rise evenly on a logarithmic scale, until the running mean of the loss is four times
 * its lowest or not finite. Suggested is where the loss falls fastest against log(lr), over a tenth of the rates on each side. (Smith 2017, arXiv:1506.01186.)
 *
 * ```ts
 * const { suggestion } = await train.findLearningRate(model, loader, { loss, optimizer: optim.adamW() })
 * ```
 *
 * @throws as `fit` does; ArgumentError for rates that do not rise.
 */
export async function findLearningRate<M extends Module, B>(
  model: M,
  data: Batches<B>,
  given: LearningRateOptions<M, B> = {},
): Promise<LearningRates> {
  const op = 'findLearningRate'
  const { from = 1e-6, to = 1, steps = 100, ...options } = taken(given, op)
  whole(steps, 'steps', op, 10)
  if (!(from > 0 && to > from && to < Infinity)) {
    const [expected, got] = ['0 < from < to', `${from} and ${to}`]
    throw new ArgumentError(`${op}: the rates must be ${expected}, got ${got}`, { op, expected, got })
  }
  const { loss, optimizer } = settings(model, data, options)
  let current: { optimizer?: Optimizer; loss?: Tensor } = {}
  const points: { lr: number; loss: number; smooth: number }[] = []

  /** The batches of one rate each; the loss of a step is read before the next. */
  async function* sweep(): AsyncGenerator<B, void, undefined> {
    let [sum, weight, lowest] = [0, 0, Infinity]
    for await (const batch of repeated(data, op)) {
      const lr = from * (to / from) ** (points.length / (steps - 1))
      ;(current.optimizer as Optimizer).lr = lr
      yield batch
      const value = (await current.loss?.item()) ?? Number.NaN
      current.loss?.dispose()
      sum = PAST * sum + value
      weight = PAST * weight + 1
      const smooth = sum / weight
      if (!Number.isFinite(smooth) || smooth > lowest + (DIVERGED - 1) * Math.abs(lowest)) return
      lowest = Math.min(lowest, smooth)
      points.push({ lr, loss: value, smooth })
      if (points.length === steps) return
    }
  }
  await unchanged(op, model, data, () =>
    fit(model, sweep(), {
      ...options,
      loss: (m, batch) => {
        const value = loss(m, batch)
        const kept = scalar(isOutputs(value) ? value.loss : value, 'loss', 'fit')
        unscope(kept)
        current.loss = kept
        return value
      },
      optimizer: (parameters) => {
        current.optimizer = optimizer(parameters)
        return current.optimizer
      },
      notFinite: 'stop',
      progress: false,
    }),
  )
  current = {}
  return { suggestion: steepest(points), points }
}

/** The rate at the steepest fall: where the mean loss of the points after it is furthest below that of the points before. */
function steepest(points: LearningRates['points']): number | undefined {
  const window = Math.max(FEWEST, Math.round(points.length * WINDOW))
  const mean = (from: number, to: number): number =>
    points.slice(from, to).reduce((sum, { loss }) => sum + loss, 0) / (to - from)
  let best: number | undefined
  let steepness = 0
  for (let i = window; i + window < points.length; i++) {
    const fall = mean(i - window, i) - mean(i + 1, i + 1 + window)
    if (fall <= steepness) continue
    steepness = fall
    best = points[i]?.lr
  }
  return best
}

export interface OverfitOptions<M extends Module, B> extends TrialOptions<M, B> {
  /** @default 200 */
  steps?: number
  /** The batch counts as learned when the loss is below this share of the first. @default 0.1 */
  below?: number
}

export interface Overfit {
  /** The loss before each step. */
  readonly losses: readonly number[]
  readonly learned: boolean
}

/**
 * Trains on the first batch alone. A model that cannot learn one batch by heart has a mistake somewhere: in the loss, the targets, a detached
 * part, or the rate.
 *
 * ```ts
 * const { learned, losses } = await train.overfitOneBatch(model, loader, { loss, optimizer: optim.adamW({ lr: 1e-2 }) })
 * ```
 *
 * @throws as `fit` does.
 */
export async function overfitOneBatch<M extends Module, B>(
  model: M,
  data: Batches<B>,
  given: OverfitOptions<M, B> = {},
): Promise<Overfit> {
  const op = 'overfitOneBatch'
  const { steps = 200, below = 0.1, ...options } = taken(given, op)
  checkModel(model, op)
  whole(steps, 'steps', op, 1)
  checkBatches(data, 'data', op)
  const { epochs } = await unchanged(op, model, data, async () => {
    for await (const batch of repeated(data, op)) {
      const only = Array.from({ length: 1 }, () => batch)
      return await fit(model, only, { ...options, epochs: steps, progress: false })
    }
    throw noBatch(op)
  })
  const losses = epochs.map(({ loss }) => loss)
  return { losses, learned: (losses.at(-1) as number) < below * (losses[0] as number) }
}

/** Runs a trial and gives model and data back as they were. */
async function unchanged<T>(op: string, model: Module, data: Batches<unknown>, trial: () => Promise<T>): Promise<T> {
  checkFree(model, op)
  const weights = model.stateDict()
  const state = data?.state?.()
  try {
    return await trial()
  } finally {
    model.loadStateDict(weights)
    for (const tensor of weights.values()) tensor.dispose()
    if (state !== undefined) (data.restore as ((state: unknown) => void) | undefined)?.call(data, state)
  }
}

/** The batches of data again and again; each is freed when the next is asked for. */
async function* repeated<B>(data: Batches<B>, op: string): AsyncGenerator<B, void, undefined> {
  for (;;) {
    let some = false
    for await (const batch of data as AsyncIterable<B> | Iterable<B>) {
      some = true
      try {
        yield batch
      } finally {
        discard(data, batch)
      }
    }
    if (!some) throw noBatch(op)
  }
}

function noBatch(op: string): ArgumentError {
  return new ArgumentError(`${op}: the data have no batch`, { op, expected: 'batches', got: 'none' })
}
