// Activations as modules, for Sequential; each is elementwise unless it names an axis. Differing from torch: nothing.
import type { Tensor } from '../tensor/tensor.js'
import { gelu, leakyRelu, silu, softplus } from './functional.js'
import { Module } from './module.js'

/**
 * max(x, 0)
 *
 * @example
 * new nn.ReLU().forward(zeros([4])).shape   // [4]
 */
export class ReLU extends Module {
  forward(x: Tensor): Tensor {
    return x.relu()
  }
}

/**
 * x for x > 0, slope·x otherwise (Maas et al. 2013).
 *
 * @example
 * new nn.LeakyReLU(0.1).forward(zeros([4])).shape   // [4]
 */
export class LeakyReLU extends Module {
  constructor(readonly slope = 0.01) {
    super()
  }

  forward(x: Tensor): Tensor {
    return leakyRelu(x, this.slope)
  }
}

/**
 * x·Φ(x), Φ the normal distribution function; `approximate`: x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))) (Hendrycks and Gimpel 2016).
 *
 * @example
 * new nn.GELU({ approximate: true }).forward(zeros([4])).shape   // [4]
 */
export class GELU extends Module {
  readonly approximate: boolean

  constructor({ approximate = false }: { approximate?: boolean } = {}) {
    super()
    this.approximate = approximate
  }

  forward(x: Tensor): Tensor {
    return gelu(x, { approximate: this.approximate })
  }
}

/**
 * x·σ(x)
 *
 * @example
 * new nn.SiLU().forward(zeros([4])).shape   // [4]
 */
export class SiLU extends Module {
  forward(x: Tensor): Tensor {
    return silu(x)
  }
}

/**
 * log(1 + eˣ)
 *
 * @example
 * new nn.Softplus().forward(zeros([4])).shape   // [4]
 */
export class Softplus extends Module {
  forward(x: Tensor): Tensor {
    return softplus(x)
  }
}

/**
 * σ(x) = 1 / (1 + e⁻ˣ)
 *
 * @example
 * new nn.Sigmoid().forward(zeros([4])).shape   // [4]
 */
export class Sigmoid extends Module {
  forward(x: Tensor): Tensor {
    return x.sigmoid()
  }
}

/**
 * tanh x
 *
 * @example
 * new nn.Tanh().forward(zeros([4])).shape   // [4]
 */
export class Tanh extends Module {
  forward(x: Tensor): Tensor {
    return x.tanh()
  }
}

/**
 * eˣ / Σ eˣ along an axis (default: the last).
 *
 * @example
 * new nn.Softmax().forward(zeros([2, 3])).shape   // [2, 3]
 */
export class Softmax extends Module {
  constructor(readonly dim = -1) {
    super()
  }

  forward(x: Tensor): Tensor {
    return x.softmax(this.dim)
  }
}

/**
 * x − log Σ eˣ along an axis (default: the last).
 *
 * @example
 * new nn.LogSoftmax().forward(zeros([2, 3])).shape   // [2, 3]
 */
export class LogSoftmax extends Module {
  constructor(readonly dim = -1) {
    super()
  }

  forward(x: Tensor): Tensor {
    return x.logSoftmax(this.dim)
  }
}

/**
 * x itself: where a layer may be left out.
 *
 * @example
 * new nn.Identity().forward(zeros([4])).shape   // [4]
 */
export class Identity extends Module {
  forward(x: Tensor): Tensor {
    return x
  }
}
