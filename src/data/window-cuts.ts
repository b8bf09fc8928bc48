// How series are cut into parts by time, and parts into windows.
import { ArgumentError } from '../errors.js'
import type { DeviceLike } from '../tensor/device.js'
import { whole } from '../tensor/shape.js'
import { object } from './check.js'
import { checkKind, type ScalingKind } from './scaling.js'

export interface WindowOptions {
  /** Steps that a model sees, P. */
  past: number
  /** Steps that it is to forecast, F. */
  future: number
  /** Steps between the starts of two windows. @default 1 */
  stride?: number
  /** How many columns are forecast, the first ones, O; the others are only seen. @default all */
  targets?: number
  /** How columns are scaled, by the training part alone. @default 'standard' */
  scale?: ScalingKind
  /** Windows in a batch. @default 32 */
  batch?: number
  /** Whether the training part is gone through in a new random order in each epoch. @default true */
  shuffle?: boolean
  /** Where the shuffles start (default: drawn from the ambient generator). */
  seed?: number | bigint
  device?: DeviceLike
}

/** What the parts of a split are called. */
export interface Parts<T> {
  training: T
  validation: T
}

const op = 'windows'

export type CheckedOptions = Required<Omit<WindowOptions, 'seed' | 'device'>> & Pick<WindowOptions, 'seed' | 'device'>

export function checkOptions(options: WindowOptions, columns: number): CheckedOptions {
  object(options, 'options', op)
  const { past, future, stride = 1, targets = columns, scale = 'standard', batch = 32, shuffle = true } = options
  whole(past, 'past', op, 1)
  whole(future, 'future', op, 1)
  whole(stride, 'stride', op, 1)
  whole(targets, 'targets', op, 1, columns)
  checkKind(scale, op)
  return { ...options, past, future, stride, targets, scale, batch, shuffle }
}

/** The shares at which the parts of a split begin and end, and what these are called. */
export function cutsOf(training: number, validation?: number): { cuts: number[]; names: string[] } {
  const numbers = [training, validation ?? 0].every((share) => typeof share === 'number')
  const rest = numbers ? 1 - training - (validation ?? 0) : Number.NaN
  if (!(numbers && training > 0 && (validation ?? 1) > 0 && rest > 1e-12)) {
    const got = [training, ...(validation === undefined ? [] : [validation])].map(String).join(', ')
    throw new ArgumentError(`splitByTime: shares must be > 0 and leave something for the last part, got ${got}`, {
      op: 'splitByTime',
      expected: 'shares > 0 with a sum below 1',
      got,
    })
  }
  return validation === undefined
    ? { cuts: [0, training, 1], names: ['training', 'validation'] }
    : { cuts: [0, training, training + validation, 1], names: ['training', 'validation', 'test'] }
}

/** How the loader of a part goes through it: only the training part is shuffled. */
export function ofTraining({ batch, shuffle, seed }: CheckedOptions, training: boolean) {
  return { batch, ...(shuffle && training && { shuffle, ...(seed !== undefined && { seed }) }) }
}

/** Windows that begin in a series every `stride` rows from `begin` on. */
export interface Run<S> {
  readonly series: S
  readonly begin: number
  readonly count: number
}

/**
 * The windows between two shares of each series.
 *
 * @throws ArgumentError where there are none.
 */
export function runsOf<S extends { readonly rows: number }>(
  all: readonly S[],
  from: number,
  to: number,
  name: string,
  options: CheckedOptions,
): Run<S>[] {
  let longest = 0
  const runs = all.map((series) => {
    const [begin, end] = [rowAt(series.rows, from), rowAt(series.rows, to)]
    longest = Math.max(longest, end - begin)
    return { series, begin, count: windowsIn(end - begin, options) }
  })
  if (runs.some(({ count }) => count > 0)) return runs
  const size = options.past + options.future
  throw new ArgumentError(`windows: ${name} has at most ${longest} steps in a row, a window takes ${size}`, {
    op,
    expected: `at least ${size} steps`,
    got: String(longest),
  })
}

/** How many windows there are in so many rows. */
export function windowsIn(rows: number, { past, future, stride }: CheckedOptions): number {
  return Math.max(0, Math.floor((rows - past - future) / stride) + 1)
}

/** The row at a share of a series. */
export function rowAt(rows: number, share: number): number {
  return share === 1 ? rows : Math.floor(rows * share + 1e-9)
}
