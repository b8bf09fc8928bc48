// What a person sees of a run on stderr: one line that is rewritten on a terminal, one line per epoch elsewhere.
import type { EpochEvent, StepEvent } from './events.js'

const MS_PER_LINE = 100

export interface ProgressSink {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

export class Progress {
  readonly #epochs: number
  readonly #sink: ProgressSink
  #shown = false
  #last = Number.NEGATIVE_INFINITY

  constructor(epochs: number, sink: ProgressSink = process.stderr) {
    this.#epochs = epochs
    this.#sink = sink
  }

  step(event: StepEvent): void {
    if (this.#sink.isTTY !== true || performance.now() - this.#last < MS_PER_LINE) return
    this.#last = performance.now()
    const { epoch, step, steps, rate, epochLoss } = event
    const left = steps === undefined || !(rate > 0) ? [] : [`${duration((steps - step) / rate)} left`]
    const line = [
      `epoch ${epoch}/${this.#epochs}`,
      `step ${steps === undefined ? step : `${step}/${steps}`}`,
      `${rounded(rate)} steps/s`,
      ...left,
      `loss ${rounded(epochLoss)}`,
    ]
    this.#clear()
    this.#sink.write(line.join(' · ').slice(0, Math.max(20, (this.#sink.columns ?? 80) - 1)))
    this.#shown = true
  }

  epoch({ epoch, metrics, best, seconds }: EpochEvent): void {
    const { epoch: _, ...numbers } = metrics
    const shown = Object.entries(numbers).map(([name, value]) => `${words(name)} ${rounded(value as number)}`)
    this.#clear()
    this.#sink.write(
      `${[`epoch ${epoch}/${this.#epochs}`, ...shown, duration(seconds), ...(best ? ['best'] : [])].join(' · ')}\n`,
    )
  }

  /** Leaves the terminal with a line of its own. */
  end(): void {
    this.#clear()
  }

  #clear(): void {
    if (this.#shown) this.#sink.write('\r\x1b[K')
    this.#shown = false
  }
}

/** Four significant digits, as many as tell two epochs apart. */
function rounded(value: number): string {
  if (!Number.isFinite(value)) return String(value)
  const size = Math.abs(value)
  return size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(2) : String(Number(value.toPrecision(4)))
}

function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 60) return `${Math.round(seconds)} s`
  const minutes = Math.floor(seconds / 60)
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0')
  return minutes < 60
    ? `${minutes}:${two(seconds % 60)}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`
}

/** `validationLoss` as `validation loss`. */
function words(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
}
