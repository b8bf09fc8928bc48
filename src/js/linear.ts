// Linear: an affine map of the last axis.
import { Layer, needGradient, rowsOf } from './layer.js'
import { type Parameter, type Shape, uniform, whole } from './parameter.js'
import { affineBackward, affineOf } from './product.js'
import { Workspace } from './workspace.js'

/**
 * y = x·Wᵀ + b. Shapes: x […, I] → y […, O]; weight [O, I], bias [O]. Sums in float64. As `nn.Linear`, start and errors included.
 */
export class Linear extends Layer {
  readonly weight: Parameter
  readonly bias: Parameter | undefined
  #x: Float32Array = new Float32Array(0)
  #rows = -1
  readonly #y = new Workspace()
  readonly #dx = new Workspace()

  constructor(inFeatures: number, outFeatures: number, { bias = true }: { bias?: boolean } = {}) {
    super()
    const bound = 1 / Math.sqrt(whole(inFeatures, 'inFeatures', 'Linear'))
    this.weight = uniform([whole(outFeatures, 'outFeatures', 'Linear'), inFeatures], bound)
    this.bias = bias ? uniform([outFeatures], bound) : undefined
  }

  forward(x: Float32Array, shape: Shape): Float32Array {
    const [out, width] = this.weight.shape as [number, number]
    const rows = rowsOf('linear', x, shape, width)
    const y = this.#y.take(rows * out)
    affineOf(y, x, this.weight, this.bias, rows)
    this.#x = x
    this.#rows = rows
    this.outputShape = [...shape.slice(0, -1), out]
    return y
  }

  backward(dy: Float32Array, inputGradient = true): Float32Array {
    const [out, width] = this.weight.shape as [number, number]
    needGradient('linear', dy, this.#rows, out)
    const dx = this.#dx.zeros(inputGradient ? this.#rows * width : 0)
    affineBackward(inputGradient ? dx : undefined, dy, this.#x, this.weight, this.bias, this.#rows)
    this.#rows = -1
    return dx
  }
}
