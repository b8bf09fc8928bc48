// Means over the rows of many batches, read from the engine without waiting for it.
import type { QuarterturnError } from '../errors.js'
import { stack } from '../tensor/functions.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'

const VALUES_PER_READ = 64
const MS_PER_READ = 100
/** Values that wait for a read in flight; beyond that another read is sent. */
const MOST_WAITING = 1024

export interface MeanState {
  readonly sum: number
  readonly rows: number
  /** Values that were not finite; they are not in the sum. */
  readonly skipped: number
}

interface Waiting {
  value: Tensor
  rows: number
  step: number
}

/**
 * Adds up scalars of the engine in float64, in order, whatever the reads were: the same values give the same sum bit for bit.
 * A read is sent when 64 values or 100 ms have gathered; its reply is taken when it comes.
 */
export class Mean {
  #sum = 0
  #rows = 0
  #skipped = 0
  #waiting: Waiting[] = []
  #reads: Promise<void>[] = []
  #sent = performance.now()
  #recent: number | undefined
  #failure: QuarterturnError | undefined
  /** The step of the first value that was not finite. */
  notFiniteAt: number | undefined

  /** The mean so far; NaN if there is none. */
  get value(): number {
    return this.#sum / this.#rows
  }

  get skipped(): number {
    return this.#skipped
  }

  /** Takes a scalar over and disposes it when it has been read. */
  add(value: Tensor, rows: number, step: number): void {
    this.#waiting.push({ value, rows, step })
    const due = this.#waiting.length >= VALUES_PER_READ || performance.now() - this.#sent >= MS_PER_READ
    if (!due || (this.#reads.length > 0 && this.#waiting.length < MOST_WAITING)) return
    this.#sent = performance.now()
    this.send()
  }

  /**
   * The mean of the values that came with the latest read, once.
   *
   * @throws the error of a value that could not be computed.
   */
  takeRecent(): number | undefined {
    if (this.#failure !== undefined) throw this.#failure
    const recent = this.#recent
    this.#recent = undefined
    return recent
  }

  /** Sends a read of all values added so far, without waiting for it. The clock of `add` goes on: short epochs have samples of steps, too. */
  send(): void {
    if (this.#waiting.length > 0) this.#read()
  }

  /** Waits for all values added so far. */
  async drain(): Promise<void> {
    this.send()
    await Promise.all(this.#reads)
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Waits, and forgets everything. */
  async clear(): Promise<void> {
    for (const { value } of this.#waiting) value.dispose()
    this.#waiting = []
    await Promise.all(this.#reads)
    this.#failure = undefined
    this.restore({ sum: 0, rows: 0, skipped: 0 })
  }

  state(): MeanState {
    return { sum: this.#sum, rows: this.#rows, skipped: this.#skipped }
  }

  restore({ sum, rows, skipped }: MeanState): void {
    this.#sum = sum
    this.#rows = rows
    this.#skipped = skipped
    this.#recent = undefined
    this.notFiniteAt = undefined
  }

  #read(): void {
    const batch = this.#waiting
    this.#waiting = []
    const values = scope(() => stack(batch.map(({ value }) => value)).to('float64', 'cpu'))
    for (const { value } of batch) value.dispose()
    const read = values.data().then(
      (numbers) => this.#take(numbers, batch),
      (error: QuarterturnError) => {
        this.#failure ??= error
      },
    )
    values.dispose()
    const done = read.finally(() => {
      this.#reads = this.#reads.filter((other) => other !== done)
    })
    this.#reads.push(done)
  }

  #take(numbers: Float64Array, batch: readonly Waiting[]): void {
    let sum = 0
    let rows = 0
    batch.forEach((waiting, i) => {
      const number = numbers[i] as number
      if (Number.isFinite(number)) {
        this.#sum += number * waiting.rows
        this.#rows += waiting.rows
        sum += number * waiting.rows
        rows += waiting.rows
      } else {
        this.#skipped++
        this.notFiniteAt ??= waiting.step
      }
    })
    if (rows > 0) this.#recent = sum / rows
  }
}
