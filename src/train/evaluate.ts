// evaluate: the mean loss and metrics over a dataset, in eval mode and without gradients.

import { Loader } from '../data/loader.js'
import { ArgumentError, CallbackError, QuarterturnError } from '../errors.js'
import type { Module } from '../nn/index.js'
import { Pace } from '../tensor/pace.js'
import { noGrad, scope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import { tensorsIn } from '../tensor/tree.js'
import { Mean } from './mean.js'
import { Mode } from './mode.js'
import { type Batches, checkBatches } from './options.js'

/** A scalar of a model and a batch. */
export type Measure<M, B> = (model: M, batch: B) => Tensor

/**
 * The means of some scalars over the rows of a dataset: each batch counts by its number of rows.
 * The model is in eval mode for each call and has its own mode between them.
 *
 * ```ts
 * const { loss, accuracy } = await train.evaluate(model, loader, {
 *   loss: (model, { x, y }) => nn.functional.crossEntropy(model.forward(x), y),
 *   accuracy: (model, { x, y }) => model.forward(x).argmax(-1).eq(y).to('float32').mean(),
 * })
 * ```
 */
export async function evaluate<M extends Module, B, K extends string>(
  model: M,
  data: Batches<B>,
  measures: Readonly<Record<K, Measure<M, B>>>,
): Promise<Record<K, number>> {
  checkBatches(data, 'data')
  const means = await measureAll(new Mode(model), model, data, measures, {
    around: (fn) => fn(),
    interrupted: () => false,
  })
  return means as Record<K, number>
}

/** What a run does around an evaluation. */
interface Aside {
  /** Wraps the calls into the user's functions. */
  around<T>(fn: () => T): T
  interrupted(): boolean
}

/** The same for a run; undefined if it was interrupted. */
export async function measureAll<M extends Module, B, K extends string>(
  mode: Mode,
  model: M,
  data: Batches<B>,
  measures: Readonly<Record<K, Measure<M, B>>>,
  { around, interrupted }: Aside,
): Promise<Record<K, number> | undefined> {
  const names = Object.keys(measures) as K[]
  const means = names.map(() => new Mean())
  let step = 0
  for await (const batch of paced(data)) {
    const rows = rowsOf(batch)
    const values = around(() =>
      mode.run(false, () =>
        noGrad(() =>
          scope(() =>
            names.map((name) =>
              scalar(
                called(name, () => measures[name](model, batch)),
                name,
              ),
            ),
          ),
        ),
      ),
    )
    for (const [i, value] of values.entries()) means[i]?.add(value, rows, step)
    discard(data, batch)
    step++
    if (interrupted()) {
      await Promise.all(means.map((mean) => mean.clear()))
      return undefined
    }
  }
  await Promise.all(means.map((mean) => mean.drain()))
  return Object.fromEntries(names.map((name, i) => [name, (means[i] as Mean).value])) as Record<K, number>
}

/** The batches of any iterable, with the back pressure that a Loader has by itself. */
export function paced<B>(data: Batches<B>): AsyncIterable<B> {
  return data instanceof Loader ? (data as unknown as AsyncIterable<B>) : withPace(data)
}

async function* withPace<B>(data: Batches<B>): AsyncGenerator<B, void, undefined> {
  const pace = new Pace()
  for await (const batch of data as AsyncIterable<B> | Iterable<B>) {
    yield batch
    await pace.turn()
  }
}

/** How many rows a batch has: the first axis of its first tensor. */
export function rowsOf(batch: unknown): number {
  return tensorsIn(batch)[0]?.shape[0] ?? 1
}

/** Frees a batch that the loader made for this turn alone. */
export function discard(data: Batches<unknown>, batch: unknown): void {
  if (data instanceof Loader) for (const tensor of tensorsIn(batch)) tensor.dispose()
}

/** A scalar as a value of its own, without the graph behind it. */
export function scalar(value: unknown, name: string): Tensor {
  if (!(value instanceof Tensor) || value.size !== 1) {
    const got = value instanceof Tensor ? String(value) : value === null ? 'null' : typeof value
    throw new ArgumentError(`fit: ${name} must return a scalar tensor, got ${got}`, {
      op: 'fit',
      expected: 'a scalar tensor',
      got,
    })
  }
  const plain = value.detach()
  return plain.rank === 0 ? plain : plain.reshape([])
}

/** Calls a function of the user. An error of ours goes through as it is; anything else that it throws is told apart. */
export function called<T>(name: string, fn: () => T): T {
  try {
    return fn()
  } catch (cause) {
    if (cause instanceof QuarterturnError) throw cause
    throw callbackError(name, cause)
  }
}

export function callbackError(name: string, cause: unknown): CallbackError {
  return new CallbackError(`fit: ${name} threw: ${cause instanceof Error ? cause.message : String(cause)}`, {
    op: 'fit',
    got: name,
    cause,
  })
}
