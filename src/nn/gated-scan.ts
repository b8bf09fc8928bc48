// Recurrences whose gates do not read the state, as functions: one layer in one direction.
import { ArgumentError } from '../errors.js'
import { norms } from '../tensor/ops/gated-scan.js'
import { needOptions } from '../tensor/options.js'
import { record } from '../tensor/record.js'
import { call, type Tensor } from '../tensor/tensor.js'
import { told } from '../told.js'
import { type HiddenState, lengthsTensor, outputAndState, type ScanOptions } from './sequence.js'

export interface MinimalOptions extends ScanOptions {
  /** Makes candidates positive: g(x) = x + ½ from 0 on, σ(x) below (appendix B of the paper). Otherwise g(x) = x. @default false */
  positive?: boolean
}

/**
 * The gated linear scan, unit by unit: h_t = a_t ⊙ h_(t−1) + b_t.
 *
 * Shapes: a, b [B, T, H] → output [B, T, H], all h_t; state.h [B, H], absent: zeros. float32, float64 and bfloat16 on the
 * CPU; sums in the same dtype, of bfloat16 in float32.
 * Gradients for a, b and the state, once. Errors: `ERR_SHAPE`, `ERR_DTYPE`, `ERR_DEVICE`; `ERR_RANGE` for a length outside 0 … T.
 * Not in torch. Source: Martin and Cundy 2018, section 2.2.
 */
export function gatedScan(
  a: Tensor,
  b: Tensor,
  state?: HiddenState,
  given: ScanOptions = {},
): { output: Tensor; state: HiddenState } {
  const { reverse = false, lengths } = needOptions(given, 'gatedScan')
  const rows = lengthsTensor(lengths, a, 'gatedScan')
  return outputAndState(record('gatedScan', [a, b, state?.h, rows], { reverse }))
}

/**
 * The minGRU over pre-activations, a linear map of the input that the caller makes:
 * ```
 * z = σ(p_z)      c = g(p_c)      h' = (1 − z) ⊙ h + z ⊙ c
 * ```
 * Shapes: p [B, T, 2·H], columns in the order z, c → output [B, T, H]; state.h [B, H], absent: zeros. float32, float64 and bfloat16 on the CPU. Gradients
 * for p and the state, once. Errors: as `gatedScan`. Not in torch. Source: Feng et al. 2024 (Were RNNs All We Needed?), section 3.1.
 */
export function minGRU(
  p: Tensor,
  state?: HiddenState,
  given: MinimalOptions = {},
): { output: Tensor; state: HiddenState } {
  const { positive = false, reverse = false, lengths } = needOptions(given, 'minGRU')
  return outputAndState(record('minGRU', [p, state?.h, lengthsTensor(lengths, p, 'minGRU')], { positive, reverse }))
}

/**
 * The minLSTM over pre-activations, a linear map of the input that the caller makes:
 * ```
 * f = σ(p_f)      i = σ(p_i)      c = g(p_c)      h' = f/(f + i) ⊙ h + i/(f + i) ⊙ c
 * ```
 * Shapes: p [B, T, 3·H], columns in the order f, i, c → output [B, T, H]; state.h [B, H], absent: zeros. float32, float64 and bfloat16 on the CPU.
 * Gradients for p and the state, once. Errors: as `gatedScan`. Not in torch. Source: Feng et al. 2024 (Were RNNs All We Needed?), section 3.2.
 */
export function minLSTM(
  p: Tensor,
  state?: HiddenState,
  given: MinimalOptions = {},
): { output: Tensor; state: HiddenState } {
  const { positive = false, reverse = false, lengths } = needOptions(given, 'minLSTM')
  return outputAndState(record('minLSTM', [p, state?.h, lengthsTensor(lengths, p, 'minLSTM')], { positive, reverse }))
}

/** The norm of the input of a cell; weight and bias [I]. */
export interface CellNorm {
  kind: 'layer' | 'rms'
  weight?: Tensor | undefined
  /** Of a layer norm. */
  bias?: Tensor | undefined
  /** @default 1e-5; of an rms norm the step of the dtype at 1 */
  eps?: number | undefined
}

/** The map of a cell's input to its pre-activations, rows gate by gate. */
export interface CellWeights {
  /** [G·H, I] */
  weightIh: Tensor
  /** [G·H] */
  biasIh?: Tensor | undefined
}

export interface MinimalCellOptions {
  /** As of `minLSTM`. @default false */
  positive?: boolean
  /** Normalises x first, in the same operation. @default none */
  norm?: CellNorm | undefined
}

/**
 * One step of a minGRU with its map of the input: `minGRU(linear(norm(x), weightIh, biasIh))`, which says what it computes.
 *
 * Shapes: x [B, I], state.h [B, H], weightIh [2·H, I], biasIh [2·H] → h [B, H]. Where no gradient is recorded, up to four rows of float32 are one
 * operation of our kernels, on one thread. Errors: as `gatedScan`. Not in torch. Source: Feng et al. 2024, section 3.1.
 */
export function minGRUCell(
  x: Tensor,
  state: HiddenState,
  weights: CellWeights,
  options: MinimalCellOptions = {},
): HiddenState {
  return minimalCell('minGRUCell', x, state, weights, options)
}

/** One step of a minLSTM, as `minGRUCell`: weightIh [3·H, I], biasIh [3·H]. Source: Feng et al. 2024, section 3.2. */
export function minLSTMCell(
  x: Tensor,
  state: HiddenState,
  weights: CellWeights,
  options: MinimalCellOptions = {},
): HiddenState {
  return minimalCell('minLSTMCell', x, state, weights, options)
}

function minimalCell(
  op: 'minGRUCell' | 'minLSTMCell',
  x: Tensor,
  state: HiddenState,
  weights: CellWeights,
  options: MinimalCellOptions,
): HiddenState {
  const { positive = false, norm } = needOptions(options, op)
  const { weightIh, biasIh } = needOptions(weights, op, 'weights')
  const { h } = needOptions(state, op, 'state')
  if (norm === undefined)
    return { h: call(op, [x, h, weightIh, biasIh, undefined, undefined], { positive, norm: 'none', eps: 0 }) }
  const { kind, weight, bias, eps = kind === 'rms' ? Number.NaN : 1e-5 } = needOptions(norm, op, 'norm')
  if (!Object.hasOwn(norms, kind)) {
    const expected = 'layer or rms'
    throw new ArgumentError(`${op}: kind must be ${expected}, got ${told(kind)}`, { op, expected, got: told(kind) })
  }
  return { h: call(op, [x, h, weightIh, biasIh, weight, bias], { positive, norm: kind, eps }) }
}
