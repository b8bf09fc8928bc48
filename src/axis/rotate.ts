// rotate: the carriers along time and depth exchanged.
import { cat } from '../tensor/functions.js'
import { needOptions } from '../tensor/options.js'
import { noGrad } from '../tensor/scope.js'
import { sameShape, whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { broken, type Carrier } from './carrier.js'
import { carriers } from './carriers.js'
import { plain } from './depth.js'
import { needStack } from './need.js'
import { none } from './plain.js'
import { Stack } from './stack.js'
import type { StackOptions } from './stack-options.js'

export interface Rotated {
  stack: Stack
  /** Whether the outputs are those of the stack that was turned: E1, or E10 of the grid. */
  kept: boolean
  /** Why they are, or are not. */
  why: string
  /** Paths of parameters of the new stack that started anew. */
  fresh: string[]
}

/** The carrier on the other axis of the table's row: itself where it goes there, or the first of the row. */
function counterpart(carrier: Carrier, axis: 'time' | 'depth'): Carrier {
  if (carrier.axes.includes(axis)) return carrier
  const from = axis === 'time' ? 'depth' : 'time'
  const row = carriers.find((each) => Object.values(each[from]).some((make) => make().name === carrier.name))
  const there = row && Object.values(row[axis])[0]
  if (there === undefined)
    throw broken(carrier, `it cannot be turned: ${row?.gap ?? carrier.only ?? 'its row has no form there'}`)
  return there()
}

/**
 * A quarter turn: what was along time is along depth and the other way round, each as its row of the table has it there.
 *
 * The outputs are kept, with the weights taken over, where the turn is an identity:
 * - one layer of a carrier that goes along both axes, over a plain depth without norm or MLP, becomes a net without time, of tied layers, whose inputs
 *   lie along depth: an LSTM over T steps is that net of T layers (E1). And the same back.
 * - a tied Grid LSTM has its two sets of weights exchanged: the outputs are those of the transposed grid (E10). `layers` is then the number of steps of
 *   the old one.
 *
 * Elsewhere, carriers that are the same on both axes take their weights along as far as there are as many layers; the rest starts anew and is listed.
 *
 * @throws ArgumentError (`ERR_ARGUMENT`) where a carrier has no form along the other axis, with the reason.
 *
 * @example
 * const net = new axis.Stack({ width: 8, layers: 1, alongTime: axis.lstm(), alongDepth: axis.plain(), norm: 'none' })
 * const { stack, kept } = axis.rotate(net)
 * kept                                   // true
 * stack.forward(zeros([4, 10, 8])).shape   // [4, 10, 8], what net.forward gives
 */
export function rotate(stack: Stack, given: { layers?: number } = {}): Rotated {
  needStack(stack, 'axis.rotate')
  const layers = whole(needOptions(given, 'axis.rotate').layers ?? stack.layers, 'layers', 'axis.rotate', 1)
  const { width, alongTime, alongDepth } = stack
  if (alongDepth === undefined) return grid(stack, layers)
  if (stack.inject === 'sequence' && alongTime.name === 'none' && alongDepth.axes.includes('time')) {
    const turned = new Stack({
      width,
      layers: 1,
      alongTime: alongDepth,
      alongDepth: plain(),
      norm: 'none',
      dropout: stack.dropout,
    })
    return identity(stack, turned, 'depth', 'time')
  }
  if (
    stack.layers === 1 &&
    alongDepth.name === 'plain' &&
    stack.mlp === 0 &&
    stack.norm === 'none' &&
    stack.inject === 'first'
  ) {
    if (alongTime.axes.includes('depth')) {
      const turned = new Stack({
        width,
        layers,
        alongTime: none(),
        alongDepth: alongTime,
        tied: true,
        inject: 'sequence',
        dropout: stack.dropout,
      })
      return identity(stack, turned, 'time', 'depth')
    }
  }
  const time = counterpart(alongDepth, 'time')
  const depth = alongTime.name === 'none' || alongTime.name === 'dense' ? plain() : counterpart(alongTime, 'depth')
  const inject = stack.inject === 'sequence' ? 'first' : stack.inject
  const options: StackOptions = {
    width,
    layers,
    alongTime: time,
    alongDepth: depth,
    tied: stack.tied,
    inject,
    dropout: stack.dropout,
  }
  if (stack.mlp > 0) options.mlp = stack.mlp
  if (stack.norm !== 'none' && depth.preNorm !== false) options.norm = stack.norm
  const turned = new Stack(options)
  const why = `${alongTime.name} × ${alongDepth.name} has one set for all steps along time and ${stack.tied ? 'one for all' : 'one for each'} along depth, and its input enters at ${stack.inject === 'first' ? 'the first layer' : 'each layer'}: turned, these change places, so that only a single layer over plain depth (E1) and the grid (E10) give the same outputs`
  return {
    stack: turned,
    kept: false,
    why,
    fresh: transfer(stack, turned, (path) => turnedPath(path, stack, turned)),
  }
}

/** Where a parameter of a turned stack was before; only the same carrier has the same parameters. */
function turnedPath(path: string, from: Stack, to: Stack): string | undefined {
  if (path.includes('.time.'))
    return to.alongTime.name === from.alongDepth?.name ? path.replace('.time.', '.depth.') : undefined
  if (path.includes('.depth.'))
    return to.alongDepth?.name === from.alongTime.name ? path.replace('.depth.', '.time.') : undefined
  return path
}

function identity(from: Stack, to: Stack, source: string, target: string): Rotated {
  const fresh = transfer(from, to, (path) => path.replace(`.${target}.`, `.${source}.`))
  const why = 'E1: a recurrence over its steps is a net of tied layers whose inputs are injected one at each'
  return { stack: to, kept: from.dropout === 0 && fresh.length === 0, why, fresh }
}

function grid(stack: Stack, layers: number): Rotated {
  const { alongTime, width, tied } = stack
  if (alongTime.name !== 'gridLSTM')
    throw broken(
      alongTime,
      'it cannot be turned: its steps along depth are micro-steps within one step along time, and the two are not alike',
    )
  if (!tied && layers !== stack.layers)
    throw broken(alongTime, `without tied layers the turned grid has as many layers, ${stack.layers}, got ${layers}`)
  const turned = new Stack({ width, layers, alongTime, tied })
  const swap = (path: string): string =>
    path.replace(/\.(time|depth)\.(weight|bias)$/, (_, axis, name) => `.${axis === 'time' ? 'depth' : 'time'}.${name}`)
  const fresh = transfer(stack, turned, swap, true)
  const why = tied
    ? 'E10: the transposed grid with its two sets of weights exchanged; what was handed upwards is now the state, and the other way round'
    : 'weights differ from layer to layer and not from step to step: transposed, they would have to differ from step to step'
  return { stack: turned, kept: tied, why, fresh }
}

/** Takes over what has the same shape at the old path, where the same carrier had it; the paths of the rest. */
function transfer(from: Stack, to: Stack, oldPath: (path: string) => string | undefined, halves = false): string[] {
  const old = from.namedParameters()
  const first = old.values().next().value
  if (first) to.to(first.device).to(first.dtype as 'float32')
  to.train(from.training)
  const fresh: string[] = []
  noGrad(() => {
    for (const [path, variable] of to.namedParameters()) {
      const source = old.get(oldPath(path) ?? '')
      if (source === undefined || !sameShape(source.shape, variable.shape)) fresh.push(path)
      else variable.assign(halves ? exchanged(path, source) : source)
    }
  })
  return fresh
}

/** The columns of h_time and h_depth change places with the axes. */
function exchanged(path: string, source: Tensor): Tensor {
  if (!path.endsWith('.weight')) return source
  const half = (source.shape[1] as number) / 2
  return cat([source.slice(1, half), source.slice(1, 0, half)], 1)
}
