// What an EncoderDecoder of given options would hold, counted without making it.
import { ArgumentError } from '../../errors.js'
import { whole } from '../../tensor/shape.js'
import { Vocabulary } from '../../text/index.js'
import { taken } from '../check.js'
import { type EncoderDecoderConfig, KIND, settled, stackOf } from './options.js'

/** Numbers of parameters, and what is beside them. */
export interface EncoderDecoderSizes {
  /** All of them. */
  parameters: number
  sourceEmbedding: number
  targetEmbedding: number
  encoder: number
  decoder: number
  /** Of the decoder's attention, and of what leads the sentence vector of a stack to it. */
  between: number
  head: number
  /** Reals of the sentence vector. */
  sentenceVector: number
}

/** Gates, and whether the state has a part of its own beside what is read of it. */
const CELLS = {
  lstm: { gates: 4, reads: true, parts: 2 },
  gru: { gates: 3, reads: true, parts: 1 },
  minLSTM: { gates: 3, reads: false, parts: 1 },
} as const

/** See `EncoderDecoder.sizes`. */
export function sizesOf(
  given: Partial<EncoderDecoderConfig> & { source: Vocabulary | number; target: Vocabulary | number },
): EncoderDecoderSizes {
  const { source, target, ...options } = taken(given, `${KIND}.sizes`)
  const config = settled(options)
  const { width: H, tied, bias } = config
  const [V, W] = [symbolsIn(source, 'source'), symbolsIn(target, 'target')]
  if (tied === 'all' && V !== W)
    throw new ArgumentError(`${KIND}.sizes: tied tables need one vocabulary, got ${V} and ${W} symbols`, { op: KIND })
  const { encoder, decoder, bridge, sentenceVector } = sides(config)
  const attention = { none: 0, multiplicative: 3 * H * H, additive: 4 * H * H + H }[config.attention]
  const parts = {
    sourceEmbedding: V * H,
    targetEmbedding: tied === 'all' ? 0 : W * H,
    encoder,
    decoder,
    between: attention + bridge,
    head: (tied === false ? W * H : 0) + (bias ? W : 0),
  }
  const parameters = Object.values(parts).reduce((sum, count) => sum + count, 0)
  return { parameters, ...parts, sentenceVector }
}

function symbolsIn(vocabulary: Vocabulary | number, name: string): number {
  return vocabulary instanceof Vocabulary ? vocabulary.size : whole(vocabulary, name, `${KIND}.sizes`, 1)
}

function sides(config: EncoderDecoderConfig): Record<'encoder' | 'decoder' | 'bridge' | 'sentenceVector', number> {
  const { width: H, numLayers: K, cell, bidirectional, bias } = config
  const b = bias ? 1 : 0
  if (cell === 'transformer') {
    // Attention 4·H² and biases 4·H; the feed-forward network 8·H² and 5·H; a norm H and H.
    const [attention, forward, norm] = [4 * H * H + 4 * H * b, 8 * H * H + 5 * H * b, H + H * b]
    const encoder = K * (attention + forward + 2 * norm) + norm
    const decoder = K * (2 * attention + forward + 3 * norm) + norm
    return { encoder, decoder, bridge: 0, sentenceVector: H }
  }
  if (typeof cell === 'object') {
    // The carriers know their parameters, by making them.
    const stack = stackOf(config)
    const count = stack.parameters().reduce((sum, { size }) => sum + size, 0)
    for (const parameter of stack.parameters()) parameter.dispose()
    return { encoder: count, decoder: count, bridge: H * H, sentenceVector: H }
  }
  const { gates, reads, parts } = CELLS[cell]
  const direction = (size: number): number =>
    gates * size * (H + (reads ? size : 0)) + b * gates * size * (reads ? 2 : 1)
  const encoder = bidirectional ? 2 * K * direction(H / 2) : K * direction(H)
  return { encoder, decoder: K * direction(H), bridge: 0, sentenceVector: K * H * parts }
}
