// What all convolution layers share: their options, checked, and their weights.

import { ArgumentError } from '../errors.js'
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import type { Variable } from '../tensor/variable.js'
import { uniform } from './init.js'
import type { ParameterOptions } from './linear.js'
import { Module } from './module.js'

export interface ConvLayerOptions<S> extends ParameterOptions {
  /** @default 1 */
  stride?: S
  /** Zeros added on each side. @default 0 */
  padding?: S
  /** @default 1 */
  dilation?: S
  /** Blocks of channels that do not mix. @default 1 */
  groups?: number
  /** @default true */
  bias?: boolean
}

/** Turns one number, or one for each axis, into what the operation takes. */
type SizeOf<S, T> = (value: S, name: string, op: string, least?: number) => T

/** A convolution with kernels of sizes T: a number, or a pair. */
export abstract class Conv<S, T> extends Module {
  readonly weight: Variable
  readonly bias: Variable | undefined
  readonly stride: T
  readonly padding: T
  readonly dilation: T
  readonly groups: number

  protected constructor(
    [inChannels, outChannels]: readonly [number, number],
    kernel: S,
    options: ConvLayerOptions<S>,
    sizeOf: SizeOf<S, T>,
    transposed: boolean,
  ) {
    super()
    const op = new.target.name
    const { stride, padding, dilation, groups = 1, bias = true, ...place } = needOptions(options, op)
    whole(inChannels, 'inChannels', op, 1)
    whole(outChannels, 'outChannels', op, 1)
    this.groups = whole(groups, 'groups', op, 1)
    if (inChannels % groups !== 0 || outChannels % groups !== 0) {
      throw new ArgumentError(
        `${op}: groups must divide both ${inChannels} and ${outChannels} channels, got ${groups}`,
        { op, expected: 'a divisor', got: String(groups) },
      )
    }
    const sizes = [sizeOf(kernel, 'kernel', op, 1)].flat() as number[]
    this.stride = sizeOf(stride ?? (1 as S), 'stride', op, 1)
    this.padding = sizeOf(padding ?? (0 as S), 'padding', op)
    this.dilation = sizeOf(dilation ?? (1 as S), 'dilation', op, 1)
    const [first, second] = transposed ? [inChannels, outChannels / groups] : [outChannels, inChannels / groups]
    const bound = 1 / Math.sqrt(sizes.reduce((product, size) => product * size, second))
    this.weight = uniform([first, second, ...sizes], -bound, bound, place)
    this.bias = bias ? uniform([outChannels], -bound, bound, place) : undefined
  }
}
