// evaluate: losses and metrics over a dataset, in eval mode and without gradients.
import { ArgumentError } from '../errors.js'
import type { Module } from '../nn/index.js'
import { noGrad, scope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import { type Batches, checkBatches, discard, paced, rowsOf } from './batches.js'
import { called, isOutputs, type Loss, type Outputs, scalar } from './call.js'
import { checkModel, refused, taken } from './check.js'
import { Mean } from './mean.js'
import { Metric, type MetricValue, type Tally } from './metrics/index.js'
import { Mode } from './mode.js'

/** What is measured on a dataset: a scalar of a model and a batch, averaged over rows, or a metric. */
export type Measure<M, B> = Loss<M, B> | Metric<number> | Metric<number[]> | Metric<number[][]> | Metric<MetricValue>
export type Measures<M, B> = Readonly<Record<string, Measure<M, B>>>
/** The figures by name. */
export type Measured<S> = { [K in keyof S]: S[K] extends Metric<infer V> ? V : number }

/**
 * Figures over the rows of a dataset, by name. A function gives a scalar for each batch, which counts by its number of rows; metrics such as
 * `train.accuracy()` are gathered on the engine and read once at the end. They compare the prediction and target that one of the functions returns
 * beside its loss (`{ loss, prediction, target }`), else `model.forward(batch.x)` with `batch.y`.
 *
 * The model is in eval mode for each call and has its own mode between them.
 *
 * ```ts
 * const { loss, accuracy } = await train.evaluate(model, loader, {
 *   loss: (model, { x, y }) => nn.functional.crossEntropy(model.forward(x), y),
 *   accuracy: train.accuracy(),
 * })
 * ```
 *
 * @throws ArgumentError for batches without x and y where metrics need them; CallbackError for a function that threw.
 */
export async function evaluate<M extends Module, B, const S extends Measures<M, B>>(
  model: M,
  data: Batches<B>,
  measures: S,
): Promise<Measured<S>> {
  const op = 'evaluate'
  checkModel(model, op)
  checkBatches(data, 'data', op)
  checkMeasures(measures, 'measures', op)
  const aside = { op, around: <T>(fn: () => T) => fn(), interrupted: () => false }
  return (await measureAll(new Mode(model), model, data, measures, aside)) as Measured<S>
}

export function checkMeasures(measures: Measures<never, never>, name: string, op: string): void {
  for (const [key, measure] of Object.entries(taken(measures, op, name)))
    if (typeof measure !== 'function' && !(measure instanceof Metric))
      throw refused(op, `${name}.${key}`, 'a function or a metric', measure)
}

/** What a run does around an evaluation. */
interface Aside {
  /** Whose evaluation it is, for errors. */
  op: string
  /** Wraps the calls into the user's functions. */
  around<T>(fn: () => T): T
  interrupted(): boolean
}

/** The same for a run; undefined if it was interrupted. */
export async function measureAll<M extends Module, B>(
  mode: Mode,
  model: M,
  data: Batches<B>,
  measures: Measures<M, B>,
  { op, around, interrupted }: Aside,
): Promise<Record<string, MetricValue> | undefined> {
  const losses: [name: string, measure: Loss<M, B>, mean: Mean][] = []
  const tallies: [name: string, tally: Tally<MetricValue>][] = []
  for (const [name, measure] of Object.entries(measures)) {
    if (measure instanceof Metric) tallies.push([name, measure.begin()])
    else losses.push([name, measure, new Mean()])
  }
  const oneBatch = (batch: B): Tensor[] => {
    let outputs: Outputs | Omit<Outputs, 'loss'> | undefined
    const values = losses.map(([name, measure]) => {
      const value = called(name, op, () => measure(model, batch))
      if (!isOutputs(value)) return scalar(value, name, op)
      outputs ??= value
      return scalar(value.loss, name, op)
    })
    if (tallies.length > 0) {
      const { prediction, target } = outputs ?? usual(model, batch, op)
      for (const [name, tally] of tallies) called(name, op, () => tally.gather(prediction, target))
    }
    return values
  }
  try {
    let step = 0
    for await (const batch of paced(data)) {
      const rows = rowsOf(batch)
      const values = around(() => mode.run(false, () => noGrad(() => scope(() => oneBatch(batch)))))
      for (const [i, value] of values.entries()) losses[i]?.[2].add(value, rows, step)
      discard(data, batch)
      step++
      if (interrupted()) {
        await Promise.all(losses.map(([, , mean]) => mean.clear()))
        return undefined
      }
    }
    const figures = tallies.map(async ([name, tally]) => [name, await tally.value()] as const)
    await Promise.all([...losses.map(([, , mean]) => mean.drain()), ...figures])
    const found = new Map<string, MetricValue>([
      ...losses.map(([name, , mean]) => [name, mean.value] as const),
      ...(await Promise.all(figures)),
    ])
    return Object.fromEntries(Object.keys(measures).map((name) => [name, found.get(name) as MetricValue]))
  } finally {
    for (const [, tally] of tallies) tally.dispose()
  }
}

/** What metrics compare where nobody says: model.forward(x) with y. */
function usual<B>(model: Module, batch: B, op: string): Omit<Outputs, 'loss'> {
  const { x, y } = (batch ?? {}) as { x?: unknown; y?: unknown }
  const forward = model.forward as (x: unknown) => unknown
  const prediction =
    x instanceof Tensor && y instanceof Tensor ? called('forward', op, () => forward.call(model, x)) : undefined
  if (prediction instanceof Tensor) return { prediction, target: y as Tensor }
  throw new ArgumentError(
    `${op}: metrics do not know what to compare; return { loss, prediction, target } from the loss, or name the fields of batches x and y`,
    { op, expected: '{ loss, prediction, target }' },
  )
}
