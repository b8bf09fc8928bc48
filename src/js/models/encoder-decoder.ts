// EncoderDecoder: one LSTM reads a sequence into its state, another writes a sequence from it.
import { ArgumentError } from '../../errors.js'
import { EOS_ID, PAD_ID, type Vocabulary } from '../../text/vocabulary.js'
import { Embedding } from '../embedding.js'
import { Linear } from '../linear.js'
import { LSTM } from '../lstm.js'
import { Module } from '../module.js'
import { whole } from '../parameter.js'
import type { State } from '../stacked.js'
import { softmax } from './softmax.js'

interface Config {
  width: number
  numLayers: number
  reversed: boolean
  /** Options of models that are not run here. */
  [other: string]: unknown
}

/** Options that change nothing of what decoding computes. */
const HARMLESS = ['width', 'numLayers', 'reversed', 'dropout', 'labelSmoothing', 'heads', 'maxSource']

export interface Hypothesis {
  symbols: string[]
  /** log p(symbols, `<EOS>` | source), in nats. */
  logProbability: number
  /** Whether it ended by itself; false if it was cut at `maxLength`. */
  ended: boolean
}

interface Path {
  ids: number[]
  score: number
  ended: boolean
  /** The row of the state that it goes on from. */
  row: number
}

/** `models.EncoderDecoder` of two LSTMs without attention, as it decodes. */
export class EncoderDecoder extends Module {
  readonly sourceEmbedding: Embedding
  readonly targetEmbedding: Embedding
  readonly encoder: LSTM
  readonly decoder: LSTM
  readonly head: Linear
  readonly #source: Vocabulary
  readonly #target: Vocabulary
  readonly #reversed: boolean

  constructor({ width, numLayers, reversed, ...others }: Config, source: Vocabulary, target: Vocabulary) {
    super()
    const odd = Object.keys(others).find((name) => !HARMLESS.includes(name))
    if (odd !== undefined)
      throw new ArgumentError(`loadModel: an EncoderDecoder must be of LSTMs without attention, this one has ${odd}`, {
        op: 'loadModel',
        expected: 'LSTMs without attention',
        got: odd,
      })
    this.#source = source
    this.#target = target
    this.#reversed = reversed
    this.sourceEmbedding = new Embedding(source.size, width)
    this.targetEmbedding = new Embedding(target.size, width)
    this.encoder = new LSTM(width, width, { numLayers })
    this.decoder = new LSTM(width, width, { numLayers })
    this.head = new Linear(width, target.size)
  }

  /**
   * What the model writes for each source, best first: greedily, or by beam search.
   *
   * @throws ArgumentError for empty sources, unknown symbols and a beam that is not within 1 … target.size − 1.
   */
  decode(
    sources: readonly (readonly string[])[],
    { beam = 1, maxLength }: { beam?: number; maxLength?: number } = {},
  ): Hypothesis[][] {
    const widest = this.#target.size - 1
    if (!(Number.isInteger(beam) && beam >= 1 && beam <= widest))
      throw new ArgumentError(`decode: beam must be a whole number within 1 … ${widest}, got ${String(beam)}`, {
        op: 'decode',
        expected: `1 … ${widest}`,
        got: String(beam),
      })
    if (maxLength !== undefined) whole(maxLength, 'maxLength', 'decode')
    return sources.map((symbols, row) => {
      if (symbols.length === 0)
        throw new ArgumentError(`decode: source ${row} is empty`, { op: 'decode', expected: 'symbols', got: 'none' })
      const length = symbols.length
      return this.#search(this.#source.encode(symbols), beam, maxLength ?? length + Math.max(8, Math.ceil(length / 2)))
    })
  }

  /** Left to right; a path that has ended keeps its place and its score. */
  #search(ids: number[], beam: number, steps: number): Hypothesis[] {
    const read = this.#reversed ? ids.toReversed() : ids
    const embedded = this.sourceEmbedding.forward(Int32Array.from(read), [1, read.length])
    this.encoder.forward(embedded, this.sourceEmbedding.outputShape)
    let state: State = this.encoder.state
    let paths: Path[] = [{ ids: [], score: 0, ended: false, row: 0 }]
    for (let t = 0; t < steps && paths.some(({ ended }) => !ended); t++) {
      const last = Int32Array.from(paths, ({ ids }) => ids.at(-1) ?? EOS_ID)
      const x = this.targetEmbedding.forward(last, [paths.length, 1])
      const output = this.decoder.forward(x, this.targetEmbedding.outputShape, { state })
      const logits = this.head.forward(output, [paths.length, this.decoder.hiddenSize])
      const size = this.#target.size
      paths = paths
        .flatMap((path, row) => extended(path, row, logits.subarray(row * size, (row + 1) * size)))
        .sort((a, b) => b.score - a.score)
        .slice(0, beam)
      state = chosen(this.decoder.state, paths, last.length, this.decoder)
    }
    return paths.map(({ ids, score, ended }) => ({
      symbols: this.#target.decode(ids),
      logProbability: score,
      ended,
    }))
  }
}

/** A path with each symbol that may follow; nothing writes `<PAD>`. */
function extended(path: Path, row: number, logits: Float32Array): Path[] {
  if (path.ended) return [{ ...path, row }]
  return softmax(logits)
    .map((probability, id) => ({
      ids: [...path.ids, id],
      score: path.score + Math.log(probability),
      ended: id === EOS_ID,
      row,
    }))
    .filter((_, id) => id !== PAD_ID)
}

/** The rows of the state [K, B, H] that the paths go on from. */
function chosen({ h, c }: State, paths: readonly Path[], batch: number, { numLayers, hiddenSize: H }: LSTM): State {
  const pick = (all: Float32Array): Float32Array => {
    const picked = new Float32Array(numLayers * paths.length * H)
    for (let k = 0; k < numLayers; k++)
      for (const [i, { row }] of paths.entries()) {
        const from = (k * batch + row) * H
        picked.set(all.subarray(from, from + H), (k * paths.length + i) * H)
      }
    return picked
  }
  return { h: pick(h), c: pick(c as Float32Array) }
}
