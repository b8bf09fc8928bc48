// Operations that move elements or look at them differently.
import { ShapeError } from '../../errors.js'
import type { Meta } from '../record.js'
import { broadcast, elements, type Shape, sameShape, show, withSize } from '../shape.js'
import {
  at,
  badShape,
  type Input,
  like,
  list,
  needFloat,
  needIndex,
  needSameDType,
  type OpSpec,
  op,
  promoteAll,
} from './spec.js'

export const paddings = { constant: 0, reflect: 1, replicate: 2, circular: 3 } as const
export type Padding = keyof typeof paddings

const sameMeta = <A>(attributes: (a: A) => readonly number[]): OpSpec<A> => ({
  outputs: (inputs) => [like(at(inputs, 0))],
  attributes,
})

/** The last two axes are a matrix. */
function triangle(name: string): OpSpec<{ diagonal: number }> {
  return op<{ diagonal: number }>({
    outputs: (inputs) => {
      const x = at(inputs, 0)
      if (x.shape.length < 2) throw badShape(name, 'input', '[…, M, N]', x.shape)
      return [like(x)]
    },
    attributes: ({ diagonal }) => [diagonal],
  })
}

function scatter(name: string): OpSpec<{ dim: number }> {
  return op<{ dim: number }>({
    outputs: (inputs, { dim }) => {
      const [x, index, source] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)]
      needIndex(index, name)
      needSameDType([x, source], name)
      const fits =
        index.shape.length === x.shape.length &&
        index.shape.every((size, i) => i === dim || size <= (x.shape[i] as number))
      if (!fits) {
        const form = `of the rank of ${show(x.shape)} and no larger but along axis ${dim}`
        throw badShape(name, 'index', form, index.shape)
      }
      if (!sameShape(source.shape, index.shape))
        throw badShape(name, 'source', `${show(index.shape)}, as the index`, source.shape)
      return [like(x)]
    },
    attributes: ({ dim }) => [dim],
  })
}

/** Tensors joined by `cat` or `stack` must agree but for the joined axis. */
function alike(inputs: readonly Input[], name: string, free?: number): Meta {
  const first = at(inputs, 0)
  for (const x of inputs as readonly Meta[]) {
    const agrees =
      x.shape.length === first.shape.length && x.shape.every((size, i) => i === free || size === first.shape[i])
    if (!agrees) throw badShape(name, 'every tensor', `like the first, ${show(first.shape)}`, x.shape)
  }
  return first
}

export const shape = {
  reshape: op<{ shape: Shape }>({
    outputs: (inputs, { shape }) => {
      const x = at(inputs, 0)
      if (elements(shape) !== elements(x.shape)) {
        throw new ShapeError(
          `reshape: ${show(x.shape)} has ${elements(x.shape)} elements, ${show(shape)} has ${elements(shape)}`,
          {
            op: 'reshape',
            expected: `${elements(x.shape)} elements`,
            got: show(shape),
          },
        )
      }
      return [like(x, shape)]
    },
    attributes: ({ shape }) => list(shape),
    view: true,
  }),
  expand: op<{ shape: Shape }>({
    outputs: (inputs, { shape }) => {
      const x = at(inputs, 0)
      if (!sameShape(broadcast(x.shape, shape, 'expand'), shape))
        throw badShape('expand', 'shape', `broadcast from ${show(x.shape)}`, shape)
      return [like(x, shape)]
    },
    attributes: ({ shape }) => list(shape),
    view: true,
  }),
  permute: op<{ dims: readonly number[] }>({
    outputs: (inputs, { dims }) => {
      const x = at(inputs, 0)
      if (dims.length !== x.shape.length) {
        throw new ShapeError(`permute: every axis of ${show(x.shape)} must be named once, got ${show(dims)}`, {
          op: 'permute',
          got: show(dims),
        })
      }
      return [
        like(
          x,
          dims.map((dim) => x.shape[dim] as number),
        ),
      ]
    },
    attributes: ({ dims }) => list(dims),
    view: true,
  }),
  flip: op<{ dims: readonly number[] }>({
    outputs: (inputs) => [like(at(inputs, 0))],
    attributes: ({ dims }) => list(dims),
  }),
  slice: op<{ dim: number; start: number; end: number; step: number }>({
    outputs: (inputs, { dim, start, end, step }) => {
      const x = at(inputs, 0)
      return [like(x, withSize(x.shape, dim, Math.max(0, Math.ceil((end - start) / step))))]
    },
    attributes: ({ dim, start, end, step }) => [dim, start, end, step],
    view: true,
  }),
  cat: op<{ dim: number }>({
    outputs: (inputs, { dim }) => {
      const first = alike(inputs, 'cat', dim)
      const size = (inputs as readonly Meta[]).reduce((sum, x) => sum + (x.shape[dim] as number), 0)
      return [{ ...like(first, withSize(first.shape, dim, size)), dtype: promoteAll(inputs) }]
    },
    attributes: ({ dim }) => [dim],
  }),
  stack: op<{ dim: number }>({
    outputs: (inputs, { dim }) => {
      const first = alike(inputs, 'stack')
      return [
        {
          ...like(first, [...first.shape.slice(0, dim), inputs.length, ...first.shape.slice(dim)]),
          dtype: promoteAll(inputs),
        },
      ]
    },
    attributes: ({ dim }) => [dim],
  }),
  gather: op<{ dim: number }>({
    outputs: (inputs, { dim }) => {
      const x = at(inputs, 0)
      const index = at(inputs, 1)
      needIndex(index, 'gather')
      const fits =
        index.shape.length === x.shape.length &&
        index.shape.every((size, i) => i === dim || size <= (x.shape[i] as number))
      if (!fits)
        throw badShape(
          'gather',
          'index',
          `of the rank of ${show(x.shape)} and no larger but along axis ${dim}`,
          index.shape,
        )
      return [like(x, index.shape)]
    },
    attributes: ({ dim }) => [dim],
  }),
  indexSelect: op<{ dim: number }>({
    outputs: (inputs, { dim }) => {
      const x = at(inputs, 0)
      const index = at(inputs, 1)
      needIndex(index, 'indexSelect')
      if (index.shape.length !== 1) throw badShape('indexSelect', 'index', '[N]', index.shape)
      return [like(x, withSize(x.shape, dim, index.shape[0] as number))]
    },
    attributes: ({ dim }) => [dim],
  }),
  roll: sameMeta<{ shifts: readonly number[]; dims: readonly number[] }>(({ shifts, dims }) => [
    ...list(shifts),
    ...list(dims),
  ]),
  tril: triangle('tril'),
  triu: triangle('triu'),
  /** `padding` is before and after, from the last axis. */
  pad: op<{ padding: readonly number[]; mode: Padding; value: number }>({
    outputs: (inputs, { padding, mode }) => {
      const x = at(inputs, 0)
      const axes = padding.length / 2
      const most = mode === 'constant' ? x.shape.length : Math.min(3, x.shape.length - 1)
      if (!Number.isInteger(axes) || axes < 1 || axes > most)
        throw badShape('pad', 'padding', `before and after of 1 … ${most} axes of ${show(x.shape)}`, padding)
      const first = x.shape.length - axes
      if (mode !== 'constant') {
        needFloat(x, 'pad')
        if (first > 2) throw badShape('pad', 'input', `at most 2 axes before the padded ones in mode ${mode}`, x.shape)
      }
      const sides = (axis: number): [number, number] => {
        const at = 2 * (x.shape.length - 1 - axis)
        return [padding[at] as number, padding[at + 1] as number]
      }
      x.shape.forEach((size, axis) => {
        if (axis < first || mode === 'constant') return
        const most = mode === 'reflect' ? size - 1 : mode === 'circular' ? size : size > 0 ? Infinity : 0
        if (Math.max(...sides(axis)) > most || size === 0)
          throw badShape('pad', 'padding', `at most ${most} on axis ${axis} in mode ${mode}`, padding)
      })
      const shape = x.shape.map((size, axis) => (axis < first ? size : size + sides(axis)[0] + sides(axis)[1]))
      return [like(x, shape)]
    },
    attributes: ({ padding, mode, value }) => [paddings[mode], value, ...list(padding)],
  }),
  scatter: scatter('scatter'),
  scatterAdd: scatter('scatterAdd'),
  oneHot: op<{ classes: number }>({
    outputs: (inputs, { classes }) => {
      const index = at(inputs, 0)
      needIndex(index, 'oneHot')
      return [like(index, [...index.shape, classes], 'int64')]
    },
    attributes: ({ classes }) => [classes],
  }),
}
