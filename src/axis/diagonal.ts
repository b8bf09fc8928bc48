// Diagonal state spaces: more state than width, one decay for each part of it.
import { gatedScan, softplus } from '../nn/functional.js'
import { uniform, variable } from '../nn/init.js'
import { Linear } from '../nn/linear.js'
import { arange, zeros } from '../tensor/create.js'
import { cat } from '../tensor/functions.js'
import { needOptions } from '../tensor/options.js'
import { uniform as draw } from '../tensor/random.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Variable } from '../tensor/variable.js'
import type { Carrier } from './carrier.js'

type Unit = { nu: Variable; theta: Variable; input: Linear; output: Linear; skip: Variable }
type Complex = { re: Tensor; im: Tensor }

/**
 * The linear recurrent unit: a complex decay for each of `width` states, |λ| within 0.9 … 0.999 and angles within 0 … π/10 at the start.
 * The parallel form turns the state back by its angle, s_t = e^(iθt) z_t, so that z is a scan with a real decay.
 */
export function lru(): Carrier<Unit, Complex> {
  const of = ({ nu, theta }: Unit): { size: Tensor; angle: Tensor } => ({
    size: nu.exp().neg().exp(),
    angle: theta.exp(),
  })
  /** γ (W x + b), real and imaginary parts; γ = √(1 − |λ|²) keeps the state’s variance that of the input. */
  const write = (p: Unit, size: Tensor, x: Tensor): [Tensor, Tensor] => {
    const D = size.shape[0] as number
    const gamma = size.square().neg().add(1).sqrt()
    const [re, im] = p.input.forward(x).split([D, D], -1) as [Tensor, Tensor]
    return [re.mul(gamma), im.mul(gamma)]
  }
  const read = (p: Unit, re: Tensor, im: Tensor, x: Tensor): Tensor =>
    p.output.forward(cat([re, im], -1)).add(x.mul(p.skip))
  return {
    name: 'lru',
    equation: "s' = λ ⊙ s + √(1 − |λ|²) ⊙ W x,  λ = exp(−e^ν + i e^θ),  r = Re(C s') + d ⊙ x",
    source: 'Orvieto et al. 2023',
    axes: ['time'],
    only: 'along depth a fixed decay is scaled(): a turn by an angle in every layer has no form there',
    row: { a: 'λ', b: '√(1 − |λ|²)', readout: 'Re(C s) + d x' },
    linear: true,
    parallelForm: 'scan',
    parameters: ({ width }) => ({
      nu: variable(() => draw([width], 0.9, 0.999).log().neg().log()),
      theta: variable(() => draw([width], 0.001, Math.PI / 10).log()),
      input: new Linear(width, 2 * width),
      output: new Linear(2 * width, width),
      skip: uniform([width], -1, 1),
    }),
    initialState: ({ batch, width }) => ({ re: zeros([batch, width]), im: zeros([batch, width]) }),
    step(p, { re, im }, x) {
      const { size, angle } = of(p)
      const [a, b] = [size.mul(angle.cos()), size.mul(angle.sin())]
      const [vr, vi] = write(p, size, x)
      const state = { re: a.mul(re).sub(b.mul(im)).add(vr), im: a.mul(im).add(b.mul(re)).add(vi) }
      return { state, output: read(p, state.re, state.im, x) }
    },
    parallel(p, x, state) {
      const { size, angle } = of(p)
      const [vr, vi] = write(p, size, x)
      const T = x.shape[1] as number
      // In float64: after thousands of steps the angle itself has lost digits of a float32.
      const turn = arange(1, T + 1, { dtype: 'float64', device: x.device })
        .reshape([T, 1])
        .mul(angle.to('float64'))
      const [cos, sin] = [turn.cos().to(x.dtype), turn.sin().to(x.dtype)]
      const decay = size.expand(x.shape)
      const zr = gatedScan(decay, vr.mul(cos).add(vi.mul(sin)), { h: state.re }).output
      const zi = gatedScan(decay, vi.mul(cos).sub(vr.mul(sin)), { h: state.im }).output
      const [re, im] = [zr.mul(cos).sub(zi.mul(sin)), zi.mul(cos).add(zr.mul(sin))]
      return { state: { re: re.select(1, T - 1), im: im.select(1, T - 1) }, output: read(p, re, im, x) }
    },
    flops: ({ width }) => 8 * width * width,
  }
}

type Space = { decay: Variable; step: Linear; input: Linear; output: Linear; skip: Variable }

/** N states for each unit, whose decay, write and readout depend on the input: the selective state space, without its convolution and gate. */
export function ssm(given: { states?: number } = {}): Carrier<Space, { h: Tensor }> {
  const { states = 4 } = needOptions(given, 'axis.ssm')
  const N = whole(states, 'states', 'axis.ssm', 1)
  /** a and b·v, […, width·N], and what reads the state, […, 1, N]. */
  const gates = (p: Space, x: Tensor): { a: Tensor; v: Tensor; c: Tensor } => {
    const lead = x.shape.slice(0, -1)
    const width = x.shape.at(-1) as number
    const delta = softplus(p.step.forward(x)).unsqueeze(-1)
    const a = delta.mul(p.decay.exp()).neg().exp()
    const b = p.input.forward(x).unsqueeze(-2)
    const flat = [...lead, width * N]
    return {
      a: a.reshape(flat),
      v: delta.mul(b).mul(x.unsqueeze(-1)).reshape(flat),
      c: p.output.forward(x).unsqueeze(-2),
    }
  }
  const read = (p: Space, h: Tensor, c: Tensor, x: Tensor): Tensor =>
    h
      .reshape([...x.shape, N])
      .mul(c)
      .sum(-1)
      .add(x.mul(p.skip))
  return {
    name: 'ssm',
    equation: "s' = exp(−Δ A) ⊙ s + Δ B(x) x,  r = C(x)·s' + d ⊙ x,  Δ = softplus(W x + b)",
    source: 'Gu and Dao 2023 (selective state space, S6)',
    axes: ['time'],
    only: 'along depth its decay and write are those of fullHighway()',
    row: { a: 'exp(−Δ A)', b: 'Δ B(x)', readout: 'C(x)·s + d x' },
    linear: true,
    parallelForm: 'scan',
    parameters: ({ width }) => ({
      decay: variable(() =>
        arange(1, N + 1, { dtype: 'float32' })
          .log()
          .expand([width, N])
          .add(0),
      ),
      step: new Linear(width, width),
      input: new Linear(width, N, { bias: false }),
      output: new Linear(width, N, { bias: false }),
      skip: uniform([width], 0, 1),
    }),
    initialState: ({ batch, width }) => ({ h: zeros([batch, width * N]) }),
    step(p, { h }, x) {
      const { a, v, c } = gates(p, x)
      const next = a.mul(h).add(v)
      return { state: { h: next }, output: read(p, next, c, x) }
    },
    parallel(p, x, state) {
      const { a, v, c } = gates(p, x)
      const { output, state: last } = gatedScan(a, v, state)
      return { state: last, output: read(p, output, c, x) }
    },
    flops: ({ width }) => 2 * width * width + 4 * width * N + 8 * width * N,
  }
}
