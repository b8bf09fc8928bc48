// Highway: a stack of layers that gate how much of their input they replace.
import { type Nonlinearity, needNonlinearity, sigmoid, tanh } from './gate.js'
import { Layer, needGradient, rowsOf } from './layer.js'
import { type Parameter, type Shape, uniform, whole } from './parameter.js'
import { addInputGradient, affine, affineGradients } from './product.js'
import { Workspace } from './workspace.js'

export interface HighwayOptions {
  /** Layers K. @default 1 */
  layers?: number
  /** φ. @default 'relu' */
  nonlinearity?: Nonlinearity
  /** What the biases of the gates start at; negative: the input is carried on at first. @default -2 */
  gateBias?: number
  /** @default true */
  bias?: boolean
}

/**
 * Highway layers:
 * ```
 * h = φ(W_h x_k + b_h)      t = σ(W_t x_k + b_t)      x_(k+1) = t ⊙ h + (1 − t) ⊙ x_k      k = 0 … K−1
 * ```
 * Shapes: x […, D] → […, D]; weight [K, 2·D, D] and bias [K, 2·D], of each layer first the rows of h, then those of t. Start and keys as
 * `nn.Highway`. Source: Srivastava et al. 2015 (Highway Networks), equation 3.
 */
export class Highway extends Layer {
  readonly weight: Parameter
  readonly bias: Parameter | undefined
  readonly nonlinearity: Nonlinearity
  #x: Float32Array = new Float32Array(0)
  #rows = -1
  /** By layer: [rows, 2·D], the activated h and t, then their gradients; the output; the gradient of the input. */
  readonly #gates: Workspace[]
  readonly #outputs: Workspace[]
  readonly #gradients: Workspace[]

  constructor(width: number, { layers = 1, nonlinearity = 'relu', gateBias = -2, bias = true }: HighwayOptions = {}) {
    super()
    const bound = 1 / Math.sqrt(whole(width, 'width', 'Highway'))
    this.weight = uniform([whole(layers, 'layers', 'Highway'), 2 * width, width], bound)
    this.bias = bias ? uniform([layers, 2 * width], bound) : undefined
    for (let k = 0; k < layers; k++) this.bias?.data.fill(gateBias, (2 * k + 1) * width, (2 * k + 2) * width)
    this.nonlinearity = needNonlinearity(nonlinearity, 'Highway')
    const each = () => Array.from({ length: layers }, () => new Workspace())
    this.#gates = each()
    this.#outputs = each()
    this.#gradients = each()
  }

  forward(x: Float32Array, shape: Shape): Float32Array {
    const [layers, double, width] = this.weight.shape as [number, number, number]
    const rows = rowsOf('highway', x, shape, width, 'D')
    const relu = this.nonlinearity === 'relu'
    let input = x
    for (let k = 0; k < layers; k++) {
      const gates = (this.#gates[k] as Workspace).take(rows * double)
      const out = (this.#outputs[k] as Workspace).take(rows * width)
      affine(
        gates,
        input,
        part(this.weight.data, k, double * width),
        part(this.bias?.data, k, double),
        rows,
        double,
        width,
      )
      for (let row = 0; row < rows; row++) {
        for (let j = 0, g = row * double, at = row * width; j < width; j++, g++, at++) {
          const a = gates[g] as number
          const h = relu ? Math.max(a, 0) : tanh(a)
          const t = sigmoid(gates[g + width] as number)
          gates[g] = h
          gates[g + width] = t
          out[at] = t * h + (1 - t) * (input[at] as number)
        }
      }
      input = out
    }
    this.#x = x
    this.#rows = rows
    this.outputShape = shape
    return input
  }

  backward(dy: Float32Array): Float32Array {
    const [layers, double, width] = this.weight.shape as [number, number, number]
    const rows = this.#rows
    needGradient('highway', dy, rows, width)
    const relu = this.nonlinearity === 'relu'
    let gradient = dy
    for (let k = layers - 1; k >= 0; k--) {
      const gates = (this.#gates[k] as Workspace).take(rows * double)
      const x = k === 0 ? this.#x : (this.#outputs[k - 1] as Workspace).take(rows * width)
      const dx = (this.#gradients[k] as Workspace).take(rows * width)
      for (let row = 0; row < rows; row++) {
        for (let j = 0, g = row * double, at = row * width; j < width; j++, g++, at++) {
          const h = gates[g] as number
          const t = gates[g + width] as number
          const d = gradient[at] as number
          gates[g] = d * t * (relu ? (h > 0 ? 1 : 0) : 1 - h * h)
          gates[g + width] = d * (h - (x[at] as number)) * t * (1 - t)
          dx[at] = d * (1 - t)
        }
      }
      const weight = part(this.weight.data, k, double * width)
      const dWeight = part(this.weight.grad, k, double * width)
      affineGradients(gates, x, dWeight, part(this.bias?.grad, k, double), rows, double, width)
      addInputGradient(dx, gates, weight, rows, double, width)
      gradient = dx
    }
    this.#rows = -1
    return gradient
  }
}

/** The k-th of equal parts. */
function part<A extends Float32Array | undefined>(all: A, k: number, size: number): A {
  return all?.subarray(k * size, (k + 1) * size) as A
}
