// On a device: what our CUDA kernels, and the operations of libtorch that stand in for them, compute is what the CPU computes; and a device without
// memory left fails one step, not the model. Without a device these tests are skipped; the kernels' logic is tried by the emulation
// (crates/kernels/cuda).
import {
  type Device,
  devices,
  type FloatDType,
  grad,
  manualSeed,
  nn,
  normal,
  optim,
  scope,
  type Tensor,
  tensor,
  Variable,
} from 'quarterturn'
import { beforeEach, describe, expect, test } from 'vitest'
import { numbersOf } from '../parity/checkOp.js'

const cuda = devices().find((name) => name !== 'cpu') as Device

/** The norm of the difference, relative to that of the right numbers. */
async function apart(found: Tensor, right: Tensor): Promise<number> {
  const [a, b] = [await numbersOf(found), await numbersOf(right)]
  const norm = (numbers: readonly number[]) => Math.sqrt(numbers.reduce((sum, x) => sum + x * x, 0))
  return norm(a.map((x, i) => x - (b[i] as number))) / Math.max(norm(b), 1e-30)
}

/** Relative to float64; a recurrence adds up the rounding of its steps. */
const TOLERANCES: Partial<Record<FloatDType, number>> = { float32: 2e-5, bfloat16: 3e-2 }

type Inputs = Record<string, Tensor>
interface Case {
  inputs: () => Inputs
  run: (inputs: Inputs) => Tensor[]
}

const [B, T] = [5, 7]
const uniform = (...shape: number[]) => normal(shape, 0, 0.3, { dtype: 'float64' })

function dense(gates: number, layer: 'lstm' | 'gru' | 'rnn', H: number, options: object = {}): Case {
  return {
    inputs: () => ({
      x: normal([B, T, 6], 0, 1, { dtype: 'float64' }),
      h: uniform(B, H),
      ...(layer === 'lstm' && { c: uniform(B, H) }),
      weightIh: uniform(gates * H, 6),
      weightHh: uniform(gates * H, H),
      biasIh: uniform(gates * H),
      biasHh: uniform(gates * H),
    }),
    run: ({ x, h, c, ...weights }) => {
      const apply = nn.functional[layer] as never as (...args: unknown[]) => {
        output: Tensor
        state: Record<string, Tensor>
      }
      const { output, state } = apply(x, { h, ...(c && { c }) }, weights, options)
      return [output, ...Object.values(state)]
    },
  }
}

function scan(columns: number, run: (x: Tensor, h: Tensor) => { output: Tensor; state: { h: Tensor } }): Case {
  return {
    inputs: () => ({ x: normal([B, T, columns * 9], 0, 1, { dtype: 'float64' }), h: uniform(B, 9) }),
    run: ({ x, h }) => {
      const { output, state } = run(x as Tensor, h as Tensor)
      return [output, state.h]
    },
  }
}

const halves = (x: Tensor): [Tensor, Tensor] => [x.slice(-1, 0, 9).sigmoid(), x.slice(-1, 9, 18)]

const cases: Record<string, Case> = {
  'lstm, H = 8': dense(4, 'lstm', 8),
  'lstm, H = 17, reverse': dense(4, 'lstm', 17, { reverse: true }),
  'lstm, H = 512': dense(4, 'lstm', 512),
  'gru, H = 17': dense(3, 'gru', 17),
  'gru, H = 512, reverse': dense(3, 'gru', 512, { reverse: true }),
  'rnn, H = 17': dense(1, 'rnn', 17),
  scan: scan(2, (x, h) => nn.functional.gatedScan(...halves(x), { h })),
  'scan, reverse': scan(2, (x, h) => nn.functional.gatedScan(...halves(x), { h }, { reverse: true })),
  minGRU: scan(2, (x, h) => nn.functional.minGRU(x, { h })),
  'minGRU, positive': scan(2, (x, h) => nn.functional.minGRU(x, { h }, { positive: true })),
  minLSTM: scan(3, (x, h) => nn.functional.minLSTM(x, { h })),
  highway: {
    inputs: () => ({ x: uniform(B, 9), weight: uniform(3, 18, 9), bias: uniform(3, 18) }),
    run: ({ x, weight, bias }) => [nn.functional.highway(x as Tensor, weight as Tensor, bias)],
  },
  residualNorm: {
    inputs: () => ({ x: uniform(B, 9), r: uniform(B, 9), weight: uniform(9), bias: uniform(9) }),
    run: ({ x, r, weight, bias }) => {
      const { output, sum } = nn.functional.residualNorm(x as Tensor, r, { weight, bias })
      return [output, sum]
    },
  },
}

/** Outputs, and the gradients of all inputs of a weighted sum of the outputs. */
function passes({ run }: Case, given: Inputs, dtype: FloatDType, device: Device): Tensor[] {
  const names = Object.keys(given)
  const variables = names.map((name) => new Variable((given[name] as Tensor).to(dtype).to(device)))
  const outputs = run(Object.fromEntries(names.map((name, i) => [name, variables[i] as Tensor])))
  const loss = outputs
    .map((output, i) =>
      output
        .sin()
        .sum()
        .mul(i + 1),
    )
    .reduce((a, b) => a.add(b))
  return [...outputs, ...[...grad(loss, variables)].map(([, gradient]) => gradient)]
}

beforeEach(() => void manualSeed(3))

/** On the CPU too, so that the cases themselves are known to be right where there is no device. */
const places: [Device, FloatDType][] = [
  ['cpu', 'float32'],
  ['cuda:0', 'float32'],
  ['cuda:0', 'bfloat16'],
]

describe.each(places)('%s, %s', (place, dtype) => {
  test.skipIf(place !== 'cpu' && cuda === undefined).each(Object.keys(cases))(
    '%s: outputs and gradients are those of float64 on the CPU',
    async (name) => {
      const one = cases[name] as Case
      const given = one.inputs()
      const right = passes(one, given, 'float64', 'cpu')
      const found = passes(one, given, dtype, place)
      for (const [i, part] of found.entries())
        expect(await apart(part, right[i] as Tensor), `part ${i}`).toBeLessThan(TOLERANCES[dtype] as number)
    },
  )
})

test.skipIf(cuda === undefined)('the same call twice gives the same bits', async () => {
  const one = cases['lstm, H = 512'] as Case
  const given = one.inputs()
  const [first, second] = [passes(one, given, 'bfloat16', cuda), passes(one, given, 'bfloat16', cuda)]
  for (const [i, part] of first.entries()) expect(await numbersOf(part)).toEqual(await numbersOf(second[i] as Tensor))
})

test.skipIf(cuda === undefined)(
  'a step for which the device has no memory changes nothing, and a smaller batch then trains',
  async () => {
    const model = new nn.LSTM(64, 64, { device: cuda })
    const parameters = [...model.parameters()]
    const optimizer = new optim.AdamW(parameters, { lr: 1e-3 })
    const before = await Promise.all(parameters.map(numbersOf))
    const step = (batch: number) =>
      scope(() => {
        const x = tensor([[[0.5]]], { device: cuda }).expand([batch, 65_536, 64])
        const loss = model.forward(x).output.square().mean()
        optimizer.step(grad(loss, parameters))
        return loss
      })
    await expect(step(1 << 20).item()).rejects.toMatchObject({ code: 'ERR_OUT_OF_MEMORY' })
    for (const [i, parameter] of parameters.entries()) expect(await numbersOf(parameter)).toEqual(before[i])
    expect(await step(1).item()).toBeGreaterThanOrEqual(0)
  },
)
