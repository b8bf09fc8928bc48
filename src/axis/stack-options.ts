// What a Stack is made of, checked once: carriers on their axes, options that fit together.
import { ArgumentError } from '../errors.js'
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import { told } from '../told.js'
import { broken, type Carrier, type Form, needCarrier } from './carrier.js'
import { residual } from './depth.js'

export const OP = 'axis.Stack'

/**
 * Where the input enters along depth. `first`: it is the stream that layer 0 reads. `each`: the stream starts at the initial state and every layer
 * reads the input beside it, as every step of a recurrence does. `sequence`: as `each`, and x [B, L, width] lies along depth, layer k being given x_k.
 */
export type Inject = 'first' | 'each' | 'sequence'

export interface StackOptions {
  width: number
  layers: number
  alongTime: Carrier
  /** Not for a carrier that fills both axes. @default residual() */
  alongDepth?: Carrier
  /** A second write of each layer, W₂ gelu(W₁ r + b₁) + b₂: true for 4 times the width between, or the factor. @default false */
  mlp?: boolean | number
  /** What a layer reads is the stream, normalised: the statistics are those of each layer. @default 'layer', or 'none' where the carrier says so */
  norm?: 'layer' | 'rms' | 'none'
  /** One set of parameters for all layers, as a recurrence has one for all steps. @default false */
  tied?: boolean
  /** @default 'first' */
  inject?: Inject
  /** Probability of dropping an element that a layer writes, in training. @default 0 */
  dropout?: number
  /** How time is computed; 'auto' is the measured rule of forms.ts. @default 'auto' */
  form?: Form | 'auto'
  /** What is computed again in the backward pass instead of kept: the steps within about √T stretches, or all within a layer. */
  checkpoint?: 'time' | 'depth' | 'none'
}

/** The options with what was left out. */
export interface Settled {
  width: number
  layers: number
  alongTime: Carrier
  /** None where one carrier fills both axes. */
  alongDepth: Carrier | undefined
  /** Factor of the width; 0 for none. */
  mlp: number
  norm: 'layer' | 'rms' | 'none'
  tied: boolean
  inject: Inject
  dropout: number
  form: Form | 'auto'
  checkpoint: 'time' | 'depth' | 'none'
}

/** @throws ArgumentError (`ERR_ARGUMENT`) that names the option, or the carrier and the rule it breaks. */
export function settled(given: StackOptions): Settled {
  const options = needOptions(given, OP)
  const {
    tied = false,
    inject = 'first',
    dropout = 0,
    form = 'auto',
    checkpoint = 'none',
    mlp: between = false,
  } = options
  const width = whole(options.width, 'width', OP, 1)
  const layers = whole(options.layers, 'layers', OP, 1)
  const alongTime = along('time', options.alongTime, 'alongTime')
  const fillsBoth = alongTime.axes.includes('both')
  if (fillsBoth && options.alongDepth !== undefined && options.alongDepth.name !== alongTime.name)
    throw broken(alongTime, `it fills both axes: alongDepth must be left out, got ${told(options.alongDepth?.name)}`)
  const alongDepth = fillsBoth ? undefined : along('depth', options.alongDepth ?? residual(), 'alongDepth')
  const bare = alongDepth === undefined || alongDepth.preNorm === false || alongTime.name === 'none'
  const norm = options.norm ?? (bare ? 'none' : 'layer')
  oneOf('norm', norm, ['layer', 'rms', 'none'])
  oneOf('inject', inject, ['first', 'each', 'sequence'])
  oneOf('form', form, ['auto', 'recurrent', 'scan', 'chunked', 'direct'])
  oneOf('checkpoint', checkpoint, ['none', 'time', 'depth'])
  if (form !== 'auto' && form !== 'recurrent' && form !== alongTime.parallelForm)
    throw broken(alongTime, `form must be recurrent or ${alongTime.parallelForm ?? 'auto'}, got ${form}`)
  if (typeof tied !== 'boolean') throw bad('tied', 'true or false', tied)
  if (!(typeof dropout === 'number' && dropout >= 0 && dropout < 1)) throw bad('dropout', '0 … 1, below 1', dropout)
  const mlp = between === true ? 4 : between === false ? 0 : between
  if (!(Number.isFinite(mlp) && mlp >= 0)) throw bad('mlp', 'a boolean or a factor of the width', between)
  if (fillsBoth && (mlp > 0 || inject !== 'first' || norm !== 'none'))
    throw broken(alongTime, 'it fills both axes: mlp, inject and norm have no place')
  if (inject === 'sequence' && !tied)
    throw bad('tied', 'true where the input lies along depth: one set serves every step', tied)
  return { width, layers, alongTime, alongDepth, mlp, norm, tied, inject, dropout, form, checkpoint }
}

function along(axis: 'time' | 'depth', given: Carrier | undefined, option: string): Carrier {
  const carrier = needCarrier(given, OP, option)
  const there = carrier.other?.(axis) ?? carrier
  if (there.axes.includes(axis) || (axis === 'time' && there.axes.includes('both'))) return there
  throw broken(
    carrier,
    `it has no meaning along ${axis}: ${carrier.only ?? `it goes along ${carrier.axes.join(' and ')}`}`,
    {
      expected: `a carrier along ${axis}`,
      got: carrier.name,
    },
  )
}

function oneOf(name: string, value: unknown, allowed: readonly string[]): void {
  if (!allowed.includes(value as string)) throw bad(name, allowed.join(', '), value)
}

function bad(name: string, expected: string, got: unknown): ArgumentError {
  return new ArgumentError(`${OP}: ${name} must be ${expected}, got ${told(got)}`, { op: OP, expected, got: told(got) })
}
