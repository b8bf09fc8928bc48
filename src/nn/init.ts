// Initial values of parameters, drawn from the ambient generator; each gives a new Variable.

import { ArgumentError, ShapeError } from '../errors.js'
import { full, type TensorOptions } from '../tensor/create.js'
import type { FloatDType } from '../tensor/dtype.js'
import { needFunction, needOptions } from '../tensor/options.js'
import * as random from '../tensor/random.js'
import { noGrad, scope } from '../tensor/scope.js'
import { checkShape, elements, type Shape, show } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { Variable } from '../tensor/variable.js'
import { told } from '../told.js'

export type InitOptions = TensorOptions<FloatDType>

/** A Variable of what `make` returns, whose temporaries are freed. */
export function variable(make: () => Tensor): Variable {
  needFunction(make, 'init.variable', 'make')
  return scope(() => noGrad(() => new Variable(make())))
}

/** Uniform on low ≤ x < high. */
export function uniform(shape: Shape, low = 0, high = 1, options: InitOptions = {}): Variable {
  return variable(() => random.uniform(shape, low, high, options))
}

/** Normal with this mean and standard deviation. */
export function normal(shape: Shape, mean = 0, std = 1, options: InitOptions = {}): Variable {
  return variable(() => random.normal(shape, mean, std, options))
}

/** Every element `value`. */
export function constant(shape: Shape, value: number, options: InitOptions = {}): Variable {
  return variable(() => full(shape, value, options))
}

export function zeros(shape: Shape, options: InitOptions = {}): Variable {
  return constant(shape, 0, options)
}

export function ones(shape: Shape, options: InitOptions = {}): Variable {
  return constant(shape, 1, options)
}

/** What the gain of an initialisation makes up for. */
export type GainOf = 'linear' | 'sigmoid' | 'tanh' | 'relu' | 'leakyRelu'

/** The factor that keeps variances through a nonlinearity; `slope` is that of leaky ReLU. */
export function gain(nonlinearity: GainOf, slope = 0.01): number {
  switch (nonlinearity) {
    case 'linear':
    case 'sigmoid':
      return 1
    case 'tanh':
      return 5 / 3
    case 'relu':
      return Math.SQRT2
    case 'leakyRelu':
      return Math.sqrt(2 / (1 + slope ** 2))
    default:
      throw new ArgumentError(`gain: unknown nonlinearity ${told(nonlinearity)}`, {
        op: 'gain',
        expected: 'linear, sigmoid, tanh, relu or leakyRelu',
        got: told(nonlinearity),
      })
  }
}

export interface KaimingOptions extends InitOptions {
  mode?: 'fanIn' | 'fanOut'
  nonlinearity?: GainOf
  /** The slope of leaky ReLU. */
  a?: number
}

/** Uniform on ±gain·√(3 / fan) (He et al. 2015, eq. 10). Shapes are [out, in, …]; fan in is in · the rest. */
export function kaimingUniform(shape: Shape, options: KaimingOptions = {}): Variable {
  const bound = Math.sqrt(3) * kaimingStd(shape, options, 'kaimingUniform')
  return uniform(shape, -bound, bound, options)
}

/** Normal with standard deviation gain / √fan. */
export function kaimingNormal(shape: Shape, options: KaimingOptions = {}): Variable {
  return normal(shape, 0, kaimingStd(shape, options, 'kaimingNormal'), options)
}

function kaimingStd(shape: Shape, options: KaimingOptions, op: string): number {
  const { mode = 'fanIn', nonlinearity = 'leakyRelu', a = 0 } = needOptions(options, op)
  const { fanIn, fanOut } = fans(shape, op)
  return gain(nonlinearity, a) / Math.sqrt(mode === 'fanIn' ? fanIn : fanOut)
}

/** Uniform on ±factor·√(6 / (fan in + fan out)) (Glorot and Bengio 2010, eq. 16). */
export function xavierUniform(shape: Shape, given: InitOptions & { gain?: number } = {}): Variable {
  const { gain: factor = 1, ...options } = needOptions(given, 'xavierUniform')
  const { fanIn, fanOut } = fans(shape, 'xavierUniform')
  const bound = factor * Math.sqrt(6 / (fanIn + fanOut))
  return uniform(shape, -bound, bound, options)
}

/** Normal with standard deviation factor·√(2 / (fan in + fan out)). */
export function xavierNormal(shape: Shape, given: InitOptions & { gain?: number } = {}): Variable {
  const { gain: factor = 1, ...options } = needOptions(given, 'xavierNormal')
  const { fanIn, fanOut } = fans(shape, 'xavierNormal')
  return normal(shape, 0, factor * Math.sqrt(2 / (fanIn + fanOut)), options)
}

function fans(shape: Shape, op: string): { fanIn: number; fanOut: number } {
  if (checkShape(shape, op).length < 2)
    throw new ShapeError(`${op}: shape must be [out, in, …], got ${show(shape)}`, {
      op,
      expected: '[out, in, …]',
      got: show(shape),
    })
  const [out, input, ...field] = shape as [number, number, ...number[]]
  return { fanIn: input * elements(field), fanOut: out * elements(field) }
}

/** One quintic step of `orthogonal` more than triples small singular values and keeps all within 0.7 … 1.2 (Jordan 2024). */
const QUINTIC = [3.4445, -4.775, 2.0315] as const
const QUINTIC_STEPS = 16
const CUBIC_STEPS = 6

/**
 * A random orthogonal matrix times `gain`, uniform over all of them (Saxe et al. 2014): rows or columns, whichever are fewer, are orthonormal.
 * Further axes are taken as part of the second.
 *
 * It is the polar factor of a normal matrix, by Newton–Schulz iterations in float64: 60 products of the matrix with its transpose.
 * Differs from torch, which takes the factor Q of a QR decomposition: the same distribution.
 */
export function orthogonal(shape: Shape, given: InitOptions & { gain?: number } = {}): Variable {
  const { gain: factor = 1, dtype = 'float32', device = 'cpu' } = needOptions(given, 'orthogonal')
  const { fanIn: input } = fans(shape, 'orthogonal')
  const out = shape[0] as number
  return variable(() => {
    const start = random.normal([Math.min(out, input), Math.max(out, input)], 0, 1, { dtype: 'float64', device })
    let x: Tensor<'float64'> = start.div(start.square().sum().sqrt())
    const [a, b, c] = QUINTIC
    for (let i = 0; i < QUINTIC_STEPS; i++) {
      const gram = x.matmul(x.transpose())
      x = scope(() => x.mul(a).add(gram.mul(b).add(gram.matmul(gram).mul(c)).matmul(x)))
    }
    for (let i = 0; i < CUBIC_STEPS; i++) x = scope(() => x.mul(1.5).sub(x.matmul(x.transpose()).matmul(x).mul(0.5)))
    return (out <= input ? x : x.transpose()).mul(factor).reshape(shape).to(dtype)
  })
}
