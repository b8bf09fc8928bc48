// Activations as layers: elementwise, of any shape.
import { gelu, geluSlope, sigmoid, tanh } from './gate.js'
import { Layer, needElements, needGradient } from './layer.js'
import type { Shape } from './parameter.js'
import { Workspace } from './workspace.js'

abstract class Activation extends Layer {
  protected x: Float32Array = new Float32Array(0)
  protected readonly y = new Workspace()
  protected readonly dx = new Workspace()
  #size = -1

  /** A loop of each class, and not one that calls a function: that is what JavaScript engines make fast code of. */
  protected abstract run(x: Float32Array, y: Float32Array): void
  /** dx from dy, the input and the output. */
  protected abstract slope(dx: Float32Array, dy: Float32Array, x: Float32Array, y: Float32Array): void

  forward(x: Float32Array, shape: Shape): Float32Array {
    needElements(this.constructor.name, x, shape)
    const y = this.y.take(x.length)
    this.run(x, y)
    this.x = x
    this.#size = x.length
    this.outputShape = shape
    return y
  }

  backward(dy: Float32Array): Float32Array {
    needGradient(this.constructor.name, dy, this.#size, 1)
    this.#size = -1
    const dx = this.dx.take(dy.length)
    this.slope(dx, dy, this.x, this.y.take(dy.length))
    return dx
  }
}

/** max(0, x) */
export class ReLU extends Activation {
  protected run(x: Float32Array, y: Float32Array): void {
    for (let i = 0; i < y.length; i++) y[i] = Math.max(x[i] as number, 0)
  }

  protected slope(dx: Float32Array, dy: Float32Array, x: Float32Array): void {
    for (let i = 0; i < dx.length; i++) dx[i] = (x[i] as number) > 0 ? (dy[i] as number) : 0
  }
}

/** tanh x */
export class Tanh extends Activation {
  protected run(x: Float32Array, y: Float32Array): void {
    for (let i = 0; i < y.length; i++) y[i] = tanh(x[i] as number)
  }

  protected slope(dx: Float32Array, dy: Float32Array, _x: Float32Array, y: Float32Array): void {
    for (let i = 0; i < dx.length; i++) dx[i] = (dy[i] as number) * (1 - (y[i] as number) ** 2)
  }
}

/** σ(x) */
export class Sigmoid extends Activation {
  protected run(x: Float32Array, y: Float32Array): void {
    for (let i = 0; i < y.length; i++) y[i] = sigmoid(x[i] as number)
  }

  protected slope(dx: Float32Array, dy: Float32Array, _x: Float32Array, y: Float32Array): void {
    for (let i = 0; i < dx.length; i++) dx[i] = (dy[i] as number) * (y[i] as number) * (1 - (y[i] as number))
  }
}

/** x·Φ(x) by tanh, as `nn.GELU` with `approximate: true`. */
export class GELU extends Activation {
  protected run(x: Float32Array, y: Float32Array): void {
    for (let i = 0; i < y.length; i++) y[i] = gelu(x[i] as number)
  }

  protected slope(dx: Float32Array, dy: Float32Array, x: Float32Array): void {
    for (let i = 0; i < dx.length; i++) dx[i] = (dy[i] as number) * geluSlope(x[i] as number)
  }
}
