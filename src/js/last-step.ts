// LastStep: what a recurrent layer gives at the end of a sequence.
import { Layer, needElements, needGradient, wrongShape } from './layer.js'
import { type Shape, show } from './parameter.js'
import { Workspace } from './workspace.js'

/** x [B, T, H] → [B, H], the last step: `output.select(1, -1)` of `nn`. Sequences of different lengths need `state.h` instead. */
export class LastStep extends Layer {
  #shape: Shape = [0, 0, 0]
  #rows = -1
  readonly #y = new Workspace()
  readonly #dx = new Workspace()

  forward(x: Float32Array, shape: Shape): Float32Array {
    const [batch, steps, width] = shape as [number, number, number]
    if (shape.length !== 3 || steps < 1) throw wrongShape('lastStep', 'input', '[B, T ≥ 1, H]', show(shape))
    needElements('lastStep', x, shape)
    const y = this.#y.take(batch * width)
    for (let b = 0; b < batch; b++) {
      const at = ((b + 1) * steps - 1) * width
      for (let j = 0; j < width; j++) y[b * width + j] = x[at + j] as number
    }
    this.#shape = shape
    this.#rows = batch
    this.outputShape = [batch, width]
    return y
  }

  backward(dy: Float32Array): Float32Array {
    const [batch, steps, width] = this.#shape as [number, number, number]
    needGradient('lastStep', dy, this.#rows, width)
    const dx = this.#dx.zeros(batch * steps * width)
    for (let b = 0; b < batch; b++) {
      const at = ((b + 1) * steps - 1) * width
      for (let j = 0; j < width; j++) dx[at + j] = dy[b * width + j] as number
    }
    this.#rows = -1
    return dx
  }
}
