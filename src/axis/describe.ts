// describe: the row of the table that a Stack is, and what it costs.

import type { DType } from '../tensor/dtype.js'
import { needOptions } from '../tensor/options.js'
import { whole } from '../tensor/shape.js'
import { tensorsIn } from '../tensor/tree.js'
import type { Carrier, Form, Row } from './carrier.js'
import { formOf } from './forms.js'
import { needStack } from './need.js'
import type { Stack } from './stack.js'
import type { Inject } from './stack-options.js'

/** What is along one axis. */
export interface AxisDescription extends Row {
  carrier: string
  equation: string
  source: string
  tied: boolean
  /** Where the input enters. */
  injected: 'each step' | 'the first step'
}

export interface Description {
  time: AxisDescription
  /** None where one carrier fills both axes. */
  depth: AxisDescription | undefined
  form: Form
  /** Length of the longest chain of steps that wait for each other, of `steps` along time. */
  serialSteps: number
  parameters: number
  /** Of the forward pass over `steps` steps of one row: multiply-adds times two. NaN where a carrier of one's own does not say. */
  flops: number
  /** Of one row's state along time, after `steps` steps. */
  stateBytes: number
  /** Whether a step of the stream costs more, the later it is. */
  grows: boolean
  /** The seven switches between a recurrence and a residual network, each as this stack has it along depth. */
  switches: Readonly<Record<'tied' | 'injected' | 'a, b' | 'readout' | 'phi' | 'norm' | 'stages', string>>
  /** All of it in a few lines. */
  toString(): string
}

const INJECTED: Readonly<Record<Inject, AxisDescription['injected']>> = {
  first: 'the first step',
  each: 'each step',
  sequence: 'each step',
}

const BYTES: Partial<Record<DType, number>> = { float64: 8, bfloat16: 2 }

/** Steps of a chunk are one product; a scan of T steps has ⌈log₂ T⌉ levels; layers of a recurrence can run as a wavefront, T + L − 1. */
function serial(form: Form, steps: number, layers: number): number {
  if (form === 'direct') return layers
  if (form === 'scan') return layers * Math.max(1, Math.ceil(Math.log2(steps)))
  if (form === 'chunked') return layers * Math.ceil(steps / 16)
  return steps + layers - 1
}

/**
 * The row of the table: a, b, tied, injected; serial steps, parameters, FLOPs, bytes of state, and the form that time is computed in, all for
 * `steps` steps along time. Shown as text by `String(…)` and the console.
 *
 * @example
 * const net = new axis.Stack({ width: 64, layers: 6, alongTime: axis.lstm(), alongDepth: axis.residual() })
 * String(axis.describe(net, { steps: 100 })).includes('serial steps 105')   // true
 */
export function describe(stack: Stack, given: { steps?: number } = {}): Description {
  needStack(stack, 'axis.describe')
  const steps = whole(needOptions(given, 'axis.describe').steps ?? 256, 'steps', 'axis.describe', 1)
  const { alongTime, alongDepth, layers, width, perLayer, mlp } = stack
  const form = formOf(alongTime, steps, stack.form)
  const writes = layers * perLayer
  const depthFlops = alongDepth?.flops({ width, steps: writes }) ?? 0
  const mlpFlops = mlp > 0 ? 4 * width * Math.round(mlp * width) : 0
  const flops = steps * (layers * (alongTime.flops({ width, steps }) + mlpFlops) + writes * depthFlops)
  const states = tensorsIn(stack.initialState({ batch: 1 }).time)
  const bytes = BYTES[stack.parameters()[0]?.dtype ?? 'float32'] ?? 4
  const grown = alongTime.grows ? layers * 2 * width * steps : 0
  const stateBytes = bytes * (grown + states.reduce((sum, { size }) => sum + size, 0))
  const fixed = {
    form,
    serialSteps: stack.inject === 'sequence' ? layers : serial(form, steps, layers),
    parameters: stack.parameters().reduce((sum, { size }) => sum + size, 0),
    flops,
    stateBytes,
    grows: alongTime.grows ?? false,
  }
  const time = axisOf(alongTime, true, 'each step')
  const depth = alongDepth && axisOf(alongDepth, stack.tied, INJECTED[stack.inject])
  const row = (alongDepth ?? alongTime).row
  const switches = {
    tied: stack.tied ? 'one set for all layers' : 'a set for each layer',
    injected: INJECTED[stack.inject],
    'a, b': `${row.a}, ${row.b}`,
    readout: row.readout ?? 's itself',
    phi: row.phi ?? 'identity',
    norm: stack.norm === 'none' ? 'none' : `${stack.norm} norm, statistics of each layer`,
    stages: `none: width ${width} throughout`,
  }
  const told = { time, depth, ...fixed, switches, toString: () => lines(told, steps) }
  return told
}

function axisOf(carrier: Carrier, tied: boolean, injected: AxisDescription['injected']): AxisDescription {
  const { name, equation, source, row } = carrier
  return { carrier: name, equation, source, ...row, tied, injected }
}

function lines({ time, depth, ...costs }: Description, steps: number): string {
  const line = (axis: string, { carrier, a, b, tied, injected, equation }: AxisDescription): string =>
    `along ${axis} ${carrier}: a = ${a}, b = ${b} · ${tied ? 'tied' : 'untied'}, injected at ${injected} · ${equation}`
  return [
    line(depth === undefined ? 'time and depth' : 'time', time),
    ...(depth === undefined ? [] : [line('depth', depth)]),
    `${steps} steps, ${costs.form} · serial steps ${costs.serialSteps} · ${costs.parameters} parameters · ${costs.flops} FLOPs a row · ` +
      `${costs.stateBytes} bytes of state a row${costs.grows ? ', growing' : ''}`,
  ].join('\n')
}
