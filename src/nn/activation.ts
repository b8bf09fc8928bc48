// Activations as functions: elementwise unless they name an axis; differing from torch: nothing.

import { ArgumentError, ShapeError } from '../errors.js'
import type { DType } from '../tensor/dtype.js'
import { needOptions } from '../tensor/options.js'
import { needTensor } from '../tensor/record.js'
import { scope } from '../tensor/scope.js'
import { axis, show } from '../tensor/shape.js'
import { call, type Tensor } from '../tensor/tensor.js'

/** The constants of Klambauer et al. 2017: mean 0 and variance 1 are kept. */
const SELU = { alpha: 1.6732632423543772, scale: 1.0507009873554805 }

/** What `fn` makes of x: of the same dtype, its temporaries freed. */
function of<D extends DType>(op: string, x: Tensor<D>, fn: () => Tensor): Tensor<D> {
  needTensor(x, op, 'the input')
  return scope(fn) as Tensor<D>
}

const below = <D extends DType>(x: Tensor<D>): Tensor<D> => x.clamp({ high: 0 })

/** x·Φ(x), Φ the normal distribution function; `approximate`: by tanh. */
export function gelu<D extends DType>(x: Tensor<D>, given: { approximate?: boolean } = {}): Tensor<D> {
  const { approximate = false } = needOptions(given, 'gelu')
  return call<D>('gelu', [x], { approximate })
}

/** x·σ(x) */
export function silu<D extends DType>(x: Tensor<D>): Tensor<D> {
  return call<D>('silu', [x], {})
}

/** log(1 + eˣ) */
export function softplus<D extends DType>(x: Tensor<D>): Tensor<D> {
  return call<D>('softplus', [x], {})
}

/** x for x > 0, slope·x otherwise */
export function leakyRelu<D extends DType>(x: Tensor<D>, slope = 0.01): Tensor<D> {
  if (typeof slope !== 'number') {
    const [expected, got] = ['a number', typeof slope]
    throw new ArgumentError(`leakyRelu: slope must be ${expected}, got ${got}`, { op: 'leakyRelu', expected, got })
  }
  return call<D>('leakyRelu', [x], { slope })
}

/** eˣ / Σ eˣ along an axis */
export function softmax<D extends DType>(x: Tensor<D>, dim: number): Tensor<D> {
  needTensor(x, 'softmax', 'the input')
  return x.softmax(dim)
}

/** x − log Σ eˣ along an axis */
export function logSoftmax<D extends DType>(x: Tensor<D>, dim: number): Tensor<D> {
  needTensor(x, 'logSoftmax', 'the input')
  return x.logSoftmax(dim)
}

/** x for x > 0, α·(eˣ − 1) otherwise */
export function elu<D extends DType>(x: Tensor<D>, alpha = 1): Tensor<D> {
  return of('elu', x, () => x.relu().add(below(x).expm1().mul(alpha)))
}

/** 1.0507·elu(x, 1.6733) */
export function selu<D extends DType>(x: Tensor<D>): Tensor<D> {
  return of('selu', x, () => elu(x, SELU.alpha).mul(SELU.scale))
}

/** x for x > 0, α·(e^(x/α) − 1) otherwise */
export function celu<D extends DType>(x: Tensor<D>, alpha = 1): Tensor<D> {
  return of('celu', x, () => x.relu().add(below(x).div(alpha).expm1().mul(alpha)))
}

/** −log(1 + e⁻ˣ) */
export function logSigmoid<D extends DType>(x: Tensor<D>): Tensor<D> {
  return of('logSigmoid', x, () => softplus(x.neg()).neg())
}

/** x·tanh(log(1 + eˣ)) */
export function mish<D extends DType>(x: Tensor<D>): Tensor<D> {
  return of('mish', x, () => x.mul(softplus(x).tanh()))
}

/** x limited to low … high */
export function hardtanh<D extends DType>(x: Tensor<D>, given: { low?: number; high?: number } = {}): Tensor<D> {
  const { low = -1, high = 1 } = needOptions(given, 'hardtanh')
  return of('hardtanh', x, () => x.clamp({ low, high }))
}

/** x/6 + ½, limited to 0 … 1 */
export function hardsigmoid<D extends DType>(x: Tensor<D>): Tensor<D> {
  return of('hardsigmoid', x, () => x.add(3).clamp({ low: 0, high: 6 }).div(6))
}

/** x·hardsigmoid(x) */
export function hardswish<D extends DType>(x: Tensor<D>): Tensor<D> {
  return of('hardswish', x, () => x.mul(hardsigmoid(x)))
}

/** x / (1 + |x|) */
export function softsign<D extends DType>(x: Tensor<D>): Tensor<D> {
  return of('softsign', x, () => x.div(x.abs().add(1)))
}

/** max(x, 0) + weight·min(x, 0): one weight, or one per channel, [C], of x [B, C, …] */
export function prelu<D extends DType>(x: Tensor<D>, weight: Tensor): Tensor<D> {
  needTensor(x, 'prelu', 'the input')
  needTensor(weight, 'prelu', 'weight')
  const channels = weight.size === 1 ? 1 : x.shape[1]
  if (weight.rank > 1 || weight.size !== channels) {
    const expected = `one weight, or one per channel, for ${show(x.shape)}`
    throw new ShapeError(`prelu: weight must be ${expected}, got ${show(weight.shape)}`, {
      op: 'prelu',
      expected,
      got: show(weight.shape),
    })
  }
  const shape = weight.size === 1 ? [] : [weight.size, ...x.shape.slice(2).map(() => 1)]
  return of('prelu', x, () => x.relu().add(below(x).mul(weight.reshape(shape))))
}

/** a·σ(b), a and b the two halves of x along an axis */
export function glu<D extends DType>(x: Tensor<D>, dim = -1): Tensor<D> {
  needTensor(x, 'glu', 'the input')
  const at = axis(dim, x.rank, 'glu')
  const size = x.shape[at] as number
  if (size % 2 !== 0) {
    const [expected, got] = [`an even size of axis ${at}`, show(x.shape)]
    throw new ShapeError(`glu: the input must have ${expected}, got ${got}`, { op: 'glu', expected, got })
  }
  return of('glu', x, () => x.slice(at, 0, size / 2).mul(x.slice(at, size / 2).sigmoid()))
}
