// predict: what a model makes of data, batch by batch, in eval mode and without gradients.
import { ArgumentError } from '../errors.js'
import type { Module } from '../nn/index.js'
import { cat } from '../tensor/functions.js'
import { noGrad, scope } from '../tensor/scope.js'
import { whole } from '../tensor/shape.js'
import { Tensor } from '../tensor/tensor.js'
import { leaves, rebuild, type Tree, tensorsIn } from '../tensor/tree.js'
import { Variable } from '../tensor/variable.js'
import { type Batches, checkBatches, discard, paced } from './batches.js'
import { called } from './call.js'
import { checkModel, refused, taken } from './check.js'
import { Mode } from './mode.js'

const op = 'predict'

export interface PredictOptions {
  /** Rows at a time, where the data are a tensor. @default 256 */
  batch?: number
}

/** What the model makes of a batch: a tensor, or arrays and plain objects of such. Synchronous. */
export type Predictor<M, B, T> = (model: M, batch: B) => T

/**
 * The outputs of a model for data: batches, or a tensor whose first axis is cut into batches. Without a function they are `model.forward(batch.x)`,
 * of a tensor `model.forward(rows)`. Nothing is computed before it is asked for, and then at most two batches ahead.
 *
 * ```ts
 * const all = await train.predict(model, x).all()                                          // one tensor
 * for await (const output of train.predict(model, loader)) send(await output.data())       // one per batch
 * const labels = train.predict(model, loader, (model, { x }) => model.forward(x).argmax(-1))
 * ```
 *
 * Outputs come in the order of the data: a loader that shuffles gives them shuffled. They belong to whoever takes them. The model is in eval mode
 * for each call and has its own mode between them.
 *
 * @throws ArgumentError for data that are neither; from the loop: CallbackError for a function that threw, and any error of the outputs' batches.
 */
export function predict<M extends Module, T extends Tree = Tensor>(
  model: M,
  data: Tensor,
  fn?: Predictor<M, Tensor, T>,
  options?: PredictOptions,
): Predictions<T>
export function predict<M extends Module, B, T extends Tree = Tensor>(
  model: M,
  data: Batches<B>,
  fn?: Predictor<M, B, T>,
): Predictions<T>
export function predict(
  model: Module,
  data: Tensor | Batches<unknown>,
  fn: Predictor<never, never, Tree> = forward,
  options: PredictOptions = {},
): Predictions<Tree> {
  const { batch = 256 } = taken(options, op)
  checkModel(model, op)
  whole(batch, 'batch', op, 1)
  if (typeof fn !== 'function') throw refused(op, 'the third argument', 'a function of model and batch', fn)
  if (data instanceof Tensor && data.rank === 0)
    throw new ArgumentError(`${op}: a scalar has no rows`, { op, expected: '[B, …]', got: '[]' })
  if (!(data instanceof Tensor)) checkBatches(data, 'data', op)
  return new Predictions(() =>
    outputs(model, data instanceof Tensor ? slices(data, batch) : data, fn as Predictor<Module, unknown, Tree>),
  )
}

/** Outputs to come: `for await` takes them batch by batch, `all` together. Each begins anew. */
export class Predictions<T extends Tree> implements AsyncIterable<T> {
  readonly #begin: () => AsyncGenerator<T, void, undefined>

  /** @internal */
  constructor(begin: () => AsyncGenerator<T, void, undefined>) {
    this.#begin = begin
  }

  [Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    return this.#begin()
  }

  /**
   * The outputs of all batches joined along their first axis, in the form that one batch has.
   *
   * @throws ArgumentError where there is no batch; ShapeError where other axes differ between batches.
   */
  async all(): Promise<T> {
    const batches: T[] = []
    for await (const output of this) batches.push(output)
    const [first] = batches
    if (first === undefined)
      throw new ArgumentError(`${op}: there is no batch, and so no output`, { op, expected: 'batches', got: 'none' })
    const parts = batches.map((output) => leaves(output, op))
    let next = 0
    try {
      return scope(() =>
        rebuild(first, () => {
          const i = next++
          return cat(parts.map((part) => part[i] as Tensor))
        }),
      )
    } finally {
      for (const tensor of parts.flat()) tensor.dispose()
    }
  }
}

function forward(model: Module, batch: unknown): Tree {
  const x = batch instanceof Tensor ? batch : (batch as { x?: unknown } | null | undefined)?.x
  if (x instanceof Tensor) return (model.forward as (x: Tensor) => Tree).call(model, x)
  throw new ArgumentError(`${op}: batches have no field x; pass (model, batch) => model.forward(…)`, {
    op,
    expected: 'a function',
    got: 'none',
  })
}

async function* outputs<T extends Tree>(
  model: Module,
  data: Batches<unknown>,
  fn: Predictor<Module, unknown, T>,
): AsyncGenerator<T, void, undefined> {
  const mode = new Mode(model)
  for await (const batch of paced(data)) {
    const given = new Set(tensorsIn(batch))
    const output = mode.run(false, () =>
      noGrad(() =>
        scope(() => {
          const made = called('the function', op, () => fn(model, batch))
          // What it passes on of the batch must outlive the batch, and a weight is not the taker's.
          return rebuild(made, taker(leaves(made, op), given))
        }),
      ),
    )
    discard(data, batch)
    yield output
  }
}

function taker(tensors: readonly Tensor[], given: ReadonlySet<Tensor>): () => Tensor {
  let next = 0
  return () => {
    const tensor = tensors[next++] as Tensor
    return given.has(tensor) || tensor instanceof Variable ? tensor.clone() : tensor
  }
}

/** The rows of a tensor, some at a time. */
function slices(x: Tensor, batch: number): Batches<Tensor> {
  return {
    async *[Symbol.asyncIterator]() {
      for (let at = 0; at < (x.shape[0] as number); at += batch) {
        const rows = x.slice(0, at, at + batch)
        yield rows
        rows.dispose()
      }
    },
  }
}
