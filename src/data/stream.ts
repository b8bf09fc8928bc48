// stream: batches from whatever gives samples one after another, shuffled within a buffer, continued from a saved state.
import { ArgumentError, CheckpointError } from '../errors.js'
import { type Device, type DeviceLike, device } from '../tensor/device.js'
import { checkDType, type DType } from '../tensor/dtype.js'
import { Pace } from '../tensor/pace.js'
import { throwPending } from '../tensor/queue.js'
import { Generator, type GeneratorState, generator } from '../tensor/random.js'
import { scope } from '../tensor/scope.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { object } from './check.js'
import { makeField, type Row } from './field.js'
import type { Batch } from './loader.js'
import { shuffle } from './order.js'

/** A sample: its fields by name. */
export type Sample = Readonly<Record<string, Row>>

/** Something that gives samples: an array or another iterable, an async iterable, a Node stream in object mode, a web `ReadableStream`. */
export type SampleSource<S> = Iterable<S> | AsyncIterable<S>

/**
 * A source that can tell where it is and go there again. `state()` describes the place after the last sample that was taken, as plain data; after `restore(state)`
 * the next pass goes on from there.
 */
export interface StatefulSource {
  state(): unknown
  restore(state: unknown): void
}

export interface StreamOptions<S extends Sample> {
  /** Samples in a batch. @default 32 */
  batch?: number
  /** Samples that are gathered and shuffled at a time, rounded up to whole batches; 0: they come in the order of the source. @default 0 */
  shuffleBuffer?: number
  /** Where the shuffles start (default: drawn from the ambient generator). */
  seed?: number | bigint
  /** Leaves out the last batch where it is smaller than the others. @default false */
  dropLast?: boolean
  /** What fills sequences up to the longest of their batch, by field. Needed where sequences differ in length. */
  padding?: { readonly [K in keyof S]?: number }
  /** Element types by field (default: as the first batch shows; int64 for whole numbers, float32 for others, bool). */
  dtypes?: { readonly [K in keyof S]?: DType }
  /** How many batches may be queued ahead of the engine. @default 2 */
  prefetch?: number
  device?: DeviceLike
}

/** Where a stream is: what `restore` needs to go on with the batch after the last one given out. */
export interface StreamState {
  readonly epoch: number
  /** Samples of this epoch before the block in hand, and those of the block that were given out. */
  readonly before: number
  readonly given: number
  /** The generator, and the state of the source if it has one, at the start of that block. */
  readonly generator: GeneratorState
  readonly source: unknown
  readonly dtypes: Readonly<Record<string, DType>>
  readonly batch: number
  readonly shuffleBuffer: number
}

const op = 'stream'

/**
 * Batches of what a source gives, one pass over it for each `for await`. No more samples are taken than the next batch needs, or the next block to be shuffled.
 *
 * ```ts
 * const squares = data.stream(function* () {
 *   for (let i = 0; i < 1000; i++) yield { x: [i / 1000], y: (i / 1000) ** 2 }
 * }, { batch: 64, shuffleBuffer: 256 })
 * for await (const { x, y, step } of squares) console.log(step, x.shape, y.shape)   // 0 [ 64, 1 ] [ 64 ] …
 * ```
 *
 * A source that can be gone through once only (a generator, a Node or web stream) serves one epoch: pass a function that opens it for more. A stream that is left
 * early is closed.
 *
 * Shuffling is by blocks: `shuffleBuffer` samples are taken, shuffled and given out before the next ones are taken. So `state()` is small and exact: from a source
 * with `state()` and `restore()` at most one block is read again; any other source is passed over from its start, with a warning. Differs from TensorFlow's
 * `shuffle`, which mixes neighbouring blocks and cannot be continued without saving the samples themselves.
 *
 * @throws ArgumentError for a sample that lacks a field of the first one, and for a second pass over a source that can be gone through once.
 */
export function stream<S extends Sample>(
  source: SampleSource<S> | (() => SampleSource<S>),
  options: StreamOptions<S> = {},
): StreamLoader<S> {
  return new StreamLoader(source, options)
}

/** The batches of a stream; made by `stream`. */
export class StreamLoader<S extends Sample> implements AsyncIterable<Batch<S>> {
  readonly #source: SampleSource<S> | (() => SampleSource<S>)
  readonly #batch: number
  readonly #block: number
  readonly #shuffleBuffer: number
  readonly #dropLast: boolean
  readonly #padding: Record<string, number | undefined>
  readonly #prefetch: number
  readonly #device: Device
  #dtypes: Record<string, DType>
  #generator: Generator
  #place: StreamState
  #opened = false
  #restored = false
  #iteration = 0

  /** @internal */
  constructor(source: SampleSource<S> | (() => SampleSource<S>), options: StreamOptions<S>) {
    object(options, 'options', op)
    const { batch = 32, shuffleBuffer = 0, seed, dropLast = false, prefetch = 2 } = options
    if (typeof source !== 'function' && !isIterable(source)) throw notASource(source)
    this.#source = source
    this.#batch = whole(batch, 'batch', op, 1)
    this.#shuffleBuffer = whole(shuffleBuffer, 'shuffleBuffer', op)
    // Whole batches, so that none reaches from one block into the next.
    this.#block = Math.max(1, Math.ceil(shuffleBuffer / batch)) * batch
    this.#dropLast = dropLast
    this.#padding = { ...options.padding }
    this.#prefetch = whole(prefetch, 'prefetch', op, 1, 64)
    this.#device = device(options.device ?? 'cpu', op)
    const dtypes = Object.entries(options.dtypes ?? {}) as [string, DType | undefined][]
    this.#dtypes = Object.fromEntries(
      dtypes.flatMap(([name, dtype]) => (dtype === undefined ? [] : [[name, checkDType(dtype, op)]])),
    )
    this.#generator = seed === undefined ? generator().fork() : new Generator(seed)
    this.#place = this.#startOf(0)
  }

  /** Where it is. Inside the loop the batch in hand counts as given out. */
  state(): StreamState {
    return { ...this.#place, dtypes: this.#dtypes }
  }

  /**
   * Goes to a place that `state()` described: the next loop gives the rest of that epoch, in the same order.
   *
   * @throws CheckpointError (`ERR_CHECKPOINT`) for the state of a stream with other options.
   */
  restore(state: StreamState): void {
    for (const key of ['batch', 'shuffleBuffer'] as const) {
      if (state[key] === this.#place[key]) continue
      const [expected, got] = [String(this.#place[key]), String(state[key])]
      throw new CheckpointError(
        `stream.restore: the state is of a stream with ${key} ${got}, this one has ${expected}`,
        {
          op: 'stream.restore',
          expected,
          got,
        },
      )
    }
    for (const key of ['epoch', 'before', 'given'] as const) whole(state[key], key, 'stream.restore')
    this.#generator.restore(state.generator)
    this.#dtypes = { ...this.#dtypes, ...state.dtypes }
    this.#place = { ...state }
    this.#restored = true
    this.#iteration++
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch<S>, void, undefined> {
    throwPending()
    const iteration = ++this.#iteration
    const current = () => iteration === this.#iteration
    if (!this.#restored && this.#place.before + this.#place.given > 0)
      this.#place = this.#startOf(this.#place.epoch + 1)
    this.#restored = false
    const { source, samples } = await this.#open()
    const pace = new Pace(this.#prefetch)
    let { before, given } = this.#place
    let step = (before + given) / this.#batch
    try {
      for (;;) {
        const start = this.#at(before, given, source)
        const block = await take(samples, this.#block)
        if (block.length === 0) break
        const order = Int32Array.from(block, (_, i) => i)
        if (this.#shuffleBuffer > 0) shuffle(order, this.#generator)
        for (; given < block.length; step++) {
          const rows = order.subarray(given, given + this.#batch)
          if (this.#dropLast && rows.length < this.#batch) break
          const batch = this.#make(
            Array.from(rows, (row) => block[row] as S),
            step,
          )
          given += rows.length
          const done = given === this.#block
          this.#place = done ? this.#at(before + given, 0, source) : { ...start, given }
          yield batch
          await pace.turn()
          if (!current()) return // restored, or gone through anew, in the meantime
        }
        before += block.length
        given = 0
        if (block.length < this.#block) break
      }
      this.#place = this.#startOf(this.#place.epoch + 1)
    } finally {
      await samples.return?.()
    }
  }

  /** The source, opened and brought to the start of the block in hand. */
  async #open(): Promise<{ source: SampleSource<S>; samples: AsyncIterator<S> | Iterator<S> }> {
    const source = typeof this.#source === 'function' ? this.#source() : this.#source
    if (!isIterable(source)) throw notASource(source)
    const { before, given } = this.#place
    if (before + given > 0 && isStateful(source) && this.#place.source !== null) {
      source.restore(this.#place.source)
      return { source, samples: this.#begin(source) }
    }
    const samples = this.#begin(source)
    if (before + given > 0) {
      process.emitWarning(
        `stream: the source has no state() and restore(); ${before + given} samples are passed over to continue`,
        { type: 'QuarterturnWarning', code: 'QUARTERTURN_PASSED_OVER' },
      )
      await take(samples, before, false)
    }
    return { source, samples }
  }

  #begin(source: SampleSource<S>): AsyncIterator<S> | Iterator<S> {
    const samples =
      Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : (source as Iterable<S>)[Symbol.iterator]()
    const once = (samples as unknown) === source || 'getReader' in source || 'pipe' in source
    if (once && typeof this.#source !== 'function' && this.#opened) {
      throw new ArgumentError(
        'stream: this source can be gone through once; pass a function that opens it for each epoch: () => createReadStream(…)',
        { op, expected: 'a function', got: 'an iterator or stream' },
      )
    }
    this.#opened = true
    return samples
  }

  #at(before: number, given: number, source: SampleSource<S>): StreamState {
    return {
      ...this.#place,
      before,
      given,
      generator: this.#generator.state(),
      source: isStateful(source) ? source.state() : null,
    }
  }

  #startOf(epoch: number): StreamState {
    return {
      epoch,
      before: 0,
      given: 0,
      generator: this.#generator.state(),
      source: null,
      dtypes: {},
      batch: this.#batch,
      shuffleBuffer: this.#shuffleBuffer,
    }
  }

  #make(samples: readonly S[], step: number): Batch<S> {
    const first = samples[0] as S
    if (typeof first !== 'object' || first === null) throw badSample('fields by name', first)
    const selection = { rows: Int32Array.from(samples, (_, i) => i), start: 0 }
    return scope(() => {
      const batch: Record<string, Tensor | number> = {}
      for (const name of Object.keys(first)) {
        if (name === 'step') throw badSample("other names than 'step'", first)
        const rows = samples.map((sample) => {
          if (sample?.[name] === undefined) throw badSample(`the fields ${Object.keys(first).join(', ')}`, sample)
          return sample[name] as Row
        })
        const options = { device: this.#device, dtype: this.#dtypes[name], padding: this.#padding[name] }
        const made = makeField(name, rows, options).batch(selection)
        this.#dtypes[name] = made.dtype
        batch[name] = made
      }
      batch.step = step
      return batch as Batch<S>
    })
  }
}

/** The next samples, at most `count`; without `keep` they are dropped. */
async function take<S>(samples: AsyncIterator<S> | Iterator<S>, count: number, keep = true): Promise<S[]> {
  const taken: S[] = []
  for (let i = 0; i < count; i++) {
    const next = samples.next()
    const { done, value } = next instanceof Promise ? await next : next
    if (done) break
    if (keep) taken.push(value)
  }
  return taken
}

function isIterable(source: unknown): source is SampleSource<never> {
  return typeof source === 'object' && source !== null && (Symbol.asyncIterator in source || Symbol.iterator in source)
}

function isStateful(source: unknown): source is StatefulSource {
  const { state, restore } = source as StatefulSource
  return typeof state === 'function' && typeof restore === 'function'
}

function notASource(source: unknown): ArgumentError {
  const expected = 'an iterable, an async iterable, a stream, or a function that gives one'
  const got = source === null ? 'null' : typeof source
  return new ArgumentError(`stream: source must be ${expected}, got ${got}`, { op, expected, got })
}

function badSample(expected: string, sample: unknown): ArgumentError {
  const got = typeof sample === 'object' && sample !== null ? Object.keys(sample).join(', ') : String(sample)
  return new ArgumentError(`stream: samples must have ${expected}, got ${got}`, { op, expected, got })
}
