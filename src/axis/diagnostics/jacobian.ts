// How gradients pass along an axis: their norm at every step, and the Jacobian from one state to another with its spectrum.
import { ArgumentError } from '../../errors.js'
import { stack as joined, svd } from '../../tensor/functions.js'
import { grad } from '../../tensor/grad.js'
import { needFunction } from '../../tensor/options.js'
import { normal } from '../../tensor/random.js'
import { whole } from '../../tensor/shape.js'
import type { Tensor } from '../../tensor/tensor.js'
import { told } from '../../told.js'
import { needTrace, type Trace } from './trace.js'

export interface GradientNorms {
  /** ‖∂L/∂s_k‖ for every point, all parts and rows together. */
  norms: number[]
  /** Growth of the norm per step towards the start, in nats: −(slope of ln norm against k) by least squares. Positive: gradients explode. */
  exponent: number
}

/**
 * Gradient norm against step. L is `loss` of the last point, by default ⟨v, s_K⟩ for a random direction v with ‖v‖ = 1 over all entries.
 * Norms that are 0 leave the exponent −∞. Source: Pascanu et al. 2013 for the quantity; the same code for time and depth is ours.
 */
export async function gradientNorms(
  trace: Trace,
  loss: (last: readonly Tensor[]) => Tensor = randomDirection,
): Promise<GradientNorms> {
  const { points } = needTrace(trace, 'axis.gradientNorms')
  needFunction(loss, 'axis.gradientNorms', 'loss')
  const last = points.at(-1) as readonly Tensor[]
  const gradients = grad(loss(last), points.flat(), { unused: 'zeros', retain: true })
  const norms = await Promise.all(
    points.map(async (parts) => {
      const each = await Promise.all(parts.map((part) => gradients.get(part).norm().item()))
      return Math.hypot(...each.map(Number))
    }),
  )
  return { norms, exponent: norms.includes(0) ? -Infinity : -slope(norms.map(Math.log)) }
}

function randomDirection(last: readonly Tensor[]): Tensor {
  const count = last.reduce((sum, part) => sum + part.size, 0)
  const terms = last.map((part) => part.mul(normal(part.shape, 0, 1, { device: part.device }).to(part.dtype)).sum())
  return (terms.slice(1).reduce((sum, term) => sum.add(term), terms[0] as Tensor) as Tensor).div(Math.sqrt(count))
}

/** By least squares over 0, 1, 2, … */
function slope(values: readonly number[]): number {
  const middle = (values.length - 1) / 2
  const squares = values.reduce((sum, _, k) => sum + (k - middle) ** 2, 0)
  return values.reduce((sum, value, k) => sum + (k - middle) * value, 0) / squares
}

/**
 * ∂s_to/∂s_from of one row, [m, n]: m and n count all entries of that row over the parts of the states, in order. One backward pass for every entry
 * of s_to. Rows must be independent between the two points, as they are along time and depth in evaluation.
 */
export function jacobian(trace: Trace, from: number, to: number, row = 0): Tensor {
  const op = 'axis.jacobian'
  const { points } = needTrace(trace, op)
  const [start, end] = [points[from], points[to]]
  if (start === undefined || end === undefined || from >= to) {
    const got = `${told(from)} and ${told(to)}`
    throw new ArgumentError(`${op}: from and to must be points 0 … ${points.length - 1}, from before to, got ${got}`, {
      op,
      expected: `0 … ${points.length - 1}`,
      got,
    })
  }
  whole(row, 'row', op, 0, (end[0]?.shape[0] ?? 1) - 1)
  const rows: Tensor[] = []
  for (const part of end) {
    const entries = part.select(0, row).flatten()
    for (let j = 0; j < entries.size; j++) {
      const gradients = grad(entries.select(0, j), start, { retain: true, unused: 'zeros' })
      const parts = start.map((of) => gradients.get(of).select(0, row).flatten())
      rows.push(parts.length === 1 ? (parts[0] as Tensor) : joinedFlat(parts))
    }
  }
  return joined(rows)
}

function joinedFlat(parts: readonly Tensor[]): Tensor {
  const sizes = new Set(parts.map(({ size }) => size))
  if (sizes.size === 1) return joined(parts).flatten()
  throw new ArgumentError('axis.jacobian: the parts of a state must be of one size', { op: 'axis.jacobian' })
}

export interface Spectrum {
  /** Descending. */
  singularValues: number[]
  /** e^H of the singular values as shares of their sum: how many directions come through (Roy and Vetterli 2007). */
  effectiveRank: number
  median: number
  /** The largest. */
  norm: number
}

/** The singular values of a Jacobian [m, n] and what they say: a gradient whose norm stays may still have lost all directions but one. */
export async function spectrum(matrix: Tensor): Promise<Spectrum> {
  const singularValues = Array.from((await svd(matrix).s.data()) as ArrayLike<number>)
  const sum = singularValues.reduce((total, s) => total + s, 0)
  const entropy = singularValues.reduce((total, s) => (s > 0 ? total - (s / sum) * Math.log(s / sum) : total), 0)
  const middle = (singularValues.length - 1) / 2
  const [low, high] = [singularValues[Math.floor(middle)] as number, singularValues[Math.ceil(middle)] as number]
  return {
    singularValues,
    effectiveRank: Math.exp(entropy),
    median: (low + high) / 2,
    norm: singularValues[0] as number,
  }
}
