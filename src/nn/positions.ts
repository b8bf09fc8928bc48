// SinusoidalPositions and LearnedPositions: what tells attention the order of a sequence. `functional.rotary` turns queries and keys instead.

import { ArgumentError, ShapeError } from '../errors.js'
import { stack } from '../tensor/functions.js'
import { needOptions } from '../tensor/options.js'
import { isRecording } from '../tensor/queue.js'
import { needTensor } from '../tensor/record.js'
import { noGrad, scope } from '../tensor/scope.js'
import { show, whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { Variable } from '../tensor/variable.js'
import { normal } from './init.js'
import type { ParameterOptions } from './linear.js'
import { Module } from './module.js'
import { angles } from './rotary.js'

function needSequence(x: Tensor, width: number, op: string): number {
  needTensor(x, op, 'the input')
  const [, T, E] = x.shape
  if (x.rank === 3 && E === width) return T as number
  const [expected, got] = [`[B, T, E=${width}]`, show(x.shape)]
  throw new ShapeError(`${op}: input must be ${expected}, got ${got}`, { op, expected, got })
}

function even(width: number, op: string): number {
  whole(width, 'width', op, 2)
  if (width % 2 === 0) return width
  const [expected, got] = ['even', String(width)]
  throw new ArgumentError(`${op}: width must be ${expected}, got ${got}`, { op, expected, got })
}

/**
 * x + P with P[t, 2i] = sin(t / 10000^(2i/E)) and P[t, 2i + 1] = cos(t / 10000^(2i/E)): fixed, for sequences of any length.
 *
 * Shapes: x [B, T, E] → [B, T, E], E even; `offset` is the position of the first step, for a sequence that goes on. It has no parameters.
 * Errors: `ERR_SHAPE`, `ERR_ARGUMENT`. Not in torch. Source: Vaswani et al. 2017, §3.5.
 *
 * @example
 * new nn.SinusoidalPositions(16).forward(zeros([2, 5, 16])).shape   // [2, 5, 16]
 */
export class SinusoidalPositions extends Module {
  readonly width: number
  /** The rows made so far: private fields are not part of the state. */
  #rows: Variable | undefined

  constructor(width: number) {
    super()
    this.width = even(width, 'SinusoidalPositions')
  }

  forward(x: Tensor, given: { offset?: number } = {}): Tensor {
    const { offset = 0 } = needOptions(given, 'sinusoidalPositions')
    const op = 'sinusoidalPositions'
    const end = whole(offset, 'offset', op) + needSequence(x, this.width, op)
    return scope(() => x.add(this.#upTo(end, x).slice(0, offset, end)))
  }

  #upTo(length: number, like: Tensor): Tensor {
    const known = this.#rows
    if (known && known.dtype === like.dtype && known.device === like.device && (known.shape[0] as number) >= length)
      return known
    const make = (rows: number): Tensor => {
      const turned = angles(rows, this.width, 10_000, like)
      return stack([turned.sin(), turned.cos()], 2).reshape([rows, this.width]).to(like.dtype)
    }
    // What is made within a recorded function stays there.
    if (isRecording()) return make(length)
    known?.dispose()
    const rows = noGrad(
      () => new Variable(make(2 ** Math.ceil(Math.log2(Math.max(length, 64)))), { requiresGrad: false }),
    )
    this.#rows = rows
    return rows
  }
}

/**
 * x + weight[offset … offset + T − 1]: a learnt vector for every position.
 *
 * Shapes: x [B, T, E] → [B, T, E]; weight [N, E], starting normal with deviation 0.02. Errors: `ERR_SHAPE` for a sequence that goes beyond N.
 * Not in torch; the same as an `nn.Embedding` of the positions. Source: Gehring et al. 2017, §3.1.
 *
 * @example
 * new nn.LearnedPositions(512, 16).forward(zeros([2, 5, 16])).shape   // [2, 5, 16]
 */
export class LearnedPositions extends Module {
  readonly weight: Variable

  constructor(maxLength: number, width: number, options: ParameterOptions = {}) {
    super()
    const op = 'LearnedPositions'
    this.weight = normal([whole(maxLength, 'maxLength', op, 1), whole(width, 'width', op, 1)], 0, 0.02, options)
  }

  forward(x: Tensor, given: { offset?: number } = {}): Tensor {
    const { offset = 0 } = needOptions(given, 'learnedPositions')
    const op = 'learnedPositions'
    const [rows, width] = this.weight.shape as [number, number]
    const end = whole(offset, 'offset', op) + needSequence(x, width, op)
    if (end > rows) {
      const [expected, got] = [`at most ${rows} positions`, String(end)]
      throw new ShapeError(`${op}: there are ${expected}, got ${got}`, { op, expected, got })
    }
    return scope(() => x.add(this.weight.slice(0, offset, end)))
  }
}
