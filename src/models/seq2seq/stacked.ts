// Two axis.Stacks. Carriers differ in what a state is, so what goes from one to the other is the encoder's last output, read at every step of the decoder.
import type { Stack, StackState } from '../../axis/index.js'
import * as nn from '../../nn/index.js'
import { arange, type Tensor, where, zeros } from '../../tensor/index.js'
import { rebuild, tensorsIn } from '../../tensor/tree.js'
import { type Encoded, lastOf, type Network, type Read, type Step, type Tensors } from './network.js'
import { type EncoderDecoderConfig, stackOf } from './options.js'

/**
 * The decoder's input at step t is E[y_(t−1)] + W_v v, v the encoder's last output, as the fixed vector of Cho et al. 2014 is read at every step.
 * Decoding carries the state of the stack on; a carrier whose state grows, softmax attention, has its steps computed again instead.
 */
export class StackNetwork implements Network {
  readonly encoder: Stack
  readonly decoder: Stack
  /** W_v, [H, H] */
  readonly bridge: nn.Linear
  readonly #source: nn.Embedding
  readonly #target: nn.Embedding

  constructor(config: EncoderDecoderConfig, source: nn.Embedding, target: nn.Embedding) {
    this.#source = source
    this.#target = target
    this.encoder = stackOf(config)
    this.decoder = stackOf(config)
    this.bridge = new nn.Linear(config.width, config.width, { bias: false })
  }

  read(symbols: Tensor, lengths: Tensor): Read {
    const memory = this.encoder.forward(this.#source.forward(symbols))
    const vector = lastOf(memory, lengths)
    return { memory, vector, state: {}, context: { vector: this.bridge.forward(vector) } }
  }

  write(symbols: Tensor, { context: { vector } }: Encoded): Tensor {
    return this.decoder.forward(this.#target.forward(symbols).add((vector as Tensor).unsqueeze(1)))
  }

  begin({ context }: Encoded, steps: number): Encoded {
    const { decoder } = this
    const { shape, device, dtype } = context.vector as Tensor
    const [batch, width] = shape as [number, number]
    if (grows(decoder)) {
      const read = zeros([batch, steps, width], { device }).to(dtype)
      return { context, state: { read, at: zeros([batch], { device, dtype: 'int64' }) } }
    }
    const parts = tensorsIn(decoder.initialState({ batch }).time)
    return { context, state: Object.fromEntries(parts.map((part, i) => [`s${i}`, part])) }
  }

  step(symbols: Tensor, state: Tensors, { vector }: Tensors): Step {
    const x = this.#target.forward(symbols).add(vector as Tensor)
    return grows(this.decoder) ? this.#again(x, state) : this.#onward(x, state)
  }

  #onward(x: Tensor, state: Tensors): Step {
    const { decoder } = this
    let next = 0
    const form = decoder.initialState({ batch: x.shape[0] as number })
    const before: StackState = rebuild(form, () => state[`s${next++}`] as Tensor)
    const { output, state: after } = decoder.step(x, before)
    const parts = tensorsIn(after.time)
    return { output, state: Object.fromEntries(parts.map((part, i) => [`s${i}`, part])) }
  }

  /** All steps so far, of which the last counts. */
  #again(x: Tensor, { read, at }: Tensors): Step {
    const [, steps, width] = (read as Tensor).shape as [number, number, number]
    const here = placeOf(at as Tensor, steps).unsqueeze(2)
    const inputs = where(here, x.unsqueeze(1), read as Tensor)
    const index = (at as Tensor).reshape([-1, 1, 1]).expand([x.shape[0] as number, 1, width])
    const output = this.decoder.forward(inputs).gather(1, index).squeeze(1)
    return { output, state: { read: inputs, at: (at as Tensor).add(1) } }
  }
}

function grows({ alongTime }: Stack): boolean {
  return alongTime.grows ?? false
}

/** True at step `at` of each row: [N, steps] of bool. */
export function placeOf(at: Tensor, steps: number): Tensor {
  return arange(0, steps, { dtype: 'int64', device: at.device }).unsqueeze(0).eq(at.unsqueeze(1))
}
