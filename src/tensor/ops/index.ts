// The table of operations. The addon has the same names; src/tensor/queue.ts looks their codes up when it is loaded.
import { attention } from './attention.js'
import { control } from './control.js'
import { convolutions } from './convolution.js'
import { create } from './create.js'
import { deltaRule } from './delta-rule.js'
import { diagonal } from './diagonal.js'
import { elementwise } from './elementwise.js'
import { gatedScan } from './gated-scan.js'
import { linalg } from './linalg.js'
import { loss } from './loss.js'
import { nn } from './nn.js'
import { recurrent } from './recurrent.js'
import { reduce } from './reduce.js'
import { residual } from './residual.js'
import { select } from './select.js'
import { shape } from './shape.js'
import { slstm } from './slstm.js'
import type { OpSpec } from './spec.js'

export const ops = {
  ...attention,
  ...control,
  ...convolutions,
  ...create,
  ...deltaRule,
  ...diagonal,
  ...elementwise,
  ...gatedScan,
  ...linalg,
  ...loss,
  ...nn,
  ...recurrent,
  ...reduce,
  ...residual,
  ...select,
  ...shape,
  ...slstm,
}

export type OpName = keyof typeof ops
export type Attributes<N extends OpName> = (typeof ops)[N] extends OpSpec<infer A> ? A : never
