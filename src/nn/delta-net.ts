// DeltaNet: the delta rule in heads, with its maps; gated, it forgets too.
import { ArgumentError, ShapeError } from '../errors.js'
import { needOptions } from '../tensor/options.js'
import { uniform as draw } from '../tensor/random.js'
import { needTensor } from '../tensor/record.js'
import { scope } from '../tensor/scope.js'
import { sameShape, show, whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import { told } from '../told.js'
import { deltaRule, type MatrixState, rmsNorm, silu, softplus } from './functional.js'
import { ones, variable } from './init.js'
import { Linear, type ParameterOptions } from './linear.js'
import { Module } from './module.js'
import type { ForwardOptions } from './stacked.js'

export interface DeltaNetOptions extends ParameterOptions {
  /** Forgets by a decay for each head and step, and gates what it reads. @default false */
  gated?: boolean
}

const EPS = 1e-5
/** What the decay starts from, as in Mamba-2: rates of 1 … 16 times steps of 0.001 … 0.1. */
const RATES = [1, 16] as const
const STEPS = [0.001, 0.1] as const

/**
 * Linear attention whose state is corrected, not only added to, in N heads of E = D/N dimensions each:
 * ```
 * q = silu(W_q x)/‖·‖   k = silu(W_k x)/‖·‖   v = silu(W_v x)   β = σ(W_β x)   r = deltaRule(q, k, v, β, α)   y = W_o (norm(r) ⊙ g)
 * ```
 * with α = 1 and g = 1, or, gated, α = exp(−e^A softplus(W_α x + b_α)) and g = silu(W_g x); norm is an RMS norm over each head. The cost of a step does not
 * depend on how many came before.
 *
 * Shapes: x [B, T, D] → output [B, T, D]; state.s [B, N, E, E], absent: zeros. Given back, the state goes on where the last call ended: a stream is calls
 * of one step each. `lengths` as in recurrent layers. float32 and float64 on the CPU.
 *
 * Errors: `ERR_SHAPE`, `ERR_DTYPE`, `ERR_DEVICE`; `ERR_ARGUMENT` where the heads do not divide D; `ERR_RANGE` for a length outside 0 … T. Not in torch.
 * Without the short convolutions of the papers: put a `nn.Conv1d` before it where they are wanted. Source: Yang et al. 2024 (Parallelizing Linear
 * Transformers with the Delta Rule), section 3; gated: Yang et al. 2025 (Gated Delta Networks), section 3.4.
 *
 * @example
 * const net = new nn.DeltaNet(16, 2, { gated: true })
 * const { output, state } = net.forward(zeros([4, 10, 16]))
 * output.shape                                       // [4, 10, 16]
 * state.s.shape                                      // [4, 2, 8, 8]
 * net.forward(zeros([4, 1, 16]), state).output.shape // [4, 1, 16]
 */
export class DeltaNet extends Module {
  readonly embedDim: number
  readonly numHeads: number
  readonly gated: boolean
  /** q, k, v side by side. */
  readonly inProj: Linear
  readonly betaProj: Linear
  readonly normWeight: Variable
  readonly outProj: Linear
  readonly decayProj: Linear | undefined
  /** A, [N] */
  readonly logRate: Variable | undefined
  readonly gateProj: Linear | undefined

  constructor(embedDim: number, numHeads: number, given: DeltaNetOptions = {}) {
    super()
    const op = 'DeltaNet'
    const { gated = false, ...place } = needOptions(given, op)
    this.embedDim = whole(embedDim, 'embedDim', op, 1)
    this.numHeads = whole(numHeads, 'numHeads', op, 1)
    if (embedDim % numHeads !== 0) {
      const [expected, got] = [`a divisor of embedDim ${embedDim}`, String(numHeads)]
      throw new ArgumentError(`${op}: numHeads must be ${expected}, got ${got}`, { op, expected, got })
    }
    if (typeof gated !== 'boolean') {
      const got = told(gated)
      throw new ArgumentError(`${op}: gated must be a boolean, got ${got}`, { op, expected: 'a boolean', got })
    }
    this.gated = gated
    const bare = { bias: false, ...place }
    this.inProj = new Linear(embedDim, 3 * embedDim, bare)
    this.betaProj = new Linear(embedDim, numHeads, bare)
    this.normWeight = ones([embedDim / numHeads], place)
    this.outProj = new Linear(embedDim, embedDim, bare)
    if (gated) {
      this.decayProj = Object.assign(new Linear(embedDim, numHeads, place), { bias: stepBias(numHeads, place) })
      this.logRate = variable(() => draw([numHeads], ...RATES, place).log())
      this.gateProj = new Linear(embedDim, embedDim, bare)
    }
  }

  /** x [B, T, D] from the state. */
  forward(x: Tensor, state?: MatrixState, given: ForwardOptions = {}): { output: Tensor; state: MatrixState } {
    const op = 'deltaNet'
    const { lengths } = needOptions(given, op)
    needTensor(x, op, 'input')
    const [D, N] = [this.embedDim, this.numHeads]
    const E = D / N
    const wrong = (what: string, expected: string, got: readonly number[]): ShapeError =>
      new ShapeError(`${op}: ${what} must be ${expected}, got ${show(got)}`, { op, expected, got: show(got) })
    if (x.rank !== 3 || x.shape[2] !== D) throw wrong('input', `[B, T, D=${D}]`, x.shape)
    const [B, T] = x.shape as [number, number]
    if (state !== undefined) {
      needTensor(state?.s, op, 'state.s')
      if (!sameShape(state.s.shape, [B, N, E, E]))
        throw wrong('state.s', `[B=${B}, N=${N}, E=${E}, E=${E}]`, state.s.shape)
    }
    return scope(() => {
      const [query, key, value] = silu(this.inProj.forward(x)).reshape([B, T, 3, N, E]).unbind(2) as [
        Tensor,
        Tensor,
        Tensor,
      ]
      const beta = this.betaProj.forward(x).sigmoid()
      const options = { normalize: true, lengths, decay: this.#decay(x) }
      const result = deltaRule(query, key, value, beta, state, options)
      const read = rmsNorm(result.output, [E], { weight: this.normWeight, eps: EPS }).reshape([B, T, D])
      const gate = this.gateProj && silu(this.gateProj.forward(x))
      return { output: this.outProj.forward(gate ? read.mul(gate) : read), state: result.state }
    })
  }

  /** α [B, T, N] */
  #decay(x: Tensor): Tensor | undefined {
    if (this.decayProj === undefined || this.logRate === undefined) return undefined
    return softplus(this.decayProj.forward(x)).mul(this.logRate.exp()).neg().exp()
  }
}

/** Such that softplus of it is spread evenly, by its logarithm, over STEPS. */
function stepBias(size: number, place: ParameterOptions): Variable {
  return variable(() => {
    const step = draw([size], Math.log(STEPS[0]), Math.log(STEPS[1]), place).exp()
    return step.exp().sub(1).log()
  })
}
