// LayerNorm: normalisation over the last axis.
import { Layer, needGradient, rowsOf } from './layer.js'
import { constant, type Parameter, type Shape, whole } from './parameter.js'
import { Workspace } from './workspace.js'

/**
 * y = (x − mean) / √(variance + eps) ⊙ weight + bias, over the last axis, with the biased variance. Shapes: x […, D] → the same; weight, bias [D].
 * Mean and variance in float64. As `nn.LayerNorm` over one axis. Source: Ba et al. 2016.
 */
export class LayerNorm extends Layer {
  readonly weight: Parameter
  readonly bias: Parameter
  readonly eps: number
  #x: Float32Array = new Float32Array(0)
  #rows = -1
  readonly #y = new Workspace()
  readonly #dx = new Workspace()

  constructor(width: number, { eps = 1e-5 }: { eps?: number } = {}) {
    super()
    this.weight = constant([whole(width, 'width', 'LayerNorm')], 1)
    this.bias = constant([width], 0)
    this.eps = eps
  }

  forward(x: Float32Array, shape: Shape): Float32Array {
    const width = this.weight.data.length
    const rows = rowsOf('layerNorm', x, shape, width, 'D')
    const y = this.#y.take(x.length)
    const weight = this.weight.data
    const bias = this.bias.data
    for (let row = 0; row < rows; row++) {
      const at = row * width
      const mean = meanOf(x, at, width)
      const scale = scaleOf(x, at, width, mean, this.eps)
      for (let j = 0; j < width; j++)
        y[at + j] = ((x[at + j] as number) - mean) * scale * (weight[j] as number) + (bias[j] as number)
    }
    this.#x = x
    this.#rows = rows
    this.outputShape = shape
    return y
  }

  /** With n = (x − mean)·scale and g = dy ⊙ weight: dx = scale·(g − mean(g) − n·mean(g ⊙ n)). */
  backward(dy: Float32Array): Float32Array {
    const width = this.weight.data.length
    needGradient('layerNorm', dy, this.#rows, width)
    const x = this.#x
    const dx = this.#dx.take(x.length)
    const weight = this.weight.data
    const dWeight = this.weight.grad
    const dBias = this.bias.grad
    for (let row = 0; row < this.#rows; row++) {
      const at = row * width
      const mean = meanOf(x, at, width)
      const scale = scaleOf(x, at, width, mean, this.eps)
      let sum = 0
      let along = 0
      for (let j = 0; j < width; j++) {
        const n = ((x[at + j] as number) - mean) * scale
        const d = dy[at + j] as number
        const g = d * (weight[j] as number)
        sum += g
        along += g * n
        dWeight[j] = (dWeight[j] as number) + d * n
        dBias[j] = (dBias[j] as number) + d
      }
      sum /= width
      along /= width
      for (let j = 0; j < width; j++) {
        const n = ((x[at + j] as number) - mean) * scale
        dx[at + j] = scale * ((dy[at + j] as number) * (weight[j] as number) - sum - n * along)
      }
    }
    this.#rows = -1
    return dx
  }
}

function meanOf(x: Float32Array, at: number, width: number): number {
  let sum = 0
  for (let j = at; j < at + width; j++) sum += x[j] as number
  return sum / width
}

/** 1 / √(variance + eps) */
function scaleOf(x: Float32Array, at: number, width: number, mean: number, eps: number): number {
  let sum = 0
  for (let j = at; j < at + width; j++) {
    const d = (x[j] as number) - mean
    sum += d * d
  }
  return 1 / Math.sqrt(sum / width + eps)
}
