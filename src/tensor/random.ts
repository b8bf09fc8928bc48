// Randomness: a counter-based generator whose counters are drawn when an operation is recorded.

import { ArgumentError } from '../errors.js'
import { told } from '../told.js'
import type { TensorOptions } from './create.js'
import { type DeviceLike, device } from './device.js'
import { checkDType, type DType, type FloatDType } from './dtype.js'
import type { Draw } from './ops/create.js'
import { needFunction, needOptions } from './options.js'
import { needTensor } from './record.js'
import { checkShape, elements, type Shape, whole } from './shape.js'
import { call, type Tensor } from './tensor.js'

export interface GeneratorState {
  readonly seed: string
  readonly offset: number
}

/**
 * A position in a stream of random numbers (Philox 4×32-10; Salmon et al. 2011). Each random operation takes one counter per element at the
 * moment it is recorded, so results depend on program order alone: not on threads, timing or device.
 */
export class Generator {
  #key: bigint
  #offset: number

  /** @throws ArgumentError unless `seed` is a whole number within 0 … 2⁶⁴−1. */
  constructor(seed: number | bigint = randomSeed()) {
    if (typeof seed !== 'bigint' && !Number.isSafeInteger(seed)) throw badSeed(seed)
    const key = BigInt(seed)
    if (key < 0n || key >= 2n ** 64n) throw badSeed(seed)
    this.#key = key
    this.#offset = 0
  }

  /** Reserves counters for `count` elements. @internal */
  draw(count: number): Draw {
    const offset = this.#offset
    this.#offset += count
    return { keyLow: Number(this.#key & 0xffff_ffffn), keyHigh: Number(this.#key >> 32n), offset }
  }

  state(): GeneratorState {
    return { seed: String(this.#key), offset: this.#offset }
  }

  restore({ seed, offset }: GeneratorState): void {
    this.#key = BigInt(seed)
    this.#offset = whole(offset, 'offset', 'Generator.restore')
  }

  /** An independent generator: the key of the child depends on this one's key and position. */
  fork(): Generator {
    const { keyLow, keyHigh, offset } = this.draw(1)
    return new Generator(mix(BigInt(keyLow) | (BigInt(keyHigh) << 32n), BigInt(offset)))
  }
}

let ambient = new Generator()

/** The generator that random operations draw from. */
export function generator(): Generator {
  return ambient
}

/** Starts the ambient generator anew at `seed`: the same seed and program give the same numbers. */
export function manualSeed(seed: number | bigint): Generator {
  ambient = new Generator(seed)
  return ambient
}

/** Runs a synchronous function with `inner` as the ambient generator. */
export function withGenerator<T>(inner: Generator, fn: () => T): T {
  needFunction(fn, 'withGenerator')
  const outer = ambient
  ambient = needOptions(inner, 'withGenerator', 'generator')
  try {
    return fn()
  } finally {
    ambient = outer
  }
}

/** Uniform on low ≤ x < high. */
export function uniform<D extends FloatDType = 'float32'>(
  shape: Shape,
  low = 0,
  high = 1,
  options: TensorOptions<D> = {},
): Tensor<D> {
  return distribution('uniform', shape, low, high, options)
}

/** Normal with this mean and standard deviation. */
export function normal<D extends FloatDType = 'float32'>(
  shape: Shape,
  mean = 0,
  std = 1,
  options: TensorOptions<D> = {},
): Tensor<D> {
  return distribution('normal', shape, mean, std, options)
}

function distribution<D extends FloatDType>(
  op: 'uniform' | 'normal',
  shape: Shape,
  a: number,
  b: number,
  options: TensorOptions<D>,
): Tensor<D> {
  const { dtype, device: where = 'cpu' } = needOptions(options, op)
  if (!Number.isFinite(a) || !Number.isFinite(b))
    throw new ArgumentError(`${op}: parameters must be finite, got ${told(a)} and ${told(b)}`, {
      op,
      got: told([a, b]),
    })
  const size = checkShape(shape, op)
  const place = device(where, op)
  const type = checkDType(dtype ?? 'float32', op, place)
  return call<D>(op, [], { ...ambient.draw(elements(size)), a, b, shape: size, dtype: type, device: place })
}

/** Whole numbers, low ≤ x < high. */
export function randint(
  shape: Shape,
  low: number,
  high: number,
  options: { device?: DeviceLike } = {},
): Tensor<'int64'> {
  const { device: where = 'cpu' } = needOptions(options, 'randint')
  if (!Number.isSafeInteger(low) || !Number.isSafeInteger(high) || high <= low) {
    throw new ArgumentError(
      `randint: low and high must be whole numbers, low < high, got ${told(low)} and ${told(high)}`,
      {
        op: 'randint',
        got: told([low, high]),
      },
    )
  }
  const size = checkShape(shape, 'randint')
  return call('randint', [], {
    ...ambient.draw(elements(size)),
    low,
    high,
    shape: size,
    dtype: 'int64' as DType,
    device: device(where, 'randint'),
  })
}

/** The numbers 0 … n−1 in random order. */
export function permutation(n: number, options: { device?: DeviceLike } = {}): Tensor<'int64'> {
  const { device: where = 'cpu' } = needOptions(options, 'permutation')
  return call('permutation', [], {
    ...ambient.draw(whole(n, 'n', 'permutation')),
    n,
    device: device(where, 'permutation'),
  })
}

/** Zeroes each element with probability p and scales the rest by 1/(1−p). */
export function dropout<D extends DType>(x: Tensor<D>, p: number): Tensor<D> {
  needTensor(x, 'dropout')
  if (typeof p !== 'number' || !(p >= 0 && p <= 1))
    throw new ArgumentError(`dropout: p must be within 0 … 1, got ${told(p)}`, {
      op: 'dropout',
      expected: '0 … 1',
      got: told(p),
    })
  return p === 0 ? x : call<D>('dropout', [x], { ...ambient.draw(x.size), p })
}

function randomSeed(): bigint {
  const words = crypto.getRandomValues(new Uint32Array(2))
  return BigInt(words[0] as number) | (BigInt(words[1] as number) << 32n)
}

function badSeed(seed: unknown): ArgumentError {
  return new ArgumentError(`seed must be a whole number from 0 to 2⁶⁴−1 (as a bigint beyond 2⁵³), got ${told(seed)}`, {
    op: 'manualSeed',
    got: told(seed),
  })
}

/** SplitMix64's finaliser (Steele, Lea and Flood 2014). */
function mix(a: bigint, b: bigint): bigint {
  const mask = 2n ** 64n - 1n
  let z = (a + (b + 1n) * 0x9e3779b97f4a7c15n) & mask
  z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & mask
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & mask
  return z ^ (z >> 31n)
}
