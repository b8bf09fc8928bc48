// Recurrences in bfloat16 on the CPU: near those of float64 with the same weights, outputs and every gradient. PyTorch's own are in tests/parity.
import { grad, nn, normal, type Tensor, Variable } from 'quarterturn'
import { describe, expect, test } from 'vitest'
import { numbersOf } from '../parity/checkOp.js'

const [B, T, I, H] = [5, 9, 12, 17]
const lengths = [9, 3, 0, 1, 8]

type Result = { output: Tensor; state: Record<string, Tensor> }
type Net = nn.Module & { forward(x: Tensor, state?: never, options?: nn.ForwardOptions): Result }

const kinds = { LSTM: nn.LSTM, GRU: nn.GRU, RNN: nn.RNN, MinGRU: nn.MinGRU, MinLSTM: nn.MinLSTM }
const make = (name: string, options: nn.RecurrentOptions): Net =>
  new kinds[name as keyof typeof kinds](I, H, options) as unknown as Net

/** The distance of two tensors, relative to the length of the second. */
async function distance(x: Tensor, y: Tensor): Promise<number> {
  const [some, others] = [await numbersOf(x), await numbersOf(y)]
  expect(some.length).toBe(others.length)
  const length = (values: number[]): number => Math.hypot(...values)
  return length(some.map((value, i) => value - (others[i] as number))) / length(others)
}

describe.each(Object.keys(kinds))('%s', (name) => {
  test.each([{}, { bidirectional: true, numLayers: 2 }, ...(name.startsWith('Min') ? [] : [{ recompute: 3 }])])(
    'is that of float64, rounded: %o',
    async (options) => {
      const half = make(name, { ...options, dtype: 'bfloat16' })
      const exact = make(name, { ...options, dtype: 'float64' })
      exact.loadStateDict(new Map([...half.stateDict()].map(([key, weight]) => [key, weight.to('float64')])))
      const x = normal([B, T, I]).to('bfloat16')
      for (const given of [{}, { lengths }]) {
        const [ours, theirs] = await Promise.all(
          [half, exact].map(async (net) => {
            const input = new Variable(net === half ? x : x.to('float64'))
            const { output, state } = net.forward(input, undefined, given)
            const loss = [output, ...Object.values(state)]
              .map((part) => part.mul(part).sum())
              .reduce((a, b) => a.add(b))
            const gradients = grad(loss, [input, ...net.parameters()])
            return [output, ...Object.values(state), ...[...gradients].map(([, gradient]) => gradient)]
          }),
        )
        for (const [i, tensor] of (ours as Tensor[]).entries()) {
          expect(tensor.dtype).toBe('bfloat16')
          expect(await distance(tensor, theirs?.[i] as Tensor), `tensor ${i}`).toBeLessThan(0.03)
        }
      }
    },
  )
})
