// What every carrier must keep, as functions: of a Stack of any two carriers, and of a carrier on each of its axes.
import { AdamW } from '../optim/index.js'
import { cat, stack as joined } from '../tensor/functions.js'
import { grad } from '../tensor/grad.js'
import { needOptions } from '../tensor/options.js'
import { Generator, normal, withGenerator } from '../tensor/random.js'
import { noGrad, scope } from '../tensor/scope.js'
import { whole } from '../tensor/shape.js'
import type { Tensor } from '../tensor/tensor.js'
import { rebuild, type Tree, tensorsIn } from '../tensor/tree.js'
import { Variable } from '../tensor/variable.js'
import { broken, type Carrier, needCarrier } from './carrier.js'
import { residual } from './depth.js'
import { needStack } from './need.js'
import { dense } from './plain.js'
import { Stack } from './stack.js'

/** How far a Stack is from what it must keep: errors relative to the size of what is compared, in float64. */
export interface Examined {
  /** Of the derivative along one random direction of all parameters and inputs, against a central difference. */
  gradient: number
  /** Of `step` after `step` against `forward`. */
  steps: number
  /** Of the parallel form against the recurrent one; undefined where there is none. */
  parallel: number | undefined
  /** Before and after some steps of AdamW. */
  loss: readonly [before: number, after: number]
}

const SIZE = 1e-5
const [BATCH, STEPS] = [2, 5]

/** Measures a Stack, which is moved to float64 and trained for a few steps. */
export async function examine(stack: Stack, given: { steps?: number } = {}): Promise<Examined> {
  const op = 'axis.examine'
  needStack(stack, op)
  const steps = whole(needOptions(given, op).steps ?? 25, 'steps', op, 1)
  const { found, loss } = withGenerator(new Generator(11), () => {
    stack.to('float64').eval()
    const x = new Variable(normal([BATCH, STEPS, stack.width], 0, 1, { dtype: 'float64' }))
    const found = [gradient(stack, x), stepwise(stack, x), forms(stack, x)] as const
    return { found, loss: falling(stack, x.detach(), steps) }
  })
  const number = async (value: Tensor | undefined): Promise<number | undefined> => (await value?.item()) as number
  const [gradients, stepsOff, parallel, before, after] = await Promise.all([...found, ...loss].map(number))
  return {
    gradient: gradients as number,
    steps: stepsOff ?? 0,
    parallel,
    loss: [before as number, after as number],
  }
}

/** max |a − b| / (1 + max |b|) */
function distance(a: Tensor, b: Tensor): Tensor {
  return a.sub(b).abs().amax().div(b.abs().amax().add(1))
}

function gradient(stack: Stack, x: Variable): Tensor {
  const leaves = [x, ...stack.parameters()]
  const loss = (): Tensor => stack.forward(x).sin().sum()
  const at = grad(loss(), leaves, { unused: 'zeros' })
  // Short directions: the error of a central difference grows with the cube of their length.
  const directions = leaves.map((leaf) => normal(leaf.shape, 0, 0.3, { dtype: 'float64' }))
  const analytic = leaves
    .map((leaf, i) =>
      at
        .get(leaf)
        .mul(directions[i] as Tensor)
        .sum(),
    )
    .reduce((sum, part) => sum.add(part))
  const central = noGrad(() => {
    const before = leaves.map((leaf) => leaf.clone())
    const moved = (by: number): Tensor => {
      for (const [i, leaf] of leaves.entries())
        leaf.assign((before[i] as Tensor).add((directions[i] as Tensor).mul(by)))
      return loss()
    }
    const difference = moved(SIZE)
      .sub(moved(-SIZE))
      .div(2 * SIZE)
    for (const [i, leaf] of leaves.entries()) leaf.assign(before[i] as Tensor)
    return difference
  })
  return distance(analytic, central)
}

function stepwise(stack: Stack, x: Tensor): Tensor | undefined {
  if (stack.inject === 'sequence') return undefined
  return noGrad(() => {
    let state = stack.initialState({ batch: BATCH })
    const outputs: Tensor[] = []
    for (let t = 0; t < STEPS; t++) {
      const next = stack.step(x.select(1, t), state)
      state = next.state
      outputs.push(next.output)
    }
    return distance(joined(outputs, 1), stack.forward(x))
  })
}

function forms(stack: Stack, x: Tensor): Tensor | undefined {
  const { parallelForm } = stack.alongTime
  if (parallelForm === undefined) return undefined
  return noGrad(() => {
    const { form } = stack
    // Twice, from each form's own state, so that what it hands over is compared, too.
    const [a, b] = ([parallelForm, 'recurrent'] as const).map((kind) => {
      stack.form = kind
      const first = stack.run(x)
      return cat([first.output, stack.run(x, first.state).output], 1)
    }) as [Tensor, Tensor]
    stack.form = form
    return distance(a, b)
  })
}

function falling(stack: Stack, x: Tensor, steps: number): [Tensor, Tensor] {
  const target = normal(x.shape, 0, 0.5, { dtype: 'float64' })
  const parameters = stack.parameters()
  const loss = (): Tensor => scope(() => stack.forward(x).sub(target).square().mean())
  const before = loss().detach()
  if (parameters.length > 0) {
    const optimizer = new AdamW(parameters, { lr: 0.01 })
    for (let k = 0; k < steps; k++) scope(() => optimizer.step(grad(loss(), parameters, { unused: 'zeros' })))
  }
  return [before, loss().detach()]
}

/**
 * Holds a carrier to the rules, on each of its axes, in float64 and at small size: its gradient is that of finite differences, `step` after
 * `step` is the sequence, the parallel form (if there is one) is the recurrent one, its step is affine in the state (if it says so), and a loss
 * falls.
 *
 * @returns What was measured, by axis.
 * @throws ArgumentError or ShapeError that names the carrier and the rule that it breaks.
 */
export async function check(given: Carrier | (() => Carrier)): Promise<Record<string, Examined>> {
  const carrier = needCarrier(typeof given === 'function' ? given() : given, 'axis.check', 'what is checked')
  const measured: Record<string, Examined> = {}
  for (const axis of carrier.axes) {
    const sizes = { width: 4, layers: 2 }
    const stack =
      axis === 'both'
        ? new Stack({ ...sizes, alongTime: carrier })
        : axis === 'time'
          ? new Stack({ ...sizes, alongTime: carrier, alongDepth: residual() })
          : new Stack({ ...sizes, alongTime: dense(), alongDepth: carrier })
    if (carrier.linear && !carrier.grows) await checkAffine(carrier, stack)
    const found = await examine(stack)
    const rules: [boolean, string][] = [
      [found.gradient < 1e-6, `its gradient must be that of finite differences, off by ${found.gradient}`],
      [!((found.parallel ?? 0) > 1e-10), `parallel must be what step after step gives, off by ${found.parallel}`],
      [found.steps < 1e-10, `step after step must be the sequence, off by ${found.steps}`],
      [found.loss[1] < found.loss[0], `a loss must fall, from ${found.loss[0]} to ${found.loss[1]}`],
    ]
    for (const [kept, rule] of rules) if (!kept) throw broken(carrier, `along ${axis}: ${rule}`)
    measured[axis] = found
  }
  return measured
}

/** s'(λ p + (1 − λ) q) = λ s'(p) + (1 − λ) s'(q) */
async function checkAffine(carrier: Carrier, stack: Stack): Promise<void> {
  const axis = stack.alongTime === carrier ? 'time' : 'depth'
  const parameters = stack.writes[0]?.[axis] as object
  const off = noGrad(() => {
    stack.to('float64')
    const context = { axis, index: 0, layers: stack.layers, training: false } as const
    const form = carrier.initialState({ batch: BATCH, width: stack.width, layers: stack.layers })
    const x = normal([BATCH, stack.width], 0, 1, { dtype: 'float64' })
    const some = (): Tensor[] => tensorsIn(form).map(({ shape }) => normal(shape, 0, 1, { dtype: 'float64' }))
    const [p, q] = [some(), some()]
    const mix = (a: Tensor[], b: Tensor[]): Tensor[] => a.map((part, i) => part.mul(0.3).add((b[i] as Tensor).mul(0.7)))
    const after = (parts: Tensor[]): Tensor[] => {
      let next = 0
      const state: Tree = rebuild(form, () => parts[next++] as Tensor)
      return tensorsIn(carrier.step(parameters, state, x, context).state)
    }
    const [one, other] = [after(mix(p, q)), mix(after(p), after(q))]
    return one.map((part, i) => distance(part, other[i] as Tensor))
  })
  for (const part of off) {
    const error = (await part.item()) as number
    if (!(error < 1e-10)) throw broken(carrier, `its step says that it is linear in the state, off by ${error}`)
  }
}
