// Schedules: learning rates as functions of the number of steps done (0, 1, …), for `lr`. Each is pure, so a resumed run has the right rate at once.
import { ArgumentError } from '../errors.js'
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import type { LearningRate } from './cohort.js'
import { needFlag, needNumber } from './options.js'

/** A rate for each number of steps done so far. Any pure function is one. */
export type Schedule = (step: number) => number

function asSchedule(lr: LearningRate, op: string): Schedule {
  if (typeof lr === 'function') return lr
  needNumber(lr, 'lr', op, 0)
  return () => lr
}

function milestonesOf(at: readonly number[], op: string): number[] {
  if (Array.isArray(at)) return at.map((milestone) => whole(milestone, 'at', op))
  const [expected, got] = ['a list of numbers of steps', String(at)]
  throw new ArgumentError(`${op}: at must be ${expected}, got ${got}`, { op, expected, got })
}

/** lr all along. */
export function constant(lr: number): Schedule {
  return asSchedule(lr, 'constant')
}

/** lr · factor^⌊step / every⌋. torch: StepLR. */
export function step(lr: number, options: { every: number; factor?: number }): Schedule {
  const { every, factor = 0.1 } = needOptions(options, 'step')
  needNumber(lr, 'lr', 'step', 0)
  whole(every, 'every', 'step', 1)
  needNumber(factor, 'factor', 'step', 0)
  return (n) => lr * factor ** Math.floor(n / every)
}

/** lr · factor^(how many of `at` are reached). torch: MultiStepLR. */
export function multiStep(lr: number, options: { at: readonly number[]; factor?: number }): Schedule {
  const { at, factor = 0.1 } = needOptions(options, 'multiStep')
  needNumber(lr, 'lr', 'multiStep', 0)
  needNumber(factor, 'factor', 'multiStep', 0)
  const reached = milestonesOf(at, 'multiStep')
  return (n) => lr * factor ** reached.filter((milestone) => milestone <= n).length
}

/**
 * lr for `after` epochs of `epoch` steps each, then half of it at once and again after every `every` epochs: lr / 2^(1 + ⌊(e − after) / every⌋) from
 * e = step / epoch = after on. Source: Sutskever, Vinyals and Le 2014, §3.4. torch: MultiStepLR with those milestones.
 */
export function halvings(lr: number, options: { epoch: number; after?: number; every?: number }): Schedule {
  const { epoch, after = 5, every = 0.5 } = needOptions(options, 'halvings')
  needNumber(lr, 'lr', 'halvings', 0)
  whole(epoch, 'epoch', 'halvings', 1)
  needNumber(after, 'after', 'halvings', 0)
  needNumber(every, 'every', 'halvings', Number.MIN_VALUE)
  return (n) => (n < after * epoch ? lr : lr / 2 ** (1 + Math.floor((n / epoch - after) / every)))
}

/** lr · factor^step. torch: ExponentialLR. */
export function exponential(lr: number, options: { factor: number }): Schedule {
  const { factor } = needOptions(options, 'exponential')
  needNumber(lr, 'lr', 'exponential', 0)
  needNumber(factor, 'factor', 'exponential', 0)
  return (n) => lr * factor ** n
}

/** From `start`·lr in a straight line to `end`·lr at `steps`, and that from there on. torch: LinearLR. */
export function linear(lr: number, options: { steps: number; start?: number; end?: number }): Schedule {
  const { steps, start = 1 / 3, end = 1 } = needOptions(options, 'linear')
  needNumber(lr, 'lr', 'linear', 0)
  whole(steps, 'steps', 'linear', 1)
  needNumber(start, 'start', 'linear', 0)
  needNumber(end, 'end', 'linear', 0)
  return (n) => lr * (start + (end - start) * Math.min(n / steps, 1))
}

/** end + (lr − end) · (1 − step / steps)^power, and `end` from `steps` on. torch: PolynomialLR, where the end is 0. */
export function polynomial(lr: number, options: { steps: number; power?: number; end?: number }): Schedule {
  const { steps, power = 1, end = 0 } = needOptions(options, 'polynomial')
  needNumber(lr, 'lr', 'polynomial', 0)
  whole(steps, 'steps', 'polynomial', 1)
  needNumber(power, 'power', 'polynomial', 0)
  needNumber(end, 'end', 'polynomial', 0)
  return (n) => (n >= steps ? end : end + (lr - end) * (1 - n / steps) ** power)
}

/** Half a cosine from `from` at 0 to `to` at 1. */
const halfCosine = (from: number, to: number, part: number): number =>
  to + ((from - to) * (1 + Math.cos(Math.PI * part))) / 2

/**
 * end + (lr − end) · (1 + cos(π · step / steps)) / 2, and `end` from `steps` on (Loshchilov and Hutter 2017, without restarts).
 * torch: CosineAnnealingLR, which rises again after `T_max`.
 */
export function cosine(lr: number, options: { steps: number; end?: number }): Schedule {
  const { steps, end = 0 } = needOptions(options, 'cosine')
  needNumber(lr, 'lr', 'cosine', 0)
  whole(steps, 'steps', 'cosine', 1)
  needNumber(end, 'end', 'cosine', 0)
  return (n) => halfCosine(lr, end, Math.min(n / steps, 1))
}

/** The cosine over and over: the first period takes `steps`, each later one `factor` times as many. torch: CosineAnnealingWarmRestarts. */
export function cosineRestarts(lr: number, options: { steps: number; factor?: number; end?: number }): Schedule {
  const { steps, factor = 1, end = 0 } = needOptions(options, 'cosineRestarts')
  needNumber(lr, 'lr', 'cosineRestarts', 0)
  whole(steps, 'steps', 'cosineRestarts', 1)
  whole(factor, 'factor', 'cosineRestarts', 1)
  needNumber(end, 'end', 'cosineRestarts', 0)
  return (n) => {
    if (factor === 1) return halfCosine(lr, end, (n % steps) / steps)
    let [start, period] = [0, steps]
    while (n >= start + period) {
      start += period
      period *= factor
    }
    return halfCosine(lr, end, (n - start) / period)
  }
}

export interface OneCycleOptions {
  /** All steps of the training. */
  steps: number
  /** The share of the steps in which the rate rises. @default 0.3 */
  rise?: number
  /** The rate starts at lr / startDivisor, @default 25 */
  startDivisor?: number
  /** and ends at lr / startDivisor / endDivisor. @default 1e4 */
  endDivisor?: number
  /** @default 'cosine' */
  shape?: 'cosine' | 'linear'
  /** Falls back to the start as slowly as it rose, then to the end. @default false */
  threePhases?: boolean
}

/** Up to lr, then far down (Smith and Topin 2018). torch: OneCycleLR, where `rise` is `pct_start`; the momentum is not cycled. */
export function oneCycle(lr: number, options: OneCycleOptions): Schedule {
  const op = 'oneCycle'
  const {
    steps,
    rise = 0.3,
    startDivisor = 25,
    endDivisor = 1e4,
    shape = 'cosine',
    threePhases = false,
  } = needOptions(options, op)
  needNumber(lr, 'lr', op, 0)
  whole(steps, 'steps', op, 1)
  needNumber(rise, 'rise', op, 0, 1)
  needNumber(startDivisor, 'startDivisor', op, 1)
  needNumber(endDivisor, 'endDivisor', op, 1)
  needFlag(threePhases, 'threePhases', op)
  if (shape !== 'cosine' && shape !== 'linear') {
    const [expected, got] = ["'cosine' or 'linear'", String(shape)]
    throw new ArgumentError(`${op}: shape must be ${expected}, got ${got}`, { op, expected, got })
  }
  const first = lr / startDivisor
  const last = first / endDivisor
  const top = rise * steps - 1
  const phases = threePhases
    ? [
        { until: top, from: first, to: lr },
        { until: 2 * rise * steps - 2, from: lr, to: first },
        { until: steps - 1, from: first, to: last },
      ]
    : [
        { until: top, from: first, to: lr },
        { until: steps - 1, from: lr, to: last },
      ]
  return (n) => {
    let start = 0
    for (const { until, from, to } of phases) {
      if (n <= until) {
        const part = until > start ? (n - start) / (until - start) : 1
        return shape === 'cosine' ? halfCosine(from, to, part) : from + (to - from) * part
      }
      start = until
    }
    return last
  }
}

/** Rises to lr in `warmup` steps and falls as 1/√step: lr · min(t / warmup, √(warmup / t)), t = step + 1 (Vaswani et al. 2017, section 5.3). */
export function inverseSqrt(lr: number, options: { warmup: number }): Schedule {
  const { warmup: steps } = needOptions(options, 'inverseSqrt')
  needNumber(lr, 'lr', 'inverseSqrt', 0)
  whole(steps, 'warmup', 'inverseSqrt', 1)
  return (n) => lr * Math.min((n + 1) / steps, Math.sqrt(steps / (n + 1)))
}

/**
 * `steps` steps in a straight line from `start` · lr (default: 1 / (steps + 1)) up to lr, then lr. A schedule begins where the line ends: its rate
 * is `lr(step − steps)`. torch: SequentialLR of LinearLR and another.
 */
export function warmup(lr: LearningRate, options: { steps: number; start?: number }): Schedule {
  const { steps, start } = needOptions(options, 'warmup')
  whole(steps, 'steps', 'warmup', 1)
  const from = start === undefined ? 1 / (steps + 1) : needNumber(start, 'start', 'warmup', 0)
  const after = asSchedule(lr, 'warmup')
  return (n) => (n < steps ? after(0) * (from + ((1 - from) * n) / steps) : after(n - steps))
}

/** One after another: the schedule i + 1 takes over at step `at[i]`, and starts from its own step 0. torch: SequentialLR. */
export function sequential(schedules: readonly LearningRate[], options: { at: readonly number[] }): Schedule {
  const { at } = needOptions(options, 'sequential')
  const op = 'sequential'
  const each = (Array.isArray(schedules) ? schedules : []).map((schedule: LearningRate) => asSchedule(schedule, op))
  const starts = [0, ...milestonesOf(at, op)]
  if (each.length !== starts.length || starts.some((start, i) => i > 0 && start < (starts[i - 1] as number))) {
    const expected = `${Math.max(each.length - 1, 0)} rising numbers of steps for ${each.length} schedules`
    throw new ArgumentError(`${op}: at must be ${expected}, got [${at.join(', ')}]`, {
      op,
      expected,
      got: at.join(', '),
    })
  }
  return (n) => {
    const i = starts.findLastIndex((start) => start <= n)
    return (each[i] as Schedule)(n - (starts[i] as number))
  }
}

/** The product of them all: one with the rate, the others as factors, with a rate of 1. torch: ChainedScheduler. */
export function chained(...schedules: readonly LearningRate[]): Schedule {
  const op = 'chained'
  if (schedules.length === 0) {
    throw new ArgumentError(`${op}: at least one schedule is needed`, { op, expected: 'schedules', got: 'none' })
  }
  const each = schedules.map((schedule) => asSchedule(schedule, op))
  return (n) => each.reduce((product, schedule) => product * schedule(n), 1)
}
