// Scaling: numbers brought to a common size by what was seen in training, and back.
import { ArgumentError, ShapeError } from '../errors.js'
import { tensor } from '../tensor/create.js'
import { isFloat } from '../tensor/dtype.js'
import { Tensor } from '../tensor/tensor.js'
import { list, object } from './check.js'
import { Table } from './table.js'

/** `'standard'`: to mean 0 and standard deviation 1; `'minmax'`: to 0 … 1; `'none'`: as they are. */
export type ScalingKind = 'standard' | 'minmax' | 'none'

/** Numbers, the last axis being the columns. */
export type Values = readonly number[] | readonly Values[]

/** A scaling as plain data. */
export interface ScalingData {
  readonly names: readonly string[]
  readonly offset: readonly number[]
  readonly factor: readonly number[]
}

/**
 * Scales columns: (x − offset) / factor. `'standard'` takes the mean and the standard deviation (over n), `'minmax'` the minimum and the range. A column that
 * never changes has the factor 1. `apply` and `inverse` take tensors or nested arrays whose last axis has the columns, or only the first ones of them.
 *
 * ```ts
 * const scaling = data.Scaling.fit(data.Table.of({ temp: [10, 20, 30], wind: [0, 1, 2] }), 'minmax')
 * console.log(scaling.apply([20, 2]), scaling.inverse([0.5]))   // [ 0.5, 1 ] [ 20 ]
 * ```
 */
export class Scaling implements ScalingData {
  readonly names: readonly string[]
  readonly offset: readonly number[]
  readonly factor: readonly number[]

  /** From what `toJSON` gave. */
  constructor(data: ScalingData) {
    const { names, offset, factor } = object(data, 'data', 'Scaling')
    for (const part of [names, offset, factor]) list(part, 'each part', 'Scaling')
    if (
      offset.length !== names.length ||
      factor.length !== names.length ||
      !Array.from(factor).every((x) => x > 0 && x < Infinity)
    ) {
      throw new ArgumentError(`Scaling: expected ${names.length} offsets and ${names.length} factors > 0`, {
        op: 'Scaling',
        expected: String(names.length),
        got: `${offset.length}, ${factor.length}`,
      })
    }
    this.names = [...names]
    this.offset = [...offset]
    this.factor = [...factor]
  }

  /** Fitted on the rows of a table, or of several together; missing values count for nothing. */
  static fit(tables: Table | readonly Table[], kind: ScalingKind = 'standard'): Scaling {
    checkKind(kind, 'Scaling.fit')
    const all = (Array.isArray(tables) ? tables : [tables]) as readonly Table[]
    const names = all[0] instanceof Table ? all[0].names : []
    if (!all.every((table) => table instanceof Table && table.names.join() === names.join()) || names.length === 0) {
      throw new ArgumentError('Scaling.fit: tables must be tables with the same columns', {
        op: 'Scaling.fit',
        expected: 'tables',
      })
    }
    const series = all.map((table) => table.series('Scaling.fit'))
    const fitted = names.map((_, column) =>
      measure(
        series.map((columns) => columns[column] as Float64Array),
        kind,
      ),
    )
    return new Scaling({
      names,
      offset: fitted.map(({ offset }) => offset),
      factor: fitted.map(({ factor }) => factor),
    })
  }

  /** (x − offset) / factor. */
  apply<T extends Tensor | Values>(x: T): T {
    return this.#map(
      x,
      (value, offset, factor) => value.sub(offset).div(factor),
      (value, offset, factor) => (value - offset) / factor,
    )
  }

  /** x · factor + offset: back to the units of the data. */
  inverse<T extends Tensor | Values>(x: T): T {
    return this.#map(
      x,
      (value, offset, factor) => value.mul(factor).add(offset),
      (value, offset, factor) => value * factor + offset,
    )
  }

  toJSON(): ScalingData {
    return { names: this.names, offset: this.offset, factor: this.factor }
  }

  #map<T extends Tensor | Values>(
    x: T,
    ofTensor: (value: Tensor, offset: Tensor, factor: Tensor) => Tensor,
    ofNumber: (value: number, offset: number, factor: number) => number,
  ): T {
    if (x instanceof Tensor) {
      const columns = this.#check(x.shape.at(-1))
      const dtype = isFloat(x.dtype) ? x.dtype : 'float32'
      const side = (values: readonly number[]) =>
        tensor(Float64Array.from(values.slice(0, columns))).to(dtype, x.device) as Tensor
      return ofTensor(x.to(dtype), side(this.offset), side(this.factor)) as T
    }
    const nested = (values: Values): Values => {
      if (Array.isArray(values[0])) return (values as readonly Values[]).map(nested)
      this.#check(values.length)
      return (values as readonly number[]).map((value, i) =>
        ofNumber(value, this.offset[i] as number, this.factor[i] as number),
      )
    }
    return nested(x) as T
  }

  #check(columns: number | undefined): number {
    if (columns !== undefined && columns <= this.names.length) return columns
    const expected = `at most ${this.names.length} columns (${this.names.join(', ')})`
    throw new ShapeError(`Scaling: the last axis must have ${expected}, got ${String(columns)}`, {
      op: 'Scaling',
      expected,
      got: String(columns),
    })
  }
}

export function checkKind(kind: ScalingKind, op: string): void {
  if (['standard', 'minmax', 'none'].includes(kind)) return
  const expected = "'standard', 'minmax' or 'none'"
  const got = String(kind)
  throw new ArgumentError(`${op}: kind must be ${expected}, got ${got}`, { op, expected, got })
}

/** What was seen of a column: Σ(x − mean)² is `squares`. */
export interface Moments {
  readonly count: number
  readonly mean: number
  readonly squares: number
  readonly least: number
  readonly most: number
}

export const none: Moments = { count: 0, mean: 0, squares: 0, least: Infinity, most: -Infinity }

/** What was seen of two parts together. */
export function merge(a: Moments, b: Moments): Moments {
  const count = a.count + b.count
  if (count === 0) return none
  const delta = b.mean - a.mean
  return {
    count,
    mean: a.mean + (delta * b.count) / count,
    squares: a.squares + b.squares + (delta * delta * a.count * b.count) / count,
    least: Math.min(a.least, b.least),
    most: Math.max(a.most, b.most),
  }
}

/** (x − offset) / factor, by what was seen. */
export function scalingOf({ count, mean, squares, least, most }: Moments, kind: ScalingKind) {
  if (count === 0 || kind === 'none') return { offset: 0, factor: 1 }
  return kind === 'minmax'
    ? { offset: least, factor: most - least || 1 }
    : { offset: mean, factor: Math.sqrt(squares / count) || 1 }
}

function measure(
  parts: readonly (Float64Array | Float32Array)[],
  kind: ScalingKind,
): { offset: number; factor: number } {
  if (kind === 'none') return { offset: 0, factor: 1 }
  // Welford 1962: stable where the mean is large beside the deviation.
  let count = 0
  let mean = 0
  let squares = 0
  let least = Infinity
  let most = -Infinity
  for (const part of parts) {
    for (const value of part) {
      if (Number.isNaN(value)) continue
      const delta = value - mean
      mean += delta / ++count
      squares += delta * (value - mean)
      if (value < least) least = value
      if (value > most) most = value
    }
  }
  return scalingOf({ count, mean, squares, least, most }, kind)
}
