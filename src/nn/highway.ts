// Highway: a stack of layers that gate how much of their input they replace.

import { ArgumentError } from '../errors.js'
import { cat } from '../tensor/functions.js'
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { highway, type Nonlinearity } from './functional.js'
import { constant, uniform, variable } from './init.js'
import type { LinearOptions } from './linear.js'
import { Module } from './module.js'

export interface HighwayOptions extends LinearOptions {
  /** Layers K. @default 1 */
  layers?: number
  /** φ. @default 'relu' */
  nonlinearity?: Nonlinearity
  /** What the biases of the gates start at; negative: the input is carried on at first (section 2.2 of the paper). @default -2 */
  gateBias?: number
}

/**
 * Highway layers, each of which carries on its input or replaces it, element by element:
 * ```
 * h = φ(W_h x_k + b_h)      t = σ(W_t x_k + b_t)      x_(k+1) = t ⊙ h + (1 − t) ⊙ x_k      k = 0 … K−1
 * ```
 * Shapes: x […, D] → […, D]; weight [K, 2·D, D] and bias [K, 2·D], of each layer first the rows of h, then those of t. Weights and biases start
 * uniform on ±1/√D, the gates' biases at `gateBias`.
 *
 * float32 and float64 on the CPU. Errors: `ERR_SHAPE`, `ERR_DTYPE`, `ERR_DEVICE` where x does not fit. Not in torch.
 * Source: Srivastava et al. 2015 (Highway Networks), equation 3.
 *
 * @example
 * const net = new nn.Highway(16, { layers: 3 })
 * net.forward(zeros([4, 10, 16])).shape   // [4, 10, 16]
 */
export class Highway extends Module {
  readonly weight: Variable
  readonly bias: Variable | undefined
  readonly nonlinearity: Nonlinearity

  constructor(width: number, options: HighwayOptions = {}) {
    super()
    const { layers = 1, nonlinearity = 'relu', gateBias = -2, bias = true, ...place } = needOptions(options, 'Highway')
    whole(width, 'width', 'Highway', 1)
    whole(layers, 'layers', 'Highway', 1)
    if (nonlinearity !== 'tanh' && nonlinearity !== 'relu') {
      throw new ArgumentError(`Highway: nonlinearity must be 'tanh' or 'relu', got ${String(nonlinearity)}`, {
        op: 'Highway',
        expected: "'tanh' or 'relu'",
        got: String(nonlinearity),
      })
    }
    const bound = 1 / Math.sqrt(width)
    const half = [layers, width]
    this.weight = uniform([layers, 2 * width, width], -bound, bound, place)
    this.bias = bias
      ? variable(() => cat([uniform(half, -bound, bound, place), constant(half, gateBias, place)], 1))
      : undefined
    this.nonlinearity = nonlinearity
  }

  forward(x: Tensor): Tensor {
    return highway(x, this.weight, this.bias, { nonlinearity: this.nonlinearity })
  }
}
