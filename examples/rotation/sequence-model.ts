// What the studies train: a stack between an input and an output map, and one loop that trains it.
import { axis, grad, nn, noGrad, optim, scope, type Tensor } from 'quarterturn'
import { processorSeconds } from '../study/study.js'

export interface SequenceModelOptions extends axis.StackOptions {
  /** Values per step, or `{ tokens }` for that many symbols. */
  input: number | { tokens: number }
  output: number
}

/** x [B, T, I], or symbols [B, T] → [B, T, O]. */
export class SequenceModel extends nn.Module {
  readonly enter: nn.Linear | nn.Embedding
  readonly stack: axis.Stack
  readonly norm: nn.LayerNorm
  readonly leave: nn.Linear

  constructor({ input, output, ...options }: SequenceModelOptions) {
    super()
    const { width } = options
    this.enter = typeof input === 'number' ? new nn.Linear(input, width) : new nn.Embedding(input.tokens, width)
    this.stack = new axis.Stack(options)
    this.norm = new nn.LayerNorm(width)
    this.leave = new nn.Linear(width, output)
  }

  forward(x: Tensor): Tensor {
    return this.leave.forward(this.norm.forward(this.stack.forward(this.enter.forward(x))))
  }
}

export interface Training {
  steps: number
  /** Of processor time on one thread: ends earlier than `steps`; absent: never. */
  seconds?: number
  lr: number
}

/** AdamW with gradients clipped at norm 1. Gives the number of steps done. */
export async function trainModel(
  model: nn.Module,
  loss: () => Tensor,
  { steps, seconds, lr }: Training,
): Promise<number> {
  const parameters = model.parameters()
  const optimizer = new optim.AdamW(parameters, { lr })
  model.train()
  const begin = processorSeconds()
  for (let step = 0; step < steps; step++) {
    if (seconds !== undefined && processorSeconds() - begin > seconds) return step
    const value = scope(() => {
      const found = loss()
      optimizer.step(grad(found, parameters).clipByNorm(1))
      return found
    })
    await value.item()
  }
  return steps
}

/** The mean of a loss over some batches that are not trained on. */
export async function evaluate(model: nn.Module, loss: () => Tensor, batches: number): Promise<number> {
  model.eval()
  let sum = 0
  for (let i = 0; i < batches; i++) sum += Number(await scope(() => noGrad(loss)).item())
  model.train()
  return sum / batches
}

/** The width for which a stack has as many parameters as asked for, or a few less; a multiple of `multiple`. */
export function widthFor(options: Omit<SequenceModelOptions, 'width'>, parameters: number, multiple = 8): number {
  const count = (width: number): number =>
    new SequenceModel({ ...options, width }).parameters().reduce((sum, { size }) => sum + size, 0)
  let width = multiple
  while (count(width + multiple) <= parameters) width += multiple
  return width
}
