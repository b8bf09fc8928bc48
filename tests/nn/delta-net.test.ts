// The delta rule and DeltaNet: their equations in plain numbers, streams, lengths, what is refused.
import { cat, grad, manualSeed, nn, normal, type Tensor, tensor, zeros } from 'quarterturn'
import { beforeEach, describe, expect, test } from 'vitest'
import { numbersOf } from '../parity/checkOp.js'
import { expectClose } from '../tolerances.js'

const { functional: F } = nn
const f64 = { dtype: 'float64' } as const
const code = (name: string) => expect.objectContaining({ code: name })

beforeEach(() => void manualSeed(9))

async function close(actual: Tensor, expected: Tensor, what: string): Promise<void> {
  expect(actual.shape, what).toEqual(expected.shape)
  expectClose(await numbersOf(actual), await numbersOf(expected), expected.dtype, what)
}

test('deltaRule: a key that was written reads back its last value', async () => {
  const key = tensor([[[[1, 0]], [[0, 1]], [[1, 0]]]], f64)
  const value = tensor([[[[1, 2]], [[3, 4]], [[5, 6]]]], f64)
  const beta = tensor([[[1], [1], [1]]], f64)
  const { output, state } = F.deltaRule(key, key, value, beta)
  expect(await output.toArray()).toEqual([[[[1, 2]], [[3, 4]], [[5, 6]]]])
  expect(await state.s.toArray()).toEqual([
    [
      [
        [5, 6],
        [3, 4],
      ],
    ],
  ])
  const halved = F.deltaRule(key, key, value, beta.mul(0.5), undefined, { decay: beta.mul(0.5) })
  // e = 5 − ½·½·½·1 of the first value's first number, half of which is added to what was kept of it.
  const kept = 0.5 * 0.5 * 0.5
  const [first] = await numbersOf(halved.state.s)
  expect(first).toBeCloseTo(kept + 0.5 * (5 - kept), 14)
})

test('deltaRule: normalize makes keys and queries of length 1', async () => {
  const [q, k, v] = [normal([2, 40, 2, 5], 0, 3), normal([2, 40, 2, 5], 0, 3), normal([2, 40, 2, 3], 0, 1)]
  const beta = normal([2, 40, 2], 0, 1).sigmoid()
  const unit = (x: Tensor): Tensor => F.normalize(x, { dim: -1 })
  const result = F.deltaRule(q, k, v, beta, undefined, { normalize: true })
  await close(result.output, F.deltaRule(unit(q), unit(k), v, beta).output, 'output')
})

describe.each([false, true])('DeltaNet, gated: %s', (gated) => {
  const [B, T, D, N] = [3, 37, 12, 3]
  const make = (): nn.DeltaNet => new nn.DeltaNet(D, N, { gated })

  test('a sequence is its steps, and its halves', async () => {
    const net = make()
    const x = normal([B, T, D], 0, 1)
    const whole = net.forward(x)
    expect(whole.output.shape).toEqual([B, T, D])
    for (const size of [1, 20]) {
      let state: nn.functional.MatrixState | undefined
      const outputs: Tensor[] = []
      for (let t = 0; t < T; t += size) {
        const part = net.forward(x.slice(1, t, t + size), state)
        outputs.push(part.output)
        state = part.state
      }
      await close(cat(outputs, 1), whole.output, `output in parts of ${size}`)
      await close((state as nn.functional.MatrixState).s, whole.state.s, `state in parts of ${size}`)
    }
  })

  test('a row with a length is the row cut to it', async () => {
    const net = make()
    const x = normal([B, T, D], 0, 1)
    const lengths = [T, 0, 5]
    const { output, state } = net.forward(x, undefined, { lengths })
    for (const [b, length] of lengths.entries()) {
      const row = net.forward(x.slice(0, b, b + 1).slice(1, 0, length))
      await close(output.slice(0, b, b + 1).slice(1, 0, length), row.output, `row ${b}`)
      await close(state.s.slice(0, b, b + 1), row.state.s, `state of row ${b}`)
    }
  })

  test('gradients reach every weight and the state', async () => {
    const net = make()
    const x = normal([B, T, D], 0, 1)
    const before = new nn.Linear(4, 4).forward(normal([B, N, 4, 4], 0, 1))
    const { output, state } = net.forward(x, { s: before })
    const loss = output.square().sum().add(state.s.square().sum())
    for (const [, gradient] of grad(loss, [before, ...net.parameters()])) {
      const largest = await gradient.abs().amax().item()
      expect(largest).toBeGreaterThan(0)
      expect(Number.isFinite(largest)).toBe(true)
    }
  })
})

test('what does not fit is refused at the call, in the words of the user', () => {
  const net = new nn.DeltaNet(8, 2)
  expect(() => new nn.DeltaNet(8, 3)).toThrow('DeltaNet: numHeads must be a divisor of embedDim 8, got 3')
  expect(() => net.forward(zeros([2, 8]))).toThrow('deltaNet: input must be [B, T, D=8], got [2, 8]')
  expect(() => net.forward(zeros([2, 3, 8]), { s: zeros([2, 2, 4, 3]) })).toThrow(
    'deltaNet: state.s must be [B=2, N=2, E=4, E=4], got [2, 2, 4, 3]',
  )
  const [q, v, beta] = [zeros([2, 3, 2, 4]), zeros([2, 3, 2, 5]), zeros([2, 3, 2])]
  expect(() => F.deltaRule(q, zeros([2, 3, 2, 3]), v, beta)).toThrow(
    'deltaRule: key must be [B=2, T=3, N=2, E=4], got [2, 3, 2, 3]',
  )
  expect(() => F.deltaRule(q, q, v, zeros([2, 3]))).toThrow('deltaRule: beta must be [B=2, T=3, N=2], got [2, 3]')
  expect(() => F.deltaRule(q, q, v.to('float64'), beta)).toThrow(code('ERR_DTYPE'))
  expect(() => F.deltaRule(q, q, v, beta, undefined, { lengths: [1, 4] })).toThrow(code('ERR_RANGE'))
})

test('ParaGRU and ParaLSTM: Newton’s method gives what the steps give, and its gradients', async () => {
  for (const Layer of [nn.ParaGRU, nn.ParaLSTM]) {
    const [one, other] = [new Layer(6, 20), new Layer(6, 20, { solver: 'newton' })]
    other.loadStateDict(one.stateDict())
    const x = normal([2, 150, 6], 0, 1)
    const found = [one, other].map((net) => {
      const output = net.forward(x).output as Tensor
      return { output, gradients: [...grad(output.sin().sum(), net.parameters())].map(([, gradient]) => gradient) }
    })
    await close((found[1] as (typeof found)[0]).output, (found[0] as (typeof found)[0]).output, 'output')
    for (const [i, gradient] of (found[0] as (typeof found)[0]).gradients.entries())
      await close((found[1] as (typeof found)[0]).gradients[i] as Tensor, gradient, `gradient ${i}`)
  }
  expect(() => new nn.ParaGRU(2, 2, { solver: 'euler' as 'newton' })).toThrow(
    'ParaGRU: solver must be sequential or newton, got',
  )
})
