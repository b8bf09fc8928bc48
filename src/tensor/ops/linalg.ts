// Products and decompositions of matrices.
import { ShapeError } from '../../errors.js'
import type { Meta } from '../record.js'
import { broadcast, sameShape, show } from '../shape.js'
import {
  at,
  badDType,
  badShape,
  type Input,
  like,
  type None,
  needFloat,
  needNumbers,
  needSameDType,
  nothing,
  op,
} from './spec.js'

/** LAPACK's dtypes and a matrix in the last two axes. */
function needMatrix(x: Meta, name: string, what = 'input'): void {
  needFloat(x, name, what)
  if (x.dtype === 'bfloat16' || x.dtype === 'float16') throw badDType(name, what, 'float32 or float64', x.dtype)
  if (x.shape.length < 2) throw badShape(name, what, '[…, M, N]', x.shape)
}

/** The sizes that the letters of an equation stand for. */
function lettersOf(terms: readonly string[], inputs: readonly Input[], fail: (why: string) => ShapeError) {
  const sizes = new Map<string, number>()
  terms.forEach((term, k) => {
    const { shape } = at(inputs, k)
    if (term.length !== shape.length) throw fail(`'${term}' does not name the ${shape.length} axes of ${show(shape)}`)
    for (const [i, letter] of [...term].entries()) {
      const size = shape[i] as number
      const known = sizes.get(letter) ?? size
      if (known !== size) throw fail(`${letter} is ${known} and ${size}`)
      sizes.set(letter, size)
    }
  })
  return sizes
}

/** Without an arrow: the letters that occur once, in alphabetical order. */
function implied(terms: readonly string[]): string {
  const all = terms.join('')
  return [...new Set(all)]
    .filter((letter) => all.split(letter).length === 2)
    .sort()
    .join('')
}

export const linalg = {
  matmul: op<None>({
    outputs: (inputs) => {
      const a = at(inputs, 0)
      const b = at(inputs, 1)
      needSameDType(inputs, 'matmul')
      needNumbers(a, 'matmul')
      const mismatch = (): ShapeError =>
        new ShapeError(
          `matmul: ${show(a.shape)} and ${show(b.shape)} do not multiply: the last axis of the first must equal the second to last of the second`,
          {
            op: 'matmul',
            expected: show(a.shape),
            got: show(b.shape),
          },
        )
      if (a.shape.length === 0 || b.shape.length === 0) throw mismatch()
      const [m, k] = a.shape.length === 1 ? [undefined, a.shape[0]] : a.shape.slice(-2)
      const [k2, n] = b.shape.length === 1 ? [b.shape[0], undefined] : b.shape.slice(-2)
      if (k !== k2) throw mismatch()
      const batch = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2), 'matmul')
      return [like(a, [...batch, ...(m === undefined ? [] : [m]), ...(n === undefined ? [] : [n])])]
    },
    attributes: nothing,
  }),
  linear: op<None>({
    outputs: (inputs) => {
      const x = at(inputs, 0)
      const weight = at(inputs, 1)
      const bias = inputs[2]
      needFloat(x, 'linear')
      needSameDType(inputs, 'linear')
      if (weight.shape.length !== 2) throw badShape('linear', 'weight', '[O, I]', weight.shape)
      const [o, i] = weight.shape as [number, number]
      if (x.shape.at(-1) !== i) throw badShape('linear', 'input', `[…, I=${i}]`, x.shape)
      if (bias !== undefined && (bias.shape.length !== 1 || bias.shape[0] !== o))
        throw badShape('linear', 'bias', `[O=${o}]`, bias.shape)
      return [like(x, [...x.shape.slice(0, -1), o])]
    },
    attributes: nothing,
  }),
  einsum: op<{ equation: string }>({
    outputs: (inputs, { equation }) => {
      const fail = (why: string): ShapeError =>
        new ShapeError(`einsum: ${why} in '${equation}'`, { op: 'einsum', expected: equation, got: why })
      const parts = /^([A-Za-z]*(?:,[A-Za-z]*)*)(?:->([A-Za-z]*))?$/.exec(equation.replaceAll(' ', ''))
      if (parts === null) throw fail('only letters, commas and one -> may stand')
      const terms = (parts[1] as string).split(',')
      if (terms.length !== inputs.length) throw fail(`${terms.length} terms for ${inputs.length} tensors`)
      needSameDType(inputs, 'einsum')
      needNumbers(at(inputs, 0), 'einsum')
      const sizes = lettersOf(terms, inputs, fail)
      const output = [...(parts[2] ?? implied(terms))]
      if (new Set(output).size !== output.length) throw fail('a letter stands twice in the result')
      return [
        like(
          at(inputs, 0),
          output.map((letter) => {
            const size = sizes.get(letter)
            if (size === undefined) throw fail(`${letter} stands in the result alone`)
            return size
          }),
        ),
      ]
    },
    attributes: ({ equation }) => [equation.length, ...Array.from(equation, (letter) => letter.charCodeAt(0))],
  }),
  qr: op<None>({
    outputs: (inputs) => {
      const x = at(inputs, 0)
      needMatrix(x, 'qr')
      const [m, n] = x.shape.slice(-2) as [number, number]
      const [batch, k] = [x.shape.slice(0, -2), Math.min(m, n)]
      return [like(x, [...batch, m, k]), like(x, [...batch, k, n])]
    },
    attributes: nothing,
  }),
  svd: op<None>({
    outputs: (inputs) => {
      const x = at(inputs, 0)
      needMatrix(x, 'svd')
      const [m, n] = x.shape.slice(-2) as [number, number]
      const [batch, k] = [x.shape.slice(0, -2), Math.min(m, n)]
      return [like(x, [...batch, m, k]), like(x, [...batch, k]), like(x, [...batch, k, n])]
    },
    attributes: nothing,
  }),
  solve: op<None>({
    outputs: (inputs) => {
      const [a, b] = [at(inputs, 0), at(inputs, 1)]
      needMatrix(a, 'solve', 'a')
      needMatrix(b, 'solve', 'b')
      needSameDType(inputs, 'solve')
      const [m, n] = a.shape.slice(-2) as [number, number]
      if (m !== n) throw badShape('solve', 'a', '[…, N, N]', a.shape)
      if (b.shape.at(-2) !== n || !sameShape(a.shape.slice(0, -2), b.shape.slice(0, -2)))
        throw badShape('solve', 'b', `[${[...a.shape.slice(0, -2), `N=${n}`, 'K'].join(', ')}]`, b.shape)
      return [like(b)]
    },
    attributes: nothing,
  }),
}
