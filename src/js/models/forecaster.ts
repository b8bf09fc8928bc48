// Forecaster: the next values of one or more series, from the last ones.
import { ArgumentError, ShapeError } from '../../errors.js'
import { Linear } from '../linear.js'
import { LSTM } from '../lstm.js'
import { Module } from '../module.js'

interface Config {
  inputs: number
  past: number
  future: number
  targets: number
  width: number
  numLayers: number
}

type Steps = readonly (readonly number[])[]

/** A column that does not move within the window is not divided by 0. */
const SMALLEST = 1e-6

/**
 * `models.Forecaster` as it predicts:
 *
 *     z = (past − last) / spread        forecast = last + spread · (W z + head(lstm(z)))
 */
export class Forecaster extends Module {
  readonly config: Config
  readonly linear: Linear
  readonly rnn: LSTM
  readonly head: Linear

  constructor(config: Config) {
    super()
    const { inputs, past, future, targets, width, numLayers } = config
    this.config = config
    this.linear = new Linear(past, future)
    this.rnn = new LSTM(inputs, width, { numLayers })
    this.head = new Linear(width, future * targets)
  }

  /**
   * The next `future` steps after the last `past` ones, in the units of what it is given: [steps][values of one step].
   *
   * @throws ShapeError for windows that are too short or steps of another width; ArgumentError for values that are not finite.
   */
  predict(steps: Steps): number[][] {
    const { inputs, past, future, targets } = this.config
    const window = this.#window(steps)
    const last = window.slice((past - 1) * inputs)
    const spread = spreads(window, past, inputs)
    const z = Float32Array.from(
      window,
      (value, i) => (value - (last[i % inputs] as number)) / (spread[i % inputs] as number),
    )
    const output = this.rnn.forward(z, [1, past, inputs])
    const correction = this.head.forward(output.slice(-this.rnn.hiddenSize), [1, this.rnn.hiddenSize])
    const columns = new Float32Array(targets * past)
    for (let t = 0; t < past; t++) for (let j = 0; j < targets; j++) columns[j * past + t] = z[t * inputs + j] as number
    const line = this.linear.forward(columns, [targets, past])
    return Array.from({ length: future }, (_, t) =>
      Array.from({ length: targets }, (_, j) => {
        const ahead = (line[j * future + t] as number) + (correction[t * targets + j] as number)
        return (last[j] as number) + (spread[j] as number) * ahead
      }),
    )
  }

  #window(steps: Steps): Float64Array {
    const { inputs, past } = this.config
    if (!Array.isArray(steps) || steps.length < past || steps.some((step) => step?.length !== inputs)) {
      const expected = `at least ${past} steps of ${inputs}`
      throw new ShapeError(`Forecaster.predict: a window must be ${expected}`, {
        op: 'Forecaster',
        expected,
        got: String(steps?.length),
      })
    }
    const window = Float64Array.from((steps as Steps).slice(-past).flat(), (value) =>
      typeof value === 'number' ? value : Number.NaN,
    )
    if (window.every(Number.isFinite)) return window
    throw new ArgumentError('Forecaster.predict: all values must be finite', {
      op: 'Forecaster',
      expected: 'finite values',
      got: 'NaN or ±∞',
    })
  }
}

/** The standard deviation of each column within the window [past, inputs]. */
function spreads(window: Float64Array, past: number, inputs: number): Float64Array {
  return Float64Array.from({ length: inputs }, (_, j) => {
    let mean = 0
    for (let t = 0; t < past; t++) mean += (window[t * inputs + j] as number) / past
    let square = 0
    for (let t = 0; t < past; t++) square += ((window[t * inputs + j] as number) - mean) ** 2 / past
    return Math.max(SMALLEST, Math.sqrt(square))
  })
}
