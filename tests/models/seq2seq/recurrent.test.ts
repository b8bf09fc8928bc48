// The folded first layer: the same outputs and gradients as embedding and LSTM one after the other.
import { grad, manualSeed, nn, stack, type Tensor, tensor } from 'quarterturn'
import { beforeEach, describe, expect, it } from 'vitest'
import { fold, readSymbols } from '../../../src/models/seq2seq/recurrent.js'

const symbols = tensor(
  [
    [0, 4, 2, 1],
    [3, 3, 0, 4],
    [1, 2, 3, 4],
  ],
  { dtype: 'int64' },
)
let embedding: nn.Embedding
let lstm: nn.LSTM
beforeEach(() => {
  manualSeed(1)
  embedding = new nn.Embedding(5, 12)
  lstm = new nn.LSTM(12, 12, { numLayers: 2 })
})

const plain = (state?: nn.LSTMState) => lstm.forward(embedding.forward(symbols), state)
const folded = (state?: Record<string, Tensor>) => {
  const read = readSymbols(embedding, lstm, symbols, state, { folded: fold(embedding, lstm) })
  const both = (part: string) => stack([0, 1].map((k) => read.state[`${part}${k}`]!))
  return { output: read.output, state: { h: both('h'), c: both('c') }, byLayer: read.state }
}

async function close(a: Tensor, b: Tensor): Promise<void> {
  expect(a.shape).toEqual(b.shape)
  expect(await a.sub(b).abs().amax().item()).toBeLessThan(1e-5)
}

describe('readSymbols', () => {
  it('computes what embedding and LSTM compute', async () => {
    const [one, other] = [folded(), plain()]
    await close(one.output, other.output)
    await close(one.state.h, other.state.h)
    await close(one.state.c, other.state.c)
  })

  it('goes on from a state', async () => {
    await close(folded(folded().byLayer).output, plain(plain().state).output)
  })

  it('gives every parameter the same gradient', async () => {
    const parameters = [...embedding.parameters(), ...lstm.parameters()]
    const loss = ({ output, state }: { output: Tensor; state: nn.LSTMState }) =>
      output.square().sum().add(state.c.sum())
    const [one, other] = [grad(loss(folded()), parameters), grad(loss(plain()), parameters)]
    for (const parameter of parameters) await close(one.get(parameter), other.get(parameter))
  })

  it('is left alone where symbols are many', () => {
    expect(fold(new nn.Embedding(7, 12), lstm)).toBeUndefined()
  })

  it('refuses a symbol that the embedding does not have', async () => {
    const odd = tensor([[5]], { dtype: 'int64' })
    await expect(
      readSymbols(embedding, lstm, odd, undefined, { folded: fold(embedding, lstm) }).output.data(),
    ).rejects.toMatchObject({ code: 'ERR_RANGE' })
  })
})
