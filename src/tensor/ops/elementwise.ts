// Elementwise operations: unary functions, broadcasting arithmetic and comparison, selection.
import { type DType, floating, promoteScalar } from '../dtype.js'
import type { Meta } from '../record.js'
import { broadcast } from '../shape.js'
import {
  at,
  type Input,
  like,
  type None,
  needDType,
  needFloat,
  needNumbers,
  nothing,
  type OpSpec,
  op,
  promotePair,
} from './spec.js'

/** A scalar operand: used where one of two tensors is absent. */
export interface Scalar {
  scalar?: number | boolean
}

/** y = f(x) for real x: integers and booleans give float32, as in PyTorch. */
const real = op<None>({ outputs: (x) => [like(at(x, 0), undefined, floating(at(x, 0).dtype))], attributes: nothing })

/** y = f(x) in the dtype of x. */
function same(name: string): OpSpec<None> {
  return op({
    outputs: (x) => {
      needNumbers(at(x, 0), name)
      return [like(at(x, 0))]
    },
    attributes: nothing,
  })
}

const predicate = op<None>({
  outputs: (x) => [like(at(x, 0), undefined, 'bool')],
  attributes: nothing,
  differentiable: false,
})

/** The common shape, device and promoted dtype of two operands, one of which may be a scalar. */
function pair(inputs: readonly Input[], { scalar }: Scalar, name: string): Meta {
  const [a, b] = inputs
  if (a !== undefined && b !== undefined) {
    return { shape: broadcast(a.shape, b.shape, name), dtype: promotePair(a, b), device: a.device }
  }
  const x = (a ?? b) as Meta
  return like(x, undefined, promoteScalar(x.dtype, scalar as number))
}

function scalarWords({ scalar = 0 }: Scalar): number[] {
  return [Number(scalar), Number.isInteger(Number(scalar)) ? 1 : 0]
}

function binary(name: string, dtype: (promoted: DType) => DType = (d) => d): OpSpec<Scalar> {
  return op<Scalar>({
    outputs: (inputs, attributes) => {
      const meta = pair(inputs, attributes, name)
      return [{ ...meta, dtype: dtype(meta.dtype) }]
    },
    attributes: scalarWords,
  })
}

/** Arithmetic that PyTorch has not for bool: of any operand, or of the promoted ones. */
function numeric(name: string, which: 'every operand' | 'the result'): OpSpec<Scalar> {
  const plain = binary(name)
  return {
    ...plain,
    outputs: (inputs, attributes) => {
      const metas = plain.outputs(inputs, attributes)
      for (const x of which === 'every operand' ? inputs : metas) if (x !== undefined) needNumbers(x, name, which)
      return metas
    },
  }
}

function comparison(name: string): OpSpec<Scalar> {
  return { ...binary(name, () => 'bool'), differentiable: false }
}

export const elementwise = {
  neg: same('neg'),
  abs: same('abs'),
  square: same('square'),
  sign: same('sign'),
  relu: same('relu'),
  exp: real,
  log: real,
  log1p: real,
  expm1: real,
  sqrt: real,
  rsqrt: real,
  reciprocal: real,
  sin: real,
  cos: real,
  tanh: real,
  sigmoid: real,
  erf: real,
  silu: float('silu'),
  softplus: float('softplus'),
  floor: same('floor'),
  ceil: same('ceil'),
  round: same('round'),
  logicalNot: predicate,
  isNaN: predicate,
  isFinite: predicate,

  gelu: op<{ approximate: boolean }>({
    outputs: (x) => {
      needFloat(at(x, 0), 'gelu')
      return [like(at(x, 0))]
    },
    attributes: ({ approximate }) => [approximate ? 1 : 0],
  }),
  leakyRelu: op<{ slope: number }>({
    outputs: (x) => {
      needFloat(at(x, 0), 'leakyRelu')
      return [like(at(x, 0))]
    },
    attributes: ({ slope }) => [slope],
  }),

  add: binary('add'),
  sub: numeric('sub', 'every operand'),
  mul: binary('mul'),
  div: binary('div', floating),
  pow: numeric('pow', 'the result'),
  maximum: binary('maximum'),
  minimum: binary('minimum'),
  eq: comparison('eq'),
  ne: comparison('ne'),
  lt: comparison('lt'),
  le: comparison('le'),
  gt: comparison('gt'),
  ge: comparison('ge'),
  logicalAnd: comparison('logicalAnd'),
  logicalOr: comparison('logicalOr'),

  where: op<{ a?: number; b?: number }>({
    outputs: ([condition, a, b], scalars) => {
      const c = condition as Meta
      needDType(c, 'bool', 'where', 'condition')
      const value = a !== undefined && b !== undefined ? pair([a, b], {}, 'where') : undefined
      const x = a ?? b
      const numbers = Number.isInteger(scalars.a) && Number.isInteger(scalars.b) ? 'int64' : 'float32'
      const dtype =
        value?.dtype ??
        (x === undefined ? numbers : promoteScalar(x.dtype, (a === undefined ? scalars.a : scalars.b) as number))
      const shape = broadcast(c.shape, value?.shape ?? x?.shape ?? [], 'where')
      return [{ shape, dtype, device: c.device }]
    },
    attributes: ({ a = 0, b = 0 }) => [a, Number.isInteger(a) ? 1 : 0, b, Number.isInteger(b) ? 1 : 0],
  }),
  clamp: op<{ low: number; high: number }>({
    // A bound that is not whole makes integers float32, a whole one makes bool int64.
    outputs: (inputs, { low, high }) => {
      const x = at(inputs, 0)
      const bounds = [low, high].filter((bound) => Number.isFinite(bound))
      return [like(x, undefined, bounds.reduce(promoteScalar, x.dtype))]
    },
    attributes: ({ low, high }) => [low, high],
  }),
}

function float(name: string): OpSpec<None> {
  return op({
    outputs: (x) => {
      needFloat(at(x, 0), name)
      return [like(at(x, 0))]
    },
    attributes: nothing,
  })
}
