// Loader: batches over arrays, made in the engine, in an order that a saved state continues exactly.
import { ArgumentError, CheckpointError } from '../errors.js'
import { type DeviceLike, device } from '../tensor/device.js'
import { checkDType, type DType } from '../tensor/dtype.js'
import { Pace } from '../tensor/pace.js'
import { throwPending } from '../tensor/queue.js'
import { Generator, type GeneratorState, generator } from '../tensor/random.js'
import { scope } from '../tensor/scope.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Augmentation } from './augmentation.js'
import { AugmentedRows, type MixedMaker, mixLabels } from './augmented-rows.js'
import { object } from './check.js'
import { DistantRows, type FieldData, makeField, type Rows, type Selection } from './field.js'
import { checkSubset, commonRows, unknownField } from './loader-fields.js'
import { batches, makeOrder, type Order } from './order.js'

export type Fields = Readonly<Record<string, FieldData>>

/** A batch: each field as a tensor [B, …], and its place in the epoch, from 0. */
export type Batch<F> = { [K in keyof F]: Tensor } & { step: number }

export interface LoaderOptions<F extends Fields> {
  /** Rows in a batch. @default 32 */
  batch?: number
  /** A new random order in each epoch. @default false */
  shuffle?: boolean
  /** Where the shuffles start (default: drawn from the ambient generator). */
  seed?: number | bigint
  /** Leaves out the last batch where it is smaller than the others. @default false */
  dropLast?: boolean
  /** Fields of sequences by whose length rows are grouped, the most important first: batches hold rows of near-equal length. */
  bucketBy?: (keyof F & string) | readonly (keyof F & string)[]
  /** What fills sequences up to the longest of their batch, by field. Needed where sequences differ in length. */
  padding?: { readonly [K in keyof F]?: number }
  /** Element types by field (default: int64 for whole numbers, float32 for others, bool; typed arrays and tensors keep theirs). */
  dtypes?: { readonly [K in keyof F]?: DType }
  /** What is done to the images of a field when a batch asks for them, off the JavaScript thread: crops, mirror images, … */
  augment?: { readonly [K in keyof F]?: Augmentation }
  /** How many batches may be queued ahead of the engine, and how many more are read or augmented ahead. @default 2 */
  prefetch?: number
  /** The rows that are gone through, for example a part that `splitByHash` gave (default: all). */
  rows?: ArrayLike<number>
  /** Where the rows are kept and batches are made (default: tensors stay where they are, arrays go to the CPU). */
  device?: DeviceLike
}

/** Where a loader is: what `restore` needs to go on with the batch after the last one given out. */
export interface LoaderState {
  /** Epochs done. */
  readonly epoch: number
  /** Batches of this epoch given out. */
  readonly position: number
  /** The generator at the start of this epoch. */
  readonly generator: GeneratorState
  readonly rows: number
  readonly batch: number
  /** Shuffled, last batch dropped, bucketed by: they decide the order too. */
  readonly order: string
}

/**
 * Batches of rows. Each `for await` over it is one epoch.
 *
 * ```ts
 * const loader = new data.Loader({ x: [[0, 0.5], [1, 0.5], [2, 0.5]], y: [0, 1, 0] }, { batch: 2, shuffle: true })
 * for await (const { x, y, step } of loader) console.log(step, x.shape, y.dtype)   // 0 [ 2, 2 ] int64 …
 * ```
 *
 * The rows are copied once and live in the engine; batches are gathered there. The loop runs at most `prefetch` batches ahead of the engine, and
 * an error that nobody has awaited is thrown at its next turn. Differs from PyTorch's `DataLoader`: no workers, and a state that can be saved.
 *
 * @throws ArgumentError, ShapeError or DTypeError for fields of different lengths, ragged rows without `padding`, mixed elements.
 */
export class Loader<F extends Fields> implements AsyncIterable<Batch<F>> {
  /** Rows of the dataset. */
  readonly rows: number
  readonly #fields: [name: string, field: Rows][]
  /** The rows that are gone through; undefined for all. */
  readonly #subset: Int32Array | undefined
  readonly #batch: number
  readonly #shuffle: boolean
  readonly #dropLast: boolean
  readonly #keys: Int32Array[] | undefined
  readonly #described: string
  readonly #prefetch: number
  /** The generator's state at the start of the epoch `#epoch`. */
  #start: GeneratorState
  #epoch = 0
  #position = 0
  #restored = false
  #iteration = 0

  constructor(fields: F, options: LoaderOptions<F> = {}) {
    object(options, 'options', 'Loader')
    const {
      batch = 32,
      shuffle = false,
      seed,
      dropLast = false,
      bucketBy = [],
      padding = {},
      dtypes = {},
      augment = {},
      prefetch = 2,
    } = options
    if (typeof fields !== 'object' || fields === null)
      throw new ArgumentError(`Loader: expected fields by name, got ${String(fields)}`, {
        op: 'Loader',
        expected: '{ name: rows }',
        got: String(fields),
      })
    const place = options.device === undefined ? undefined : device(options.device, 'Loader')
    this.#batch = whole(batch, 'batch', 'Loader', 1)
    this.#prefetch = whole(prefetch, 'prefetch', 'Loader', 1, 64)
    const paddings = padding as Record<string, number | undefined>
    const types = dtypes as Record<string, DType | undefined>
    const augments = object(augment, 'augment', 'Loader') as Record<string, Augmentation | undefined>
    const mixed = Object.values(augments).flatMap((each) => each?.mixup?.labels ?? [])
    for (const name of [paddings, types, augments].flatMap(Object.keys).concat(mixed)) {
      if (!Object.hasOwn(fields, name)) throw unknownField(name, fields)
    }
    this.#fields = Object.entries(fields).map(([name, data]) => {
      if (name === 'step')
        throw new ArgumentError("Loader: 'step' is the number of a batch; give the field another name", {
          op: 'Loader',
          got: name,
        })
      const augmentation = augments[name]
      if (augmentation !== undefined) return [name, new AugmentedRows(name, data, augmentation, place)]
      const dtype = types[name] === undefined ? undefined : checkDType(types[name], 'Loader')
      return [name, makeField(name, data, { device: place, dtype, padding: paddings[name] })]
    })
    const available = commonRows(this.#fields)
    this.#subset = options.rows === undefined ? undefined : checkSubset(options.rows, available)
    this.rows = this.#subset?.length ?? available
    const buckets = typeof bucketBy === 'string' ? [bucketBy] : [...bucketBy]
    this.#keys = buckets.length === 0 ? undefined : buckets.map((name) => this.#lengths(name, fields))
    this.#shuffle = shuffle
    this.#dropLast = dropLast
    this.#described = [
      shuffle ? 'shuffled' : 'in order',
      ...(dropLast ? ['last dropped'] : []),
      ...buckets.map((name) => `by ${name}`),
    ].join(', ')
    this.#start = (seed === undefined ? generator().fork() : new Generator(seed)).state()
  }

  /** Batches of an epoch. */
  get length(): number {
    return batches(this.rows, this.#batch, this.#dropLast)
  }

  /** Where it is. Inside the loop the batch in hand counts as given out. */
  state(): LoaderState {
    return {
      epoch: this.#epoch,
      position: this.#position,
      generator: this.#start,
      rows: this.rows,
      batch: this.#batch,
      order: this.#described,
    }
  }

  /**
   * Goes to a place that `state()` described: the next loop gives the rest of that epoch, in the same order.
   *
   * @throws CheckpointError (`ERR_CHECKPOINT`) for the state of a loader over other rows or with other options.
   */
  restore(state: LoaderState): void {
    const own = this.state()
    for (const key of ['rows', 'batch', 'order'] as const) {
      if (state[key] === own[key]) continue
      throw new CheckpointError(
        `Loader.restore: the state is of a loader with ${key} ${String(state[key])}, this one has ${own[key]}`,
        {
          op: 'Loader.restore',
          expected: String(own[key]),
          got: String(state[key]),
        },
      )
    }
    this.#start = new Generator(BigInt(state.generator.seed)).state()
    this.#start = { seed: this.#start.seed, offset: whole(state.generator.offset, 'offset', 'Loader.restore') }
    this.#epoch = whole(state.epoch, 'epoch', 'Loader.restore')
    this.#position = whole(state.position, 'position', 'Loader.restore', 0, this.length)
    this.#restored = true
    this.#iteration++
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch<F>, void, undefined> {
    throwPending()
    const { order, next } = this.#begin()
    const iteration = ++this.#iteration
    const pace = new Pace(this.#prefetch)
    const count = order.starts.length - 1
    const first = this.#position
    // Batches that must be read are begun this many turns before they are given out.
    const coming: (Makers | Promise<Makers>)[] = []
    let begun = first
    const readAhead = (most: number) => {
      while (begun < count && coming.length < most) coming.push(this.#read(order, begun++))
    }
    try {
      for (let step = first; step < count; step++) {
        readAhead(1)
        const makers = await (coming.shift() as Makers | Promise<Makers>)
        readAhead(this.#prefetch)
        const batch = this.#make(makers, step)
        if (iteration === this.#iteration) this.#position = step + 1
        yield batch
        await pace.turn()
      }
    } finally {
      // What was read for batches that nobody wants any more is freed.
      for (const makers of coming) {
        if (makers instanceof Promise) {
          makers.then((read) => scope(() => void read.map(([, make]) => make()))).catch(() => {})
        }
      }
    }
    if (iteration === this.#iteration) this.#advance(next)
  }

  /** The order of this epoch, or of the next one if the last loop left this one. */
  #begin(): { order: Order; next: GeneratorState } {
    if (!this.#restored && this.#position > 0) this.#advance(this.#order().next)
    this.#restored = false
    return this.#order()
  }

  #order(): { order: Order; next: GeneratorState } {
    const shuffler = new Generator(0)
    shuffler.restore(this.#start)
    const order = makeOrder({
      rows: this.rows,
      batch: this.#batch,
      dropLast: this.#dropLast,
      generator: this.#shuffle ? shuffler : undefined,
      keys: this.#keys,
    })
    return { order, next: shuffler.state() }
  }

  #advance(next: GeneratorState): void {
    this.#start = next
    this.#epoch++
    this.#position = 0
  }

  /** What makes the tensors of a batch: at once, or after reading. */
  #read({ rows, starts }: Order, step: number): Makers | Promise<Makers> {
    const start = starts[step] as number
    const ordered = rows.subarray(start, starts[step + 1])
    const subset = this.#subset
    const selection: Selection = {
      rows: subset === undefined ? ordered : ordered.map((row) => subset[row] as number),
      start: this.#shuffle || this.#keys !== undefined || subset !== undefined ? undefined : start,
    }
    const pass = { epoch: this.#epoch, seed: this.#start.seed }
    const makers = this.#fields.map(([name, field]): [string, MixedMaker | Promise<MixedMaker>] => [
      name,
      field instanceof DistantRows ? field.read(selection, pass) : () => field.batch(selection),
    ])
    if (!makers.some(([, maker]) => maker instanceof Promise)) return makers as Makers
    const all = Promise.all(makers.map(async ([name, maker]): Promise<Makers[number]> => [name, await maker]))
    all.catch(() => {}) // said where the batch is awaited
    return all
  }

  #make(makers: Makers, step: number): Batch<F> {
    return scope(() => {
      const batch: Record<string, Tensor | number> = {}
      for (const [name, make] of makers) batch[name] = make()
      for (const [, { mixing }] of makers)
        if (mixing !== undefined) batch[mixing.labels] = mixLabels(batch[mixing.labels] as Tensor, mixing)
      batch.step = step
      return batch as Batch<F>
    })
  }

  #lengths(name: string, fields: F): Int32Array {
    const field = this.#fields.find(([known]) => known === name)?.[1]
    if (field === undefined) throw unknownField(name, fields)
    if (field.lengths === undefined) {
      throw new ArgumentError(`Loader: bucketBy names ${name}, whose rows are single numbers and have no length`, {
        op: 'Loader',
        expected: 'a field of sequences',
        got: name,
      })
    }
    const { lengths } = field
    return this.#subset === undefined ? lengths : this.#subset.map((row) => lengths[row] as number)
  }
}

/** What makes the tensors of a batch, by field. */
type Makers = (readonly [name: string, make: MixedMaker])[]
