// What the layers of Transformer encoders and decoders share: options, residual branches with their norms, the feed-forward network.

import { ArgumentError } from '../errors.js'
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { probability } from './dropout.js'
import { dropout, gelu } from './functional.js'
import type { LayerNorm } from './layer-norm.js'
import type { Linear, ParameterOptions } from './linear.js'
import { snakeCase } from './members.js'
import { Module } from './module.js'

export interface TransformerLayerOptions extends ParameterOptions {
  /** F, the width between the two linear maps. @default 2048 */
  dimFeedforward?: number
  /** Of attention weights, of hidden units and of the output of every branch, in training. @default 0.1 */
  dropout?: number
  /** Between the two linear maps. @default 'relu' */
  activation?: 'relu' | 'gelu'
  /** Norms before the branches instead of after the sums (Xiong et al. 2020): trains deeper, and without warm-up. @default false */
  normFirst?: boolean
  /** Of the norms. @default 1e-5 */
  eps?: number
  /** @default true */
  bias?: boolean
}

/** One layer: branches that each add to x. */
export abstract class TransformerLayer extends Module {
  abstract readonly linear1: Linear
  abstract readonly linear2: Linear
  readonly dropout: number
  readonly activation: 'relu' | 'gelu'
  readonly normFirst: boolean

  protected constructor(options: TransformerLayerOptions) {
    super()
    const op = new.target.name
    const { dropout: p = 0.1, activation = 'relu', normFirst = false } = needOptions(options, op)
    if (activation !== 'relu' && activation !== 'gelu') {
      const [expected, got] = ["'relu' or 'gelu'", String(activation)]
      throw new ArgumentError(`${op}: activation must be ${expected}, got ${got}`, { op, expected, got })
    }
    this.dropout = probability(p, 'dropout', op)
    this.activation = activation
    this.normFirst = normFirst
  }

  /** The keys of torch. */
  protected override *members(): Iterable<readonly [string, unknown]> {
    for (const [key, value] of Object.entries(this)) yield [snakeCase(key), value]
  }

  /** x + branch(norm(x)), or norm(x + branch(x)). */
  protected branch(x: Tensor, norm: LayerNorm, branch: (x: Tensor) => Tensor): Tensor {
    const { normFirst } = this
    const sum = x.add(this.drop(branch(normFirst ? norm.forward(x) : x)))
    return normFirst ? sum : norm.forward(sum)
  }

  /** W₂ activation(W₁ x + b₁) + b₂ */
  protected feedForward(x: Tensor): Tensor {
    const hidden = this.linear1.forward(x)
    return this.linear2.forward(this.drop(this.activation === 'relu' ? hidden.relu() : gelu(hidden)))
  }

  private drop(x: Tensor): Tensor {
    return this.dropout > 0 ? dropout(x, this.dropout, { training: this.training }) : x
  }
}

export interface TransformerStackOptions extends TransformerLayerOptions {
  /** @default 6 */
  numLayers?: number
  /** One more norm after the last layer. @default normFirst: what comes out of such layers is not normalised */
  norm?: boolean
}

/** Layers of one kind, made by `make`. */
export function layersOf<L>(numLayers: number, op: string, make: () => L): L[] {
  return Array.from({ length: whole(numLayers, 'numLayers', op, 1) }, make)
}
