// Sequential: one layer after another.
import { ArgumentError } from '../errors.js'
import { scope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import { told } from '../told.js'
import { Module } from './module.js'

/** A module from one tensor to one tensor. */
export interface Layer extends Module {
  forward(x: Tensor): Tensor
}

/**
 * `layers[n−1](… layers[1](layers[0](x)))`. Array-like: `length`, `[i]`, `at`, iteration. Keys `0.weight`, `2.bias`, as in torch.
 *
 * Shapes: what the layers take. Errors: `ERR_ARGUMENT` for what is no module, or for a layer whose result is not a tensor (an LSTM). What lies
 * between the layers is freed at the end. Differs from torch: no names for layers (a Module of your own has names).
 *
 * @example
 * const net = new nn.Sequential(new nn.Linear(4, 8), new nn.Tanh(), new nn.Linear(8, 2))
 * net.forward(zeros([3, 4])).shape   // [3, 2]
 * net.length                         // 3
 */
export class Sequential extends Module implements Iterable<Layer> {
  readonly [index: number]: Layer
  #layers: readonly Layer[]

  constructor(...layers: Layer[]) {
    super()
    for (const [i, layer] of layers.entries()) {
      if (!((layer as unknown) instanceof Module)) {
        throw new ArgumentError(`Sequential: layer ${i} must be a Module, got ${told(layer)}`, {
          op: 'Sequential',
          expected: 'modules',
          got: told(layer),
        })
      }
    }
    this.#layers = layers
    Object.assign(this, layers)
  }

  get length(): number {
    return this.#layers.length
  }

  /** The layer at a position; negative ones count from the end. */
  at(index: number): Layer | undefined {
    return this.#layers.at(index)
  }

  [Symbol.iterator](): Iterator<Layer> {
    return this.#layers[Symbol.iterator]()
  }

  forward(x: Tensor): Tensor {
    return scope(() =>
      this.#layers.reduce((input, layer, i) => {
        const output: unknown = layer.forward(input)
        if (output instanceof Tensor) return output
        throw new ArgumentError(
          `Sequential: layer ${i} (${layer.constructor.name}) must return a tensor; call it from a Module of your own`,
          {
            op: 'Sequential',
            expected: 'a tensor',
            got: typeof output,
          },
        )
      }, x),
    )
  }
}
