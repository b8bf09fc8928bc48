// Buffer: state of a module that is saved with it and is not trained, such as running statistics.

import { ArgumentError } from '../errors.js'
import type { DType } from '../tensor/dtype.js'
import { needOptions } from '../tensor/options.js'
import type { Tensor } from '../tensor/tensor.js'
import { Variable } from '../tensor/variable.js'

/**
 * A Variable that never takes gradients: `namedBuffers` lists it, `parameters` does not. It is part of the state dict.
 *
 * @example
 * class Counter extends nn.Module {
 *   calls = new nn.Buffer(zeros([]))
 *   forward(x: Tensor): Tensor {
 *     this.calls.assign(this.calls.add(1))
 *     return x
 *   }
 * }
 */
export class Buffer<D extends DType = DType> extends Variable<D> {
  constructor(value: Tensor<D>, given: { name?: string } = {}) {
    const { name = '' } = needOptions(given, 'Buffer')
    super(value, { requiresGrad: false, name })
  }

  override get requiresGrad(): boolean {
    return super.requiresGrad
  }

  /** @throws ArgumentError for true: a Buffer is not trained. */
  override set requiresGrad(value: boolean) {
    if (value)
      throw new ArgumentError(`requiresGrad: ${this.name || 'a Buffer'} takes no gradients; make it a Variable`, {
        op: 'requiresGrad',
        expected: 'a Variable',
        got: 'a Buffer',
      })
  }
}
