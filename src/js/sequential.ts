// Sequential: layers one after the other.
import { Layer } from './layer.js'
import type { Shape } from './parameter.js'

/**
 * Each layer takes what the one before gives. Keys as `nn.Sequential`: `0.weight`.
 *
 * @example
 * const model = new js.Sequential(new js.LSTM(1, 32), new js.LastStep(), new js.Linear(32, 1))
 * const loss = new js.MSELoss()
 * const optimizer = new js.AdamW(model.parameters(), { lr: 0.01 })
 * const x = Float32Array.from({ length: 8 * 12 }, (_, i) => Math.sin(i / 3))   // [8, 12, 1]
 * const y = Float32Array.from({ length: 8 }, (_, i) => Math.sin((i + 1) * 4))   // the value after each of them
 * for (let step = 0; step < 100; step++) {
 *   loss.forward(model.forward(x, [8, 12, 1]), y)
 *   model.backward(loss.backward())
 *   optimizer.step()
 * }
 */
export class Sequential extends Layer {
  readonly layers: readonly Layer[]

  constructor(...layers: Layer[]) {
    super()
    this.layers = layers
  }

  protected override members(): Iterable<readonly [string, unknown]> {
    return Object.entries(this.layers)
  }

  /** x of float32; where the first layer is an Embedding also Int32Array. */
  forward(x: Float32Array | Int32Array, shape: Shape): Float32Array {
    let y = x as Float32Array
    this.outputShape = shape
    for (const layer of this.layers) {
      y = layer.forward(y, this.outputShape)
      this.outputShape = layer.outputShape
    }
    return y
  }

  backward(dy: Float32Array, inputGradient = true): Float32Array {
    let gradient = dy
    for (let i = this.layers.length - 1; i >= 0; i--)
      gradient = (this.layers[i] as Layer).backward(gradient, i > 0 || inputGradient)
    return gradient
  }
}
