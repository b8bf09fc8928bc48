// An LSTM that reads symbols: the embedding and the first layer's input map taken together, where there are few symbols.
import * as nn from '../nn/index.js'
import { eye, scope, stack, type Tensor, zeros } from '../tensor/index.js'

/** The input map of the first layer with the embedding in it: [4H, N], one column per symbol. */
export type FoldedInput = Tensor

/**
 * W_ih·Eᵀ for the embedding E [N, I] and the first layer's W_ih [4H, I]. Symbol s adds W_ih·E[s] to the gates, which is column s of it: N columns, once
 * per batch, instead of one product per symbol read, forward and backward. The function and its gradients stay the same.
 */
export function fold(embedding: nn.Embedding, lstm: nn.LSTM): FoldedInput | undefined {
  const [symbols, width] = embedding.weight.shape as [number, number]
  if (2 * symbols > width || lstm.bidirectional) return undefined // no gain
  return firstLayer(lstm).weightIh.matmul(embedding.weight.transpose())
}

/**
 * lstm(embedding(symbols)) for symbols [B, T] of int64, from a state (absent: zeros). `folded` is what `fold` gave for the present weights.
 *
 * Differs from the two modules one after the other by rounding alone.
 */
export function readSymbols(
  embedding: nn.Embedding,
  lstm: nn.LSTM,
  symbols: Tensor,
  state: nn.LSTMState | undefined,
  folded: FoldedInput | undefined,
): { output: Tensor; state: nn.LSTMState } {
  if (folded === undefined) return lstm.forward(embedding.forward(symbols), state)
  return scope(() => {
    const { weight } = embedding
    const place = { dtype: weight.dtype, device: weight.device }
    const [B] = symbols.shape as [number]
    const zero = state === undefined ? zeros([B, lstm.hiddenSize], place) : undefined
    let x: Tensor = nn.functional.embedding(
      symbols,
      eye(weight.shape[0] as number, { device: weight.device }).to(weight.dtype),
    ) // [B, T, N], one 1 in each row
    const [h, c]: [Tensor[], Tensor[]] = [[], []]
    for (const [k, weights] of lstm.weights.entries()) {
      const before = {
        h: zero ?? (state as nn.LSTMState).h.select(0, k),
        c: zero ?? (state as nn.LSTMState).c.select(0, k),
      }
      if (k > 0) x = nn.functional.dropout(x, lstm.dropout, { training: lstm.training })
      const layer = nn.functional.lstm(x, before, k === 0 ? { ...weights, weightIh: folded } : weights)
      x = layer.output
      h.push(layer.state.h)
      c.push(layer.state.c)
    }
    return { output: x, state: { h: stack(h), c: stack(c) } }
  })
}

function firstLayer(lstm: nn.LSTM): nn.LSTM['weights'][number] {
  return lstm.weights[0] as nn.LSTM['weights'][number]
}
