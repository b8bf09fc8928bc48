// Activations as modules, for Sequential; each is elementwise unless it names an axis. Differing from torch: nothing.
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import {
  celu,
  elu,
  gelu,
  glu,
  hardsigmoid,
  hardswish,
  hardtanh,
  leakyRelu,
  logSigmoid,
  logSoftmax,
  mish,
  prelu,
  relu,
  selu,
  sigmoid,
  silu,
  softmax,
  softplus,
  softsign,
  tanh,
} from './functional.js'
import { constant } from './init.js'
import type { ParameterOptions } from './linear.js'
import { Module } from './module.js'

/**
 * max(x, 0)
 *
 * @example
 * new nn.ReLU().forward(zeros([4])).shape   // [4]
 */
export class ReLU extends Module {
  forward(x: Tensor): Tensor {
    return relu(x)
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

  constructor(given: { approximate?: boolean } = {}) {
    super()
    const { approximate = false } = needOptions(given, 'GELU')
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
    return sigmoid(x)
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
    return tanh(x)
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
    return softmax(x, this.dim)
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
    return logSoftmax(x, this.dim)
  }
}

/**
 * x for x > 0, α·(eˣ − 1) otherwise (Clevert et al. 2016).
 *
 * @example
 * new nn.ELU().forward(zeros([4])).shape   // [4]
 */
export class ELU extends Module {
  constructor(readonly alpha = 1) {
    super()
  }

  forward(x: Tensor): Tensor {
    return elu(x, this.alpha)
  }
}

/**
 * 1.0507·(x for x > 0, 1.6733·(eˣ − 1) otherwise) (Klambauer et al. 2017).
 *
 * @example
 * new nn.SELU().forward(zeros([4])).shape   // [4]
 */
export class SELU extends Module {
  forward(x: Tensor): Tensor {
    return selu(x)
  }
}

/**
 * x for x > 0, α·(e^(x/α) − 1) otherwise (Barron 2017).
 *
 * @example
 * new nn.CELU().forward(zeros([4])).shape   // [4]
 */
export class CELU extends Module {
  constructor(readonly alpha = 1) {
    super()
  }

  forward(x: Tensor): Tensor {
    return celu(x, this.alpha)
  }
}

/**
 * x·tanh(log(1 + eˣ)) (Misra 2020).
 *
 * @example
 * new nn.Mish().forward(zeros([4])).shape   // [4]
 */
export class Mish extends Module {
  forward(x: Tensor): Tensor {
    return mish(x)
  }
}

/**
 * x limited to 0 … 6 (Howard et al. 2017).
 *
 * @example
 * new nn.ReLU6().forward(zeros([4])).shape   // [4]
 */
export class ReLU6 extends Module {
  forward(x: Tensor): Tensor {
    return hardtanh(x, { low: 0, high: 6 })
  }
}

/**
 * x limited to low … high.
 *
 * @example
 * new nn.Hardtanh().forward(zeros([4])).shape   // [4]
 */
export class Hardtanh extends Module {
  readonly low: number
  readonly high: number

  constructor(given: { low?: number; high?: number } = {}) {
    super()
    const { low = -1, high = 1 } = needOptions(given, 'Hardtanh')
    this.low = low
    this.high = high
  }

  forward(x: Tensor): Tensor {
    return hardtanh(x, { low: this.low, high: this.high })
  }
}

/**
 * x/6 + ½, limited to 0 … 1.
 *
 * @example
 * new nn.Hardsigmoid().forward(zeros([4])).shape   // [4]
 */
export class Hardsigmoid extends Module {
  forward(x: Tensor): Tensor {
    return hardsigmoid(x)
  }
}

/**
 * x·(x/6 + ½, limited to 0 … 1) (Howard et al. 2019).
 *
 * @example
 * new nn.Hardswish().forward(zeros([4])).shape   // [4]
 */
export class Hardswish extends Module {
  forward(x: Tensor): Tensor {
    return hardswish(x)
  }
}

/**
 * log σ(x) = −log(1 + e⁻ˣ)
 *
 * @example
 * new nn.LogSigmoid().forward(zeros([4])).shape   // [4]
 */
export class LogSigmoid extends Module {
  forward(x: Tensor): Tensor {
    return logSigmoid(x)
  }
}

/**
 * x / (1 + |x|)
 *
 * @example
 * new nn.Softsign().forward(zeros([4])).shape   // [4]
 */
export class Softsign extends Module {
  forward(x: Tensor): Tensor {
    return softsign(x)
  }
}

/**
 * max(x, 0) + weight·min(x, 0), the weight learnt (He et al. 2015): one, or one per channel of x [B, C, …]. It starts as `start`.
 *
 * @example
 * new nn.PReLU(3).forward(zeros([2, 3, 5])).shape   // [2, 3, 5]
 */
export class PReLU extends Module {
  readonly weight: Variable

  constructor(channels = 1, given: { start?: number } & ParameterOptions = {}) {
    super()
    const { start = 0.25, ...options } = needOptions(given, 'PReLU')
    this.weight = constant([whole(channels, 'channels', 'PReLU', 1)], start, options)
  }

  forward(x: Tensor): Tensor {
    return prelu(x, this.weight)
  }
}

/**
 * a·σ(b), a and b the halves of x along an axis, by default the last (Dauphin et al. 2017). Errors: `ERR_SHAPE` for an odd size.
 *
 * @example
 * new nn.GLU().forward(zeros([2, 6])).shape   // [2, 3]
 */
export class GLU extends Module {
  constructor(readonly dim = -1) {
    super()
  }

  forward(x: Tensor): Tensor {
    return glu(x, this.dim)
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
