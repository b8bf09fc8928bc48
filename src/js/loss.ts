// Losses: a number, and the gradient that training starts from. Means over everything.
import { OutOfRangeError } from '../errors.js'
import { needGradient, rowsOf, wrongShape } from './layer.js'
import type { Shape } from './parameter.js'
import { Workspace } from './workspace.js'

/** The mean of (x − target)², as `nn.functional.mseLoss`. Sums in float64. */
export class MSELoss {
  readonly #gradient = new Workspace()
  #rows = -1

  /** @throws ShapeError (`ERR_SHAPE`) unless both have as many elements. */
  forward(x: Float32Array, target: ArrayLike<number>): number {
    if (target.length !== x.length)
      throw wrongShape('mseLoss', 'target', `${x.length} elements, as the input`, `${target.length}`)
    const gradient = this.#gradient.take(x.length)
    let sum = 0
    for (let i = 0; i < x.length; i++) {
      const d = (x[i] as number) - (target[i] as number)
      sum += d * d
      gradient[i] = (2 / x.length) * d
    }
    this.#rows = x.length
    return sum / x.length
  }

  /** The gradient of x. */
  backward(): Float32Array {
    const gradient = this.#gradient.take(Math.max(0, this.#rows))
    needGradient('mseLoss', gradient, this.#rows, 1)
    return gradient
  }
}

/**
 * The mean of −log softmax(logits)[target] over the targets that are not ignored, as `nn.functional.crossEntropy`. Sums in float64.
 */
export class CrossEntropyLoss {
  /** Targets that count for nothing, such as padding. */
  readonly ignoreIndex: number
  readonly #gradient = new Workspace()
  #size = -1

  constructor({ ignoreIndex = -100 }: { ignoreIndex?: number } = {}) {
    this.ignoreIndex = ignoreIndex
  }

  /**
   * logits […, C], target […] of whole numbers.
   *
   * @throws ShapeError (`ERR_SHAPE`); OutOfRangeError (`ERR_RANGE`) for a target outside 0 … C−1.
   */
  forward(logits: Float32Array, shape: Shape, target: ArrayLike<number>): number {
    const classes = shape[shape.length - 1] ?? 0
    const rows = rowsOf('crossEntropy', logits, shape, classes, 'C')
    if (target.length !== rows) throw wrongShape('crossEntropy', 'target', `${rows} elements`, `${target.length}`)
    const counted = this.#count(target, classes)
    const gradient = this.#gradient.zeros(logits.length)
    let sum = 0
    for (let row = 0; row < rows; row++) {
      const label = target[row] as number
      if (label === this.ignoreIndex) continue
      const at = row * classes
      let high = Number.NEGATIVE_INFINITY
      for (let j = 0; j < classes; j++) high = Math.max(high, logits[at + j] as number)
      let total = 0
      for (let j = 0; j < classes; j++) {
        const e = Math.exp((logits[at + j] as number) - high)
        gradient[at + j] = e
        total += e
      }
      sum += high + Math.log(total) - (logits[at + label] as number)
      const factor = 1 / (total * counted)
      for (let j = 0; j < classes; j++) gradient[at + j] = (gradient[at + j] as number) * factor
      gradient[at + label] = (gradient[at + label] as number) - 1 / counted
    }
    this.#size = logits.length
    return sum / counted
  }

  /** The gradient of the logits. */
  backward(): Float32Array {
    const gradient = this.#gradient.take(Math.max(0, this.#size))
    needGradient('crossEntropy', gradient, this.#size, 1)
    return gradient
  }

  #count(target: ArrayLike<number>, classes: number): number {
    let counted = 0
    for (let row = 0; row < target.length; row++) {
      const label = target[row] as number
      if (label === this.ignoreIndex) continue
      if (!Number.isInteger(label) || label < 0 || label >= classes) {
        const expected = `whole numbers within 0 … ${classes - 1}`
        throw new OutOfRangeError(`crossEntropy: targets must be ${expected}, got ${String(label)}`, {
          op: 'crossEntropy',
          expected,
          got: String(label),
        })
      }
      counted++
    }
    return counted
  }
}
