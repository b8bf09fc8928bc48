// Windows over series that lie in files: the scaling is fitted block by block, the windows of a batch are read by their positions.
import { ArgumentError, NotFiniteError, ShapeError } from '../errors.js'
import { tensor } from '../tensor/create.js'
import { type Device, device } from '../tensor/device.js'
import { cat } from '../tensor/functions.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { DistantRows, int64, type Selection } from './field.js'
import type { FileRows } from './file-rows.js'
import { type Moments, merge, none, Scaling, type ScalingKind, scalingOf } from './scaling.js'
import {
  type CheckedOptions,
  cutsOf,
  ofTraining,
  type Parts,
  type Run,
  rowAt,
  runsOf,
  windowsIn,
} from './window-cuts.js'
import { WindowLoader } from './window-loader.js'

const op = 'windows'

/** Bytes that are read at once while the scaling is fitted. */
const BLOCK = 8 * 2 ** 20

/** Windows over series in files, to be split by time or gone through as they are; made by `windows`. */
export class DistantWindows {
  readonly #series: readonly FileRows[]
  readonly #options: CheckedOptions

  /** @internal */
  constructor(series: readonly FileRows[], options: CheckedOptions) {
    this.#series = series
    this.#options = options
  }

  /** How many windows there are in all. */
  get length(): number {
    return this.#series.reduce((sum, { rows }) => sum + windowsIn(rows, this.#options), 0)
  }

  /** All windows as one loader; the scaling is fitted on all of them. */
  async loader(): Promise<WindowLoader> {
    return (await this.#parts([0, 1], ['windows']))[0] as WindowLoader
  }

  /**
   * The parts as `Windows.splitByTime` gives them. Values of the training part must be finite; those of the others are as they are in the file.
   *
   * @throws ArgumentError where a part is too short for a single window; NotFiniteError (`ERR_NOT_FINITE`) with file and row; FileError (`ERR_IO`).
   */
  splitByTime(training: number): Promise<Parts<WindowLoader>>
  splitByTime(training: number, validation: number): Promise<Parts<WindowLoader> & { test: WindowLoader }>
  async splitByTime(training: number, validation?: number): Promise<Parts<WindowLoader> & { test?: WindowLoader }> {
    const { cuts, names } = cutsOf(training, validation)
    const parts = await this.#parts(cuts, names)
    return Object.fromEntries(names.map((name, i) => [name, parts[i]])) as unknown as Parts<WindowLoader>
  }

  async #parts(cuts: readonly number[], names: readonly string[]): Promise<WindowLoader[]> {
    const { past, future, stride, targets, scale } = this.#options
    const place = this.#options.device === undefined ? undefined : device(this.#options.device, op)
    const runs = names.map((name, part) =>
      runsOf(this.#series, cuts[part] as number, cuts[part + 1] as number, name, this.#options),
    )
    const ends = this.#series.map(({ rows }) => rowAt(rows, cuts[1] as number))
    const scaling = await fitScaling(this.#series, ends, scale)
    const columns = scaling.names.length
    const shared = { stride, scaling, device: place }
    return runs.map((own, part) => {
      const fields = {
        past: new DistantWindowRows(own, { ...shared, offset: 0, length: past, columns }),
        future: new DistantWindowRows(own, { ...shared, offset: past, length: future, columns: targets }),
      }
      return new WindowLoader(fields, ofTraining(this.#options, part === 0), scaling)
    })
  }
}

/** Series in files must have the same columns, of numbers; returns how many. */
export function checkFiles(series: readonly FileRows[]): number {
  const columns = (series[0] as FileRows).shape[0] ?? 1
  for (const { shape, dtype, path } of series) {
    if (shape.length > 1 || (shape[0] ?? 1) !== columns) {
      const expected = `[${columns}] for each row`
      const got = `[${shape.join(', ')}]`
      throw new ShapeError(`${op}: ${path}: rows must be ${expected}, got ${got}`, { op, expected, got })
    }
    if (dtype === 'bool') throw new ArgumentError(`${op}: ${path}: rows must be numbers`, { op, got: dtype })
  }
  return columns
}

/**
 * The scaling that the first `ends[k]` rows of each series show. Blocks are read one after another, the next one while the one before is measured in the engine;
 * what was measured of each is merged (Chan, Golub and LeVeque 1983).
 */
async function fitScaling(series: readonly FileRows[], ends: readonly number[], kind: ScalingKind): Promise<Scaling> {
  const columns = (series[0] as FileRows).shape[0] ?? 1
  const single = (series[0] as FileRows).shape.length === 0
  const names = single ? ['value'] : Array.from({ length: columns }, (_, i) => `column${i + 1}`)
  const moments: Moments[] = names.map(() => none)
  if (kind !== 'none') {
    const blocks = blocksOf(series, ends)
    let coming = blocks.next()
    let reading = coming.done ? undefined : readBlock(coming.value)
    while (!coming.done) {
      const block = coming.value
      const make = await (reading as ReturnType<typeof readBlock>)
      coming = blocks.next()
      reading = coming.done ? undefined : readBlock(coming.value)
      reading?.catch(() => {}) // said where it is awaited
      const found = await measureBlock(make, columns, block, names)
      for (const [i, own] of found.entries()) moments[i] = merge(moments[i] as Moments, own)
    }
  }
  const fitted = moments.map((own) => scalingOf(own, kind))
  return new Scaling({
    names,
    offset: fitted.map(({ offset }) => offset),
    factor: fitted.map(({ factor }) => factor),
  })
}

interface Block {
  series: FileRows
  start: number
  rows: number
}

function* blocksOf(series: readonly FileRows[], ends: readonly number[]): Generator<Block, void> {
  for (const [k, own] of series.entries()) {
    const most = Math.max(1, Math.floor(BLOCK / own.bytes))
    const end = ends[k] as number
    for (let start = 0; start < end; start += most) {
      yield { series: own, start, rows: Math.min(most, end - start) }
    }
  }
}

function readBlock({ series, start, rows }: Block): Promise<() => Tensor> {
  return series.gather(Float64Array.from({ length: rows }, (_, i) => start + i))
}

async function measureBlock(make: () => Tensor, columns: number, block: Block, names: readonly string[]) {
  const { series, start, rows } = block
  const x = make().reshape([rows, columns]).to('float64')
  const wanted = scope(() => {
    const mean = x.mean(0)
    return [mean, x.sub(mean).square().sum(0), x.amin(0), x.amax(0)].map((values) => values.data())
  })
  const [mean, squares, least, most] = (await Promise.all(wanted)) as Float64Array[]
  const odd = names.findIndex((_, i) => !Number.isFinite((squares as Float64Array)[i]))
  if (odd >= 0) {
    const values = (await x.select(1, odd).data()) as Float64Array
    const row = values.findIndex((value) => !Number.isFinite(value))
    const got = row < 0 ? 'too large' : `${values[row]} in row ${start + row}`
    throw new NotFiniteError(`${op}: ${series.path}: ${names[odd]} is ${got}`, { op, expected: 'finite values', got })
  }
  x.dispose()
  return names.map(
    (_, i): Moments => ({
      count: rows,
      mean: (mean as Float64Array)[i] as number,
      squares: (squares as Float64Array)[i] as number,
      least: (least as Float64Array)[i] as number,
      most: (most as Float64Array)[i] as number,
    }),
  )
}

interface PieceOptions {
  /** Rows between the starts of two windows. */
  stride: number
  /** Rows from the start of a window to the first one of the piece, and rows of the piece. */
  offset: number
  length: number
  /** How many columns are kept, the first ones. */
  columns: number
  scaling: Scaling
  device: Device | undefined
}

/** A piece of each window, [B, length, columns] as float32, scaled in float64. */
class DistantWindowRows extends DistantRows {
  readonly #runs: readonly Run<FileRows>[]
  readonly #options: PieceOptions

  constructor(runs: readonly Run<FileRows>[], options: PieceOptions) {
    super()
    this.#runs = runs
    this.#options = options
  }

  override get rows(): number {
    return this.#runs.reduce((sum, { count }) => sum + count, 0)
  }

  override async read({ rows }: Selection): Promise<() => Tensor> {
    const { length } = this.#options
    // The windows of each series are read together; `places` says where in the batch they belong.
    const groups = new Map<FileRows, { positions: number[]; places: number[] }>()
    rows.forEach((row, place) => {
      const { series, start } = this.#find(row)
      const group = groups.get(series) ?? { positions: [], places: [] }
      for (let t = 0; t < length; t++) group.positions.push(start + t)
      group.places.push(place)
      groups.set(series, group)
    })
    const makers = await Promise.all(
      Array.from(groups, ([series, { positions }]) => series.gather(Float64Array.from(positions))),
    )
    const places = [...groups.values()].flatMap((group) => group.places)
    return () => this.#make(makers, places)
  }

  #make(makers: readonly (() => Tensor)[], places: readonly number[]): Tensor {
    const { scaling, columns, length, device: place } = this.#options
    const width = scaling.names.length
    const parts = makers.map((make) => {
      const stored = make()
      const values = stored.to('float64')
      return scaling.apply(values.reshape([values.size / (length * width), length, width])).to('float32')
    })
    const all = parts.length === 1 ? (parts[0] as Tensor) : cat(parts)
    const own = columns === width ? all : all.slice(2, 0, columns)
    const moved = place === undefined ? own : own.to('float32', place)
    if (parts.length === 1) return moved
    const order = new Int32Array(places.length)
    places.forEach((place, i) => {
      order[place] = i
    })
    return moved.indexSelect(0, tensor(int64(order)).to(moved.device))
  }

  /** The window of a row: which series, and its first row there. */
  #find(row: number): { series: FileRows; start: number } {
    let left = row
    for (const { series, begin, count } of this.#runs) {
      if (left < count) return { series, start: begin + left * this.#options.stride + this.#options.offset }
      left -= count
    }
    throw new ArgumentError(`windows: there is no window ${row}`, { op: 'windows', got: String(row) })
  }
}
