// Operations that move elements or look at them differently.
import { ShapeError } from '../../errors.js'
import type { Meta } from '../record.js'
import { broadcast, elements, type Shape, sameShape, show, withSize } from '../shape.js'
import { at, badShape, type Input, like, list, needDType, op, promoteAll } from './spec.js'

const int = (x: Meta, name: string): void => needDType(x, 'int64', name, 'index')

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
      int(index, 'gather')
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
      int(index, 'indexSelect')
      if (index.shape.length !== 1) throw badShape('indexSelect', 'index', '[N]', index.shape)
      return [like(x, withSize(x.shape, dim, index.shape[0] as number))]
    },
    attributes: ({ dim }) => [dim],
  }),
}
