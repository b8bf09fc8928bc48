// Embedding: a learnt table of vectors, read by index.
import { OutOfRangeError } from '../errors.js'
import { elements, Layer, needElements, needGradient } from './layer.js'
import { Parameter, type Shape, whole } from './parameter.js'
import { normal } from './random.js'
import { Workspace } from './workspace.js'

/**
 * y = weight[index]. Shapes: index […] of whole numbers → y […, D]; weight [N, D]. Rows start normal; the row `paddingIndex` starts as zeros and takes
 * no gradient. As `nn.Embedding`, but an index outside 0 … N−1 throws at once: `ERR_RANGE`.
 */
export class Embedding extends Layer {
  readonly weight: Parameter
  readonly paddingIndex: number
  #index: Float32Array | Int32Array = new Int32Array(0)
  #rows = -1
  readonly #y = new Workspace()
  readonly #dx: Float32Array = new Float32Array(0)

  constructor(numEmbeddings: number, embeddingDim: number, { paddingIndex }: { paddingIndex?: number } = {}) {
    super()
    whole(numEmbeddings, 'numEmbeddings', 'Embedding')
    whole(embeddingDim, 'embeddingDim', 'Embedding')
    this.weight = new Parameter([numEmbeddings, embeddingDim])
    this.paddingIndex = paddingIndex ?? -1
    const { data } = this.weight
    for (let i = 0; i < data.length; i++) data[i] = normal()
    if (paddingIndex !== undefined) data.fill(0, paddingIndex * embeddingDim, (paddingIndex + 1) * embeddingDim)
  }

  forward(index: Float32Array | Int32Array, shape: Shape): Float32Array {
    const [size, width] = this.weight.shape as [number, number]
    needElements('embedding', index, shape)
    const rows = elements(shape)
    const y = this.#y.take(rows * width)
    const { data } = this.weight
    for (let row = 0; row < rows; row++) {
      const at = index[row] as number
      if (!(Number.isInteger(at) && at >= 0 && at < size)) {
        const expected = `whole numbers within 0 … ${size - 1}`
        throw new OutOfRangeError(`embedding: indices must be ${expected}, got ${at}`, {
          op: 'embedding',
          expected,
          got: `${at}`,
        })
      }
      for (let j = 0; j < width; j++) y[row * width + j] = data[at * width + j] as number
    }
    this.#index = index
    this.#rows = rows
    this.outputShape = [...shape, width]
    return y
  }

  /** Indices have no gradient: what it gives is empty. */
  backward(dy: Float32Array): Float32Array {
    const width = this.weight.shape[1] as number
    needGradient('embedding', dy, this.#rows, width)
    const { grad } = this.weight
    for (let row = 0; row < this.#rows; row++) {
      const at = this.#index[row] as number
      if (at === this.paddingIndex) continue
      for (let j = 0; j < width; j++)
        grad[at * width + j] = (grad[at * width + j] as number) + (dy[row * width + j] as number)
    }
    this.#rows = -1
    return this.#dx
  }
}
