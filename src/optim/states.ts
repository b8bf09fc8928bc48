// What an optimizer keeps for one parameter: which states, of which shape and dtype.
import { type DType, dtypes, type FloatDType } from '../tensor/dtype.js'
import type { Shape } from '../tensor/shape.js'

export type StateShape = (name: string, shape: Shape) => Shape | undefined

/** One state; `value` is undefined where this parameter has none of that name. */
export interface StateLayout {
  readonly name: string
  readonly value: { readonly shape: Shape; readonly dtype: FloatDType } | undefined
}

interface Rule<O> {
  states(options: O): readonly string[]
  shapeOf?: StateShape
}

/** The states in the order of the operation's lists. */
export function layoutOf<O extends { masters: boolean }>(
  { states, shapeOf = (_, shape) => shape }: Rule<O>,
  options: O,
  parameter: { readonly shape: Shape; readonly dtype: DType },
): StateLayout[] {
  const halved = options.masters && dtypes[parameter.dtype].bytes === 2
  const dtype = halved ? 'float32' : (parameter.dtype as FloatDType)
  const master = { name: 'master', value: halved ? { shape: parameter.shape, dtype } : undefined }
  const own = states(options).map((name): StateLayout => {
    const shape = shapeOf(name, parameter.shape)
    return { name, value: shape && { shape, dtype } }
  })
  return options.masters ? [master, ...own] : own
}
