// Forecaster: the next values of one or more series, from the last ones.
import { ArgumentError, ShapeError } from '../errors.js'
import * as nn from '../nn/index.js'
import { adamW, type OptimizerFactory } from '../optim/index.js'
import { ahead, type DeviceLike, noGrad, type Tensor, tensor, zeros } from '../tensor/index.js'
import { whole } from '../tensor/shape.js'
import type { Outputs } from '../train/index.js'
import { Mode } from '../train/mode.js'
import { checkList, taken } from './check.js'
import { loadFolder, saveFolder } from './folder.js'

export interface ForecasterOptions {
  /** Values of one step, I. */
  inputs: number
  /** Steps that are read, P. */
  past: number
  /** Steps that are forecast, F. */
  future: number
  /** How many of the inputs are forecast, the first ones, O; the others only help. @default inputs */
  targets?: number
  /** Width of the LSTM. @default 64 */
  width?: number
  /** @default 1 */
  numLayers?: number
  /** Dropout before the head and between the layers, in training. @default 0.1 */
  dropout?: number
}

/** Windows over a series, as `data.windows` gives them: past [B, P, I] and future [B, F, O]. */
export interface WindowBatch {
  past: Tensor
  future: Tensor
}

/** [steps][values of one step] */
export type Steps = readonly (readonly number[])[]

const KIND = 'Forecaster'
type Config = Required<ForecasterOptions>

/**
 * A forecast that is a linear map of the past, corrected by an LSTM:
 *
 *     z = (past − last) / spread        forecast = last + spread · (W z + head(lstm(z)))
 *
 * `last` is the last step and `spread` the standard deviation of each column within the window, so the model sees how a series moves and not where it is:
 * scale a column or shift it, and its forecast is scaled and shifted the same way. It is trained on values of any unit (best scaled to one size, as
 * `data.windows` does, so that all columns weigh the same), and `predict` takes and gives raw ones. W maps P steps to F, the same for every column; the
 * head starts at 0.
 *
 * Sources: linear maps of a shifted window, Zeng et al. 2023 (NLinear); scaling within the window, Kim et al. 2022 (RevIN).
 *
 * @example
 * const rows = Array.from({ length: 200 }, (_, start) => Array.from({ length: 24 }, (_, t) => [Math.sin((start + t) / 3)]))
 * const windows = { past: rows.map((row) => row.slice(0, 18)), future: rows.map((row) => row.slice(18)) }
 * const model = new models.Forecaster({ inputs: 1, past: 18, future: 6 })
 * await train.fit(model, new data.Loader(windows, { shuffle: true }), { epochs: 40 })
 * console.log(await model.predict(windows.past[0]), windows.future[0])
 * await model.save('waves')
 */
export class Forecaster extends nn.Module {
  readonly config: Config
  linear: nn.Linear
  rnn: nn.LSTM
  head: nn.Linear

  constructor(options: ForecasterOptions) {
    super()
    const { inputs, past, future, targets = inputs, width = 64, numLayers = 1, dropout = 0.1 } = taken(options, KIND)
    whole(inputs, 'inputs', KIND, 1)
    whole(past, 'past', KIND, 2)
    whole(future, 'future', KIND, 1)
    whole(targets, 'targets', KIND, 1, inputs)
    this.config = { inputs, past, future, targets, width, numLayers, dropout }
    this.linear = new nn.Linear(past, future)
    this.rnn = new nn.LSTM(inputs, width, { numLayers, dropout: numLayers > 1 ? dropout : 0 })
    this.head = new nn.Linear(width, future * targets)
    noGrad(() => {
      for (const parameter of this.head.parameters()) parameter.assign(zeros(parameter.shape))
    })
  }

  /** past [B, P, I] → forecast [B, F, O], in the same units. */
  forward(past: Tensor): Tensor {
    const { past: P, inputs, future, targets, dropout } = this.config
    if (past.rank !== 3 || past.shape[1] !== P || past.shape[2] !== inputs) {
      const expected = `[B, P=${P}, I=${inputs}]`
      throw new ShapeError(`${KIND}: past must be ${expected}, got [${past.shape.join(', ')}]`, {
        op: KIND,
        expected,
        got: String(past.shape),
      })
    }
    const last = past.slice(1, -1)
    const spread = past
      .sub(past.mean(1, { keepDim: true }))
      .square()
      .mean(1, { keepDim: true })
      .sqrt()
      .maximum(SMALLEST)
    const z = past.sub(last).div(spread)
    const seen = this.rnn.forward(z).output.select(1, -1)
    const correction = this.head.forward(nn.functional.dropout(seen, dropout, { training: this.training }))
    const line = this.linear.forward(z.slice(2, 0, targets).transpose(1, 2)).transpose(1, 2)
    const ahead = line.add(correction.reshape([past.shape[0] as number, future, targets]))
    return ahead.mul(spread.slice(2, 0, targets)).add(last.slice(2, 0, targets))
  }

  /** The mean squared error of the forecast, in the units of the batch, and the forecast for metrics: `metrics: { mae: train.mae() }`. */
  loss({ past, future }: WindowBatch): Outputs {
    const forecast = this.forward(past)
    return { loss: nn.functional.mseLoss(forecast, future), prediction: forecast, target: future }
  }

  optimizer(): OptimizerFactory {
    return adamW({ lr: 2e-3, weightDecay: 0.01 })
  }

  /**
   * The next `future` steps after the last `past` ones, in the units of what it is given: one window, or several. Longer ones count by their last steps.
   * It goes ahead of training that is under way.
   *
   * @throws ShapeError for windows that are too short or steps of another width; ArgumentError for values that are not finite.
   */
  async predict(past: Steps): Promise<number[][]>
  async predict(past: readonly Steps[]): Promise<number[][][]>
  async predict(past: Steps | readonly Steps[]): Promise<number[][] | number[][][]> {
    const op = `${KIND}.predict`
    const one = typeof checkList(past as readonly (readonly unknown[])[], 'past', op)[0]?.[0] === 'number'
    const windows = (one ? [past] : past) as readonly Steps[]
    const { past: P, inputs } = this.config
    const flat = new Float64Array(windows.length * P * inputs)
    for (const [i, steps] of windows.entries()) {
      if (
        !Array.isArray(steps) ||
        steps.length < P ||
        steps.some((step) => !Array.isArray(step) || step.length !== inputs)
      ) {
        const expected = `at least ${P} steps of ${inputs}`
        throw new ShapeError(`${KIND}.predict: a window must be ${expected}`, {
          op: KIND,
          expected,
          got: String(steps?.length),
        })
      }
      for (const [t, step] of steps.slice(-P).entries())
        for (const [column, value] of step.entries())
          flat[(i * P + t) * inputs + column] = typeof value === 'number' ? value : Number.NaN
    }
    if (!flat.every(Number.isFinite))
      throw new ArgumentError(`${KIND}.predict: all values must be finite`, {
        op: KIND,
        expected: 'finite values',
        got: 'NaN or ±∞',
      })
    if (windows.length === 0) return []
    const forecast = new Mode(this).run(false, () =>
      ahead(() => this.forward(tensor(flat, { dtype: 'float32', shape: [windows.length, P, inputs] }).to(this.device))),
    )
    const rows = (await forecast.toArray()) as number[][][]
    forecast.dispose()
    return one ? (rows[0] as number[][]) : rows
  }

  /**
   * Writes the model to a folder, which is made if need be: `config.json` and `model.safetensors`.
   *
   * @throws FileError (`ERR_IO`) where the file system refuses.
   */
  save(folder: string): Promise<void> {
    return saveFolder(folder, { kind: KIND, config: this.config, vocabularies: {}, state: this.stateDict() })
  }

  /**
   * A model that was saved in a folder.
   *
   * @throws FileError (`ERR_IO`) where a file cannot be read; CheckpointError (`ERR_CHECKPOINT`) where one is damaged or they do not belong together.
   */
  static async load(folder: string, options: { device?: DeviceLike } = {}): Promise<Forecaster> {
    const { device = 'cpu' } = taken(options, `${KIND}.load`)
    const { config, state } = await loadFolder<Config>(folder, KIND, [])
    return new Forecaster(config).loadStateDict(state).to(device).eval()
  }
}

/** A column that does not move within the window is not divided by 0. */
const SMALLEST = 1e-6
