// Our side of axis/…: the layers and stacks of bench/opponents/axis.py, and how the time per token of a scan depends on T.
import { axis, grad, nn, noGrad, optim, scope, type Tensor, Variable } from 'quarterturn'
import { type Answers, options, quantile, serve, spread } from './common.js'

const given = options()
const COMPARED = 5
const TOKENS = 32_768
const SERIAL_WIDTH = 256
const SERIAL_TIMES = [256, 512, 1024, 2048, 4096, 8192]
const SERIAL_ROUNDS = 5

/** One forward and backward pass; the first few also give the norms of the gradients. */
function counted(forward: () => Tensor, variables: Variable[]): () => Promise<number> {
  let count = 0
  return async () => {
    const compared = ++count <= COMPARED
    const results = scope(() => {
      const loss = forward().square().mean()
      const gradients = grad(loss, variables)
      return [loss, ...(compared ? variables.map((variable) => gradients.get(variable).norm()) : [])]
    })
    // The backward pass was queued before this read, so it is part of what is waited for.
    let value = 0
    for (const result of results) value += Number(await result.item())
    return value
  }
}

/** A MinLSTM or MinGRU with its projections, and x. */
function layer(part: 'minlstm' | 'mingru', width: number, batch: number, time: number, positive: boolean) {
  const net = new nn[part === 'minlstm' ? 'MinLSTM' : 'MinGRU'](width, width, { positive })
  const { weightIh, biasIh } = net.weights[0] as nn.InputWeights
  weightIh.assign(spread(weightIh.shape, 1, width ** -0.5))
  biasIh?.assign(spread(biasIh.shape, 2, 0.1))
  const x = new Variable(spread([batch, time, width], 3, 1))
  return counted(() => net.forward(x).output, [x, ...net.parameters()])
}

function highway(): () => Promise<number> {
  const [layers, width, batch] = [50, 256, 64]
  const net = new nn.Highway(width, { layers, nonlinearity: 'tanh' })
  net.weight.assign(spread(net.weight.shape, 1, width ** -0.5))
  net.bias?.assign(spread(net.bias.shape, 2, 0.1))
  const x = new Variable(spread([batch, width], 3, 1))
  return counted(() => net.forward(x), [x, ...net.parameters()])
}

/** 6 layers of minLSTM on a residual stream, with the weights of the other side. */
function stackOf(width: number): axis.Stack {
  const net = new axis.Stack({ width, layers: 6, alongTime: axis.minLSTM(), alongDepth: axis.residual() })
  for (const [k, parameter] of net.parameters().entries()) parameter.assign(spread(parameter.shape, 1000 * k, 0.06))
  return net
}

function stack(): () => Promise<number> {
  const shape = [16, 256, 256]
  const net = stackOf(256)
  const parameters = net.parameters()
  const optimizer = new optim.AdamW(parameters, { lr: 1e-3 })
  const [x, target] = [spread(shape, 3, 1), spread(shape, 4, 1)]
  return async () => {
    const loss = scope(() => {
      const loss = nn.functional.mseLoss(net.forward(x), target)
      optimizer.step(grad(loss, parameters))
      return loss
    })
    return Number(await loss.item())
  }
}

function stream(): () => Promise<number> {
  const net = stackOf(256).eval()
  const x = spread([1, 256], 3, 1)
  let state = net.initialState({ batch: 1 })
  return async () => {
    const size = scope(() =>
      noGrad(() => {
        const next = net.step(x, state)
        state = next.state
        return [next.output.square().mean(), next.state] as const
      }),
    )[0]
    return Number(await size.item())
  }
}

/** How far the time per token of a training pass is apart over all T, in % of the shortest; B·T stays. Lengths take turns. */
async function serial(): Promise<number> {
  const steps = SERIAL_TIMES.map((time) => layer('minlstm', SERIAL_WIDTH, TOKENS / time, time, false))
  const times = steps.map((): number[] => [])
  for (const step of steps) for (let i = 0; i <= COMPARED; i++) await step()
  for (let round = 0; round < SERIAL_ROUNDS; round++) {
    for (const [k, step] of steps.entries()) {
      const begin = performance.now()
      await step()
      times[k]?.push(performance.now() - begin)
    }
  }
  const medians = times.map((list) => quantile(list, 0.5))
  const stack = new axis.Stack({ width: SERIAL_WIDTH, layers: 1, alongTime: axis.minLSTM() })
  for (const [k, ms] of medians.entries()) {
    const steps = SERIAL_TIMES[k] as number
    const { serialSteps } = axis.describe(stack, { steps })
    process.stderr.write(`T=${steps}: ${((1e6 * ms) / TOKENS).toFixed(0)} ns per token, ${serialSteps} serial steps\n`)
  }
  return 100 * (Math.max(...medians) / Math.min(...medians) - 1)
}

function answers(): Answers {
  const { part, width, batch, time, positive } = given as unknown as {
    part: string
    width: number
    batch: number
    time: number
    positive: boolean
  }
  switch (part) {
    case 'minlstm':
    case 'mingru':
      return { step: layer(part, width, batch, time, positive) }
    case 'highway':
      return { step: highway() }
    case 'stack':
      return { step: stack() }
    case 'stream':
      return { step: stream() }
    case 'serial':
      return { measure: serial }
    default:
      throw new RangeError(`unknown part ${part}`)
  }
}

await serve(answers())
