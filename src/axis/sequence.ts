// A time carrier over a whole sequence, in the form that is asked for or that the rule picks.
import { cat, stack } from '../tensor/functions.js'
import { checkpoint, scan } from '../tensor/program.js'
import type { Tensor } from '../tensor/tensor.js'
import { rebuild, type Tree, tensorsIn } from '../tensor/tree.js'
import { type Carrier, type Context, checkOutput, type Form, type Stepped, stepped } from './carrier.js'
import { formOf } from './forms.js'

/** All steps of x [B, T, width] from a state: outputs [B, T, width] and the last state. */
export function overTime(
  carrier: Carrier,
  parameters: object,
  x: Tensor,
  state: Tree,
  context: Context,
  asked: Form | 'auto',
): Stepped<Tree> {
  const steps = x.shape[1] as number
  if (formOf(carrier, steps, asked) !== 'recurrent' && carrier.parallel) {
    const result = carrier.parallel(parameters, x, state, context)
    checkOutput(carrier, result, x)
    return result
  }
  if (carrier.kernel) return carrier.kernel(parameters, x, state, context)
  const noise = carrier.noise?.(x.shape as [number, number, number], context)
  if (carrier.grows || steps < 2) return loop(carrier, parameters, x, state, { ...context, noise })
  const result = scan(
    (before: Tree, [input, drawn]: readonly Tensor[]) =>
      stepped(carrier, parameters, before, input as Tensor, { ...context, noise: drawn }),
    state,
    noise === undefined ? [x] : [x, noise],
  )
  return result
}

/** Step by step from here: a state that grows is no state of a recorded step. */
function loop(carrier: Carrier, parameters: object, x: Tensor, start: Tree, context: Context): Stepped<Tree> {
  let state = start
  const outputs: Tensor[] = []
  for (let t = 0; t < (x.shape[1] as number); t++) {
    const noise = context.noise?.select(1, t)
    const result = stepped(carrier, parameters, state, x.select(1, t), { ...context, noise })
    state = result.state
    outputs.push(result.output)
  }
  return { output: stack(outputs, 1), state }
}

/** As `overTime`, in about √T stretches, each computed once more in the backward pass: memory for √T steps rather than T. */
export function overTimeAgain(
  carrier: Carrier,
  parameters: object,
  x: Tensor,
  start: Tree,
  context: Context,
  asked: Form | 'auto',
): Stepped<Tree> {
  const steps = x.shape[1] as number
  const stretch = Math.max(1, Math.ceil(Math.sqrt(steps)))
  let state = start
  const outputs: Tensor[] = []
  for (let t = 0; t < steps; t += stretch) {
    const form = state
    const result = checkpoint(
      (part: Tensor, ...parts: Tensor[]) => {
        let next = 0
        const before = rebuild(form, () => parts[next++] as Tensor)
        return overTime(carrier, parameters, part, before, context, asked) as { state: Tree; output: Tensor }
      },
      x.slice(1, t, t + stretch),
      ...tensorsIn(state),
    )
    state = result.state
    outputs.push(result.output)
  }
  return { output: outputs.length === 1 ? (outputs[0] as Tensor) : cat(outputs, 1), state }
}
