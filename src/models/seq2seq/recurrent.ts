// Two separate stacks of LSTM, GRU or minLSTM layers: the last state of the one is the first of the other.
import * as nn from '../../nn/index.js'
import { arange, cat, eye, type Tensor, where } from '../../tensor/index.js'
import type { Encoded, Network, Read, Step, Tensors } from './network.js'
import type { EncoderDecoderConfig } from './options.js'

export type Recurrence = nn.LSTM | nn.GRU | nn.MinLSTM

const makers = { lstm: nn.LSTM, gru: nn.GRU, minLSTM: nn.MinLSTM } as const

function recurrence(config: EncoderDecoderConfig, bidirectional: boolean): Recurrence {
  const { width, numLayers, dropout, bias } = config
  const Make = makers[config.cell as keyof typeof makers]
  return new Make(width, bidirectional ? width / 2 : width, { numLayers, dropout, bias, bidirectional })
}

/** The state of both is by layer: `h0`, `c0`, `h1`, …, each [B, H]. */
export class RecurrentNetwork implements Network {
  readonly encoder: Recurrence
  readonly decoder: Recurrence
  readonly bridge = undefined
  readonly #source: nn.Embedding
  readonly #target: nn.Embedding
  readonly #residual: boolean

  constructor(config: EncoderDecoderConfig, source: nn.Embedding, target: nn.Embedding) {
    this.#source = source
    this.#target = target
    this.#residual = config.residual
    this.encoder = recurrence(config, config.bidirectional)
    this.decoder = recurrence(config, false)
  }

  read(symbols: Tensor, lengths: Tensor): Read {
    const { device } = this.#source.weight
    const options = { folded: fold(this.#source, this.encoder), residual: this.#residual }
    // Where the kernels are not ours, padding is read: before the source, whose end is then the end.
    const ours = device === 'cpu'
    const { output, state } = ours
      ? readSymbols(this.#source, this.encoder, symbols, undefined, { ...options, lengths })
      : readSymbols(this.#source, this.encoder, shifted(symbols, lengths, 'front'), undefined, options)
    const memory = ours ? output : shifted(output, lengths, 'end')
    return { memory, state, context: {}, vector: cat(Object.values(state), 1) }
  }

  write(symbols: Tensor, { state }: Encoded): Tensor {
    const options = { folded: fold(this.#target, this.decoder), residual: this.#residual }
    return readSymbols(this.#target, this.decoder, symbols, state, options).output
  }

  begin(encoded: Encoded): Encoded {
    return encoded
  }

  step(symbols: Tensor, before: Tensors): Step {
    // Not folded: that product would be made anew at every step.
    const options = { residual: this.#residual }
    const { output, state } = readSymbols(this.#target, this.decoder, symbols.unsqueeze(1), before, options)
    return { output: output.squeeze(1), state }
  }
}

/** The input map of the first layer with the embedding in it: [G·H, N], one column per symbol. */
export type FoldedInput = Tensor

/**
 * W_ih·Eᵀ for the embedding E [N, I] and the first layer's W_ih [G·H, I]. Symbol s adds W_ih·E[s] to the gates, which is column s of it: N columns, once
 * per batch, instead of one product per symbol read, forward and backward. The function and its gradients stay the same.
 */
export function fold(embedding: nn.Embedding, rnn: Recurrence): FoldedInput | undefined {
  const [symbols, width] = embedding.weight.shape as [number, number]
  if (2 * symbols > width || rnn.bidirectional) return undefined // no gain
  return (rnn.weights[0] as Recurrence['weights'][number]).weightIh.matmul(embedding.weight.transpose())
}

export interface ReadOptions {
  /** What `fold` gave for the present weights. */
  folded?: FoldedInput | undefined
  /** Whether layers after the first add their input to their output. */
  residual?: boolean
  /** Of each row, [B]. Without them every step counts. */
  lengths?: Tensor | undefined
}

/**
 * The layers of `rnn` over embedding(symbols), symbols [B, T] of int64, from a state by layer (absent: zeros): output [B, T, D·H] and the last state;
 * the parts of a second direction beside those of the first.
 *
 * Differs from the two modules one after the other by rounding alone, and by the residual connections.
 */
export function readSymbols(
  embedding: nn.Embedding,
  rnn: Recurrence,
  symbols: Tensor,
  state: Tensors | undefined,
  { folded, residual = false, lengths }: ReadOptions = {},
): { output: Tensor; state: Tensors } {
  const directions = rnn.bidirectional ? 2 : 1
  let x = folded === undefined ? embedding.forward(symbols) : oneHot(symbols, embedding)
  const last: Tensors = {}
  for (let k = 0; k < rnn.numLayers; k++) {
    const input = k > 0 ? nn.functional.dropout(x, rnn.dropout, { training: rnn.training }) : x
    const results = Array.from({ length: directions }, (_, d) => {
      const weights = rnn.weights[k * directions + d] as Recurrence['weights'][number]
      const used = k === 0 && folded !== undefined ? { ...weights, weightIh: folded } : weights
      return layer(rnn, used, input, state && { h: state[`h${k}`], c: state[`c${k}`] }, d === 1, lengths)
    })
    const output = joined(results.map((result) => result.output))
    x = residual && k > 0 ? output.add(input) : output
    for (const part of Object.keys((results[0] as (typeof results)[number]).state))
      last[`${part}${k}`] = joined(results.map((result) => (result.state as Tensors)[part] as Tensor))
  }
  return { output: x, state: last }
}

interface Weights {
  weightIh: Tensor
  biasIh: Tensor | undefined
}
type DenseWeights = Weights & { weightHh: Tensor; biasHh: Tensor | undefined }

/** One layer in one direction. */
function layer(
  rnn: Recurrence,
  weights: Weights,
  x: Tensor,
  state: { h?: Tensor | undefined; c?: Tensor | undefined } | undefined,
  reverse: boolean,
  lengths: Tensor | undefined,
): { output: Tensor; state: nn.LSTMState | { h: Tensor } } {
  const options = { reverse, lengths }
  if (rnn instanceof nn.LSTM)
    return nn.functional.lstm(x, state as nn.LSTMState | undefined, weights as DenseWeights, options)
  const hidden = state?.h && { h: state.h }
  if (rnn instanceof nn.GRU) return nn.functional.gru(x, hidden, weights as DenseWeights, options)
  return nn.functional.minLSTM(nn.functional.linear(x, weights.weightIh, weights.biasIh), hidden, options)
}

/** Rows with their padding brought from the end to the front, or back: x [B, S] or [B, S, H]. */
function shifted(x: Tensor, lengths: Tensor, to: 'front' | 'end'): Tensor {
  const steps = x.shape[1] as number
  const by = to === 'front' ? lengths : lengths.neg().add(steps)
  const from = arange(0, steps, { dtype: 'int64', device: x.device }).unsqueeze(0).add(by.unsqueeze(1))
  const index = where(from.lt(steps), from, from.sub(steps))
  return x.gather(1, x.rank === 2 ? index : index.unsqueeze(2).expand(x.shape))
}

/** [B, T, N], one 1 in each row. */
function oneHot(symbols: Tensor, { weight }: nn.Embedding): Tensor {
  return nn.functional.embedding(symbols, eye(weight.shape[0] as number, { device: weight.device }).to(weight.dtype))
}

function joined(parts: Tensor[]): Tensor {
  return parts.length === 1 ? (parts[0] as Tensor) : cat(parts, -1)
}
