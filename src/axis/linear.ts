// Carriers whose step is linear in the state: a and b read the input alone, so that time is a scan.
import {
  type CellNorm,
  gatedScan,
  linear,
  minGRUCell,
  minGRU as minGRUSequence,
  minLSTMCell,
  minLSTM as minLSTMSequence,
} from '../nn/functional.js'
import { uniform } from '../nn/init.js'
import { LayerNorm } from '../nn/layer-norm.js'
import { Linear } from '../nn/linear.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import type { Carrier, Norm, Stepped } from './carrier.js'
import { stream } from './plain.js'

type Gates = { weightIh: Variable; biasIh: Variable }
type Hidden = { h: Tensor }

function gates(count: number, width: number): Gates {
  const bound = 1 / Math.sqrt(width)
  return { weightIh: uniform([count * width, width], -bound, bound), biasIh: uniform([count * width], -bound, bound) }
}

function streamed(
  cell: typeof minLSTMCell,
  parameters: Gates,
  state: Hidden,
  x: Tensor,
  norm: Norm | undefined,
): Stepped<Hidden> {
  const next = cell(x, state, parameters, { norm: norm && asOption(norm) })
  return { state: next, output: next.h }
}

function asOption(norm: Norm): CellNorm {
  return norm instanceof LayerNorm
    ? { kind: 'layer', weight: norm.weight, bias: norm.bias, eps: norm.eps }
    : { kind: 'rms', weight: norm.weight, eps: norm.eps }
}

/** Weights as those of `nn.MinLSTM`: rows in the order f, i, c. */
export function minLSTM(): Carrier<Gates, Hidden> {
  return {
    name: 'minLSTM',
    equation: "h' = f/(f + i) ⊙ h + i/(f + i) ⊙ c,  f, i = σ(W x + b),  c = W_c x + b_c",
    source: 'Feng et al. 2024, section 3.2',
    axes: ['time', 'depth'],
    row: { a: 'f/(f + i)', b: 'i/(f + i)' },
    linear: true,
    parallelForm: 'scan',
    parameters: ({ width }) => gates(3, width),
    initialState: (sizes) => ({ h: stream(sizes) }),
    step({ weightIh, biasIh }, { h }, x) {
      const D = h.shape[1] as number
      const [pf, pi, c] = linear(x, weightIh, biasIh).split([D, D, D], 1) as [Tensor, Tensor, Tensor]
      const [f, i] = [pf.sigmoid(), pi.sigmoid()]
      const next = f.mul(h).add(i.mul(c)).div(f.add(i))
      return { state: { h: next }, output: next }
    },
    stream: (parameters, state, x, norm) => streamed(minLSTMCell, parameters, state, x, norm),
    parallel: ({ weightIh, biasIh }, x, state) => minLSTMSequence(linear(x, weightIh, biasIh), state),
    flops: ({ width }) => 6 * width * width,
  }
}

/** Weights as those of `nn.MinGRU`: rows in the order z, c. */
export function minGRU(): Carrier<Gates, Hidden> {
  return {
    name: 'minGRU',
    equation: "h' = (1 − z) ⊙ h + z ⊙ c,  z = σ(W x + b),  c = W_c x + b_c",
    source: 'Feng et al. 2024, section 3.1',
    axes: ['time', 'depth'],
    row: { a: '1 − z', b: 'z' },
    linear: true,
    parallelForm: 'scan',
    parameters: ({ width }) => gates(2, width),
    initialState: (sizes) => ({ h: stream(sizes) }),
    step({ weightIh, biasIh }, { h }, x) {
      const D = h.shape[1] as number
      const [pz, c] = linear(x, weightIh, biasIh).split([D, D], 1) as [Tensor, Tensor]
      const next = h.add(pz.sigmoid().mul(c.sub(h)))
      return { state: { h: next }, output: next }
    },
    stream: (parameters, state, x, norm) => streamed(minGRUCell, parameters, state, x, norm),
    parallel: ({ weightIh, biasIh }, x, state) => minGRUSequence(linear(x, weightIh, biasIh), state),
    flops: ({ width }) => 4 * width * width,
  }
}

/** One learned decay for a unit. */
export function ema(): Carrier<{ decay: Variable; write: Linear }, Hidden> {
  return {
    name: 'ema',
    equation: "h' = d ⊙ h + (1 − d) ⊙ (W x + b),  d = σ(decay)",
    source: 'the exponential average; Li et al. 2018 (IndRNN) for one decay a unit',
    axes: ['time', 'depth'],
    row: { a: 'd', b: '1 − d' },
    linear: true,
    parallelForm: 'scan',
    parameters: ({ width }) => ({ decay: uniform([width], 0, 4), write: new Linear(width, width) }),
    initialState: (sizes) => ({ h: stream(sizes) }),
    step({ decay, write }, { h }, x) {
      const v = write.forward(x)
      const next = v.add(decay.sigmoid().mul(h.sub(v)))
      return { state: { h: next }, output: next }
    },
    parallel({ decay, write }, x, state) {
      const d = decay.sigmoid()
      return gatedScan(d.expand(x.shape), write.forward(x).mul(d.neg().add(1)), state)
    },
    flops: ({ width }) => 2 * width * width,
  }
}
