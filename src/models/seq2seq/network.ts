// Network: what reads a source and writes a target, whatever it is made of. Attention beside it and the head are the model's.
import type * as nn from '../../nn/index.js'
import { arange, type Tensor, where } from '../../tensor/index.js'
import { PAD_ID } from '../../text/index.js'

/** Tensors by name, rows first. */
export type Tensors = Record<string, Tensor>

/** What is known of sources when writing begins: the state that a step changes, and what it only reads. */
export interface Encoded {
  /** By name, each [B, …]. */
  state: Tensors
  /** By name, each [B, …]. */
  context: Tensors
}

/** What a network makes of sources [B, S] in the order in which they are read. */
export interface Read extends Encoded {
  /** What every step of the encoder gave, [B, S, H]. */
  memory: Tensor
  /** The sentence vector, [B, its width]. */
  vector: Tensor
}

/** One step: what the decoder gives for symbols [N], and the state after them. */
export interface Step {
  output: Tensor
  state: Tensors
  /** [N, S], of a network that attends by itself. */
  attention?: Tensor | undefined
}

export interface Network {
  readonly encoder: nn.Module
  readonly decoder: nn.Module
  /** A further part of the decoder that has parameters. */
  readonly bridge: nn.Module | undefined
  read(symbols: Tensor, lengths: Tensor): Read
  /** All steps at once: symbols [B, T], each read before the next is written → [B, T, H]. */
  write(symbols: Tensor, encoded: Encoded): Tensor
  /** What is known before the first of at most `steps` steps. */
  begin(encoded: Encoded, steps: number): Encoded
  /** One step of N hypotheses: symbols [N], state and context [N, …]. */
  step(symbols: Tensor, state: Tensors, context: Tensors, attention: boolean): Step
}

/** Symbols of each row [B], padding at its end left out. */
export function lengthsOf(symbols: Tensor): Tensor {
  return symbols.ne(PAD_ID).to('int64').sum(1)
}

/** 0 at symbols and −10⁹, which no weight survives, at padding: [B, S], added to scores. */
export function maskOf(lengths: Tensor, steps: number, like: Tensor): Tensor {
  const hidden = arange(0, steps, { dtype: 'int64', device: lengths.device }).unsqueeze(0).ge(lengths.unsqueeze(1))
  return hidden.to(like.dtype).mul(-1e9)
}

/** Every row from its end, padding left where it is: [B, S]. */
export function turned(symbols: Tensor, lengths: Tensor): Tensor {
  const at = arange(0, symbols.shape[1] as number, { dtype: 'int64', device: symbols.device }).unsqueeze(0)
  const from = lengths.unsqueeze(1).sub(1).sub(at)
  return symbols.gather(1, where(from.lt(0), at, from))
}

/** The step before the end of each row: x [B, S, H] → [B, H]; of a row without symbols the first. */
export function lastOf(x: Tensor, lengths: Tensor): Tensor {
  const [B, , H] = x.shape as [number, number, number]
  const at = lengths.sub(1).clamp({ low: 0 }).reshape([B, 1, 1])
  return x.gather(1, at.expand([B, 1, H])).squeeze(1)
}
