// ResidualMLP: the pre-norm residual block of two linear maps.
import { GELU } from './activation.js'
import { Layer } from './layer.js'
import { LayerNorm } from './layer-norm.js'
import { Linear } from './linear.js'
import type { Shape } from './parameter.js'
import { Workspace } from './workspace.js'

/**
 * x + W₂ gelu(W₁ LN(x) + b₁) + b₂, gelu by tanh. Shapes: x […, D] → […, D], with F hidden units between. Start and keys as `nn.ResidualMLP`.
 * Source: He et al. 2016 (identity shortcut); Xiong et al. 2020 (norm before the branch); Hendrycks and Gimpel 2016 (GELU).
 */
export class ResidualMLP extends Layer {
  readonly norm: LayerNorm
  readonly linear1: Linear
  readonly linear2: Linear
  readonly #gelu = new GELU()
  readonly #y = new Workspace()
  readonly #dx = new Workspace()

  constructor(width: number, hidden: number, { eps = 1e-5 }: { eps?: number } = {}) {
    super()
    this.norm = new LayerNorm(width, { eps })
    this.linear1 = new Linear(width, hidden)
    this.linear2 = new Linear(hidden, width)
  }

  forward(x: Float32Array, shape: Shape): Float32Array {
    const { norm, linear1, linear2 } = this
    const u = linear1.forward(norm.forward(x, shape), shape)
    const branch = linear2.forward(this.#gelu.forward(u, linear1.outputShape), linear1.outputShape)
    this.outputShape = shape
    return sum(this.#y, x, branch)
  }

  backward(dy: Float32Array): Float32Array {
    const branch = this.norm.backward(this.linear1.backward(this.#gelu.backward(this.linear2.backward(dy))))
    return sum(this.#dx, dy, branch)
  }
}

function sum(to: Workspace, a: Float32Array, b: Float32Array): Float32Array {
  const out = to.take(a.length)
  for (let i = 0; i < out.length; i++) out[i] = (a[i] as number) + (b[i] as number)
  return out
}
