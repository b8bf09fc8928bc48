// The table: each row is one way to carry a stream, along time and along depth. Everything generated (tests, docs, rotations) reads it.
import { attention } from './attention.js'
import { gridLSTM, recurrentHighway } from './both.js'
import type { Carrier } from './carrier.js'
import { longConvolution } from './convolution.js'
import { deltaNet } from './delta-net.js'
import * as depth from './depth.js'
import * as diagonal from './diagonal.js'
import * as gated from './gated.js'
import * as linear from './linear.js'
import * as matrix from './matrix.js'
import * as mixing from './mixing.js'
import * as own from './own-gates.js'
import * as plain from './plain.js'

/** A way to carry on: by name, the carriers along time and along depth; where one of the two has none, why. */
export interface TableRow {
  mixer: string
  time: Readonly<Record<string, () => Carrier>>
  depth: Readonly<Record<string, () => Carrier>>
  both?: Readonly<Record<string, () => Carrier>>
  gap?: string
}

/** The product's central table; the first carrier of a row is what a rotation puts in the place of those of the other axis. */
export const carriers: readonly TableRow[] = [
  { mixer: 'plain map', time: { elman: plain.elman }, depth: { plain: depth.plain, elman: plain.elman } },
  {
    mixer: 'identity integrator, a = b = 1',
    time: { residualRNN: plain.residualRNN },
    depth: { residual: depth.residual, residualRNN: plain.residualRNN },
  },
  {
    mixer: 'a = 1, scaled or gated write',
    time: { lstm1997: () => gated.lstm({ forgetGate: false }) },
    depth: { reZero: depth.reZero, layerScale: depth.layerScale },
  },
  {
    mixer: 'coupled gates, b = 1 − a',
    time: {
      gru: gated.gru,
      janet: gated.janet,
      minGRU: linear.minGRU,
      paraGRU: own.paraGRU,
      paraLSTM: own.paraLSTM,
      coupledLSTM: () => gated.lstm({ coupled: true }),
    },
    depth: { highway: depth.highway, gruOverDepth: gated.gru },
  },
  {
    mixer: 'free gates',
    time: {
      lstm: gated.lstm,
      peepholeLSTM: () => gated.lstm({ peepholes: true }),
      minLSTM: linear.minLSTM,
      sLSTM: own.sLSTM,
      ssm: diagonal.ssm,
    },
    depth: { fullHighway: depth.fullHighway, lstmOverDepth: gated.lstm },
  },
  {
    mixer: 'fixed or learned decay',
    time: { ema: linear.ema, lru: diagonal.lru },
    depth: { scaled: depth.scaled, ema: linear.ema },
  },
  { mixer: 'random keep', time: { zoneout: plain.zoneout }, depth: { stochasticDepth: depth.stochasticDepth } },
  {
    mixer: 'matrix state',
    time: {
      gatedLinearAttention: matrix.gatedLinearAttention,
      linearAttention: matrix.linearAttention,
      deltaNet,
      retention: matrix.retention,
    },
    depth: { hyperConnections: mixing.hyperConnections },
  },
  {
    mixer: 'static dense weights',
    time: { longConvolution },
    depth: { denseFormer: mixing.denseFormer },
  },
  {
    mixer: 'softmax attention',
    time: { attention },
    depth: {
      attentionResiduals: mixing.attentionResiduals,
      blockAttentionResiduals: () => mixing.attentionResiduals({ block: 2 }),
    },
  },
  { mixer: 'both axes at once', time: {}, depth: {}, both: { gridLSTM, recurrentHighway } },
  {
    mixer: 'norm on the carry',
    time: {},
    depth: { postNorm: depth.postNorm },
    gap: 'a state that is normalised at every step is no integrator: nothing of it is built along time',
  },
]
