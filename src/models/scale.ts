// Scale: numbers brought to mean 0 and spread 1 by what was seen in training, as a part of the model.
import { ArgumentError } from '../errors.js'
import * as nn from '../nn/index.js'
import { type Tensor, tensor } from '../tensor/index.js'

/** Means and standard deviations, by column. */
export interface Moments {
  mean: number[]
  deviation: number[]
}

/** Those of the columns of some rows; a column that never changes has the deviation 1. NaN counts for nothing. */
export function momentsOf(rows: Iterable<ArrayLike<number>>, columns: number): Moments {
  const count = new Float64Array(columns)
  const mean = new Float64Array(columns)
  const squares = new Float64Array(columns)
  for (const row of rows) {
    for (let i = 0; i < columns; i++) {
      const x = row[i] as number
      if (Number.isNaN(x)) continue
      const n = (count[i] as number) + 1
      const delta = x - (mean[i] as number)
      count[i] = n
      mean[i] = (mean[i] as number) + delta / n
      squares[i] = (squares[i] as number) + delta * (x - (mean[i] as number))
    }
  }
  const deviation = Array.from(squares, (sum, i) => Math.sqrt(sum / Math.max(1, count[i] as number)) || 1)
  return { mean: [...mean], deviation }
}

/**
 * (x − mean) / deviation for x […, I], and back. Both are Buffers: saved with the model, not trained. Without moments it changes nothing.
 */
export class Scale extends nn.Module {
  readonly mean: nn.Buffer
  readonly deviation: nn.Buffer

  constructor(columns: number, moments: Moments = { mean: Array(columns).fill(0), deviation: Array(columns).fill(1) }) {
    super()
    const { mean, deviation } = moments ?? {}
    if (
      !Array.isArray(mean) ||
      !Array.isArray(deviation) ||
      mean.length !== columns ||
      deviation.length !== columns ||
      ![...mean, ...deviation].every(Number.isFinite) ||
      !deviation.every((x) => x > 0)
    ) {
      throw new ArgumentError(`Scale: expected ${columns} means and ${columns} deviations > 0`, {
        op: 'Scale',
        expected: String(columns),
        got: 'others',
      })
    }
    this.mean = new nn.Buffer(tensor(mean))
    this.deviation = new nn.Buffer(tensor(deviation))
  }

  forward(x: Tensor): Tensor {
    return x.sub(this.mean).div(this.deviation)
  }

  /** x·deviation + mean */
  inverse(x: Tensor): Tensor {
    return x.mul(this.deviation).add(this.mean)
  }
}
