// Rotary positions as a function: queries and keys turned by their place in the sequence.

import { ArgumentError, ShapeError } from '../errors.js'
import { arange } from '../tensor/create.js'
import { cat } from '../tensor/functions.js'
import { needOptions } from '../tensor/options.js'
import { needTensor } from '../tensor/record.js'
import { scope } from '../tensor/scope.js'
import { show, whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'

/** Angles t / base^(2i/E) for t = 0 … T−1 and i = 0 … E/2 − 1: [T, E/2] in float64. */
export function angles(length: number, width: number, base: number, like: Tensor): Tensor {
  const place = { dtype: 'float64', device: like.device } as const
  const rates = arange(0, width, { step: 2, ...place })
    .mul(-Math.log(base) / width)
    .exp()
  return arange(0, length, place).reshape([length, 1]).mul(rates)
}

/**
 * Turns the pairs (x[i], x[i + E/2]) of queries and keys by t / base^(2i/E), so that their products depend on distances: y₁ = x₁ cos − x₂ sin,
 * y₂ = x₂ cos + x₁ sin. Shapes: x […, T, E] → the same, E even. `offset` is the position of the first step.
 *
 * Errors: `ERR_SHAPE`, `ERR_ARGUMENT`. Not in torch. Source: Su et al. 2021, §3.4, with the halves as pairs.
 */
export function rotary(x: Tensor, given: { offset?: number; base?: number } = {}): Tensor {
  const { offset = 0, base = 10_000 } = needOptions(given, 'rotary')
  const op = 'rotary'
  needTensor(x, op, 'the input')
  const [T, E] = x.shape.slice(-2)
  if (T === undefined || E === undefined || E % 2 !== 0) {
    const [expected, got] = ['[…, T, E] with an even E', show(x.shape)]
    throw new ShapeError(`${op}: input must be ${expected}, got ${got}`, { op, expected, got })
  }
  if (!(base > 1)) {
    const [expected, got] = ['a number > 1', String(base)]
    throw new ArgumentError(`${op}: base must be ${expected}, got ${got}`, { op, expected, got })
  }
  const end = whole(offset, 'offset', op) + T
  return scope(() => {
    const turned = angles(end, E, base, x).slice(0, offset, end)
    const [cos, sin] = [turned.cos().to(x.dtype), turned.sin().to(x.dtype)]
    const [a, b] = [x.slice(-1, 0, E / 2), x.slice(-1, E / 2, E)]
    return cat([a.mul(cos).sub(b.mul(sin)), b.mul(cos).add(a.mul(sin))], -1)
  })
}
