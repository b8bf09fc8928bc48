// Writing with an encoder-decoder: greedy and beam search, recorded whole and run ahead of training.
import { ArgumentError } from '../errors.js'
import type { LSTMState } from '../nn/index.js'
import { ahead, arange, full, stack, type Tensor, tensor, where } from '../tensor/index.js'
import { EOS_ID, PAD_ID } from '../text/index.js'
import { Mode } from '../train/mode.js'
import { checkList, taken } from './check.js'
import type { EncoderDecoder } from './encoder-decoder.js'

export interface DecodeOptions {
  /** Hypotheses that are kept at each step; 1 is greedy. @default 1 */
  beam?: number
  /** The most symbols that are written. @default S + max(8, S/2), S being the length of the source */
  maxLength?: number
}

export interface Hypothesis {
  symbols: string[]
  /** log p(symbols, `<EOS>` | source), in nats. */
  logProbability: number
  /** Whether it ended by itself; false if it was cut at `maxLength`. */
  ended: boolean
}

/** Rows (sources × beam) that are decoded together. */
const ROWS = 1024
/** Stands for −∞ where a difference of two must not become NaN. */
const NEVER = -1e9

/** See `EncoderDecoder.decode`. */
export async function decode(
  model: EncoderDecoder,
  sources: readonly (readonly string[])[],
  options: DecodeOptions,
): Promise<Hypothesis[][]> {
  const { beam = 1, maxLength } = taken(options, 'decode')
  for (const source of checkList(sources, 'sources', 'decode')) checkList(source, 'each source', 'decode')
  const widest = model.target.size - 1
  if (!Number.isInteger(beam) || beam < 1 || beam > widest) {
    throw new ArgumentError(`decode: beam must be a whole number within 1 … ${widest}, got ${String(beam)}`, {
      op: 'decode',
      expected: `1 … ${widest}`,
      got: String(beam),
    })
  }
  if (maxLength !== undefined && !(Number.isInteger(maxLength) && maxLength >= 1)) {
    throw new ArgumentError(`decode: maxLength must be a whole number ≥ 1, got ${String(maxLength)}`, {
      op: 'decode',
      got: String(maxLength),
    })
  }
  const results = new Array<Hypothesis[]>(sources.length)
  for (const batch of batches(model, sources, Math.max(1, Math.floor(ROWS / beam)))) {
    const length = batch.length
    const steps = maxLength ?? length + Math.max(8, Math.ceil(length / 2))
    const written = await search(model, batch.ids, beam, steps)
    for (const [i, row] of batch.rows.entries()) results[row] = written[i] as Hypothesis[]
  }
  return results
}

interface Batch {
  /** Positions in `sources`. */
  rows: number[]
  ids: number[][]
  length: number
}

/** Sources of equal length together, at most `size` at a time. */
function batches(model: EncoderDecoder, sources: readonly (readonly string[])[], size: number): Batch[] {
  const open = new Map<number, Batch>()
  const all: Batch[] = []
  for (const [row, symbols] of sources.entries()) {
    if (symbols.length === 0)
      throw new ArgumentError(`decode: source ${row} is empty`, {
        op: 'decode',
        expected: 'at least one symbol',
        got: 'none',
      })
    let batch = open.get(symbols.length)
    if (batch === undefined || batch.rows.length === size) {
      batch = { rows: [], ids: [], length: symbols.length }
      open.set(symbols.length, batch)
      all.push(batch)
    }
    batch.rows.push(row)
    batch.ids.push(model.source.encode(symbols))
  }
  return all
}

/**
 * Left-to-right beam search over a batch, one unit of the second lane: all steps are recorded at once, and only the symbols written, the positions they
 * continue and the final scores are read. A hypothesis that has ended writes `<PAD>` at no cost and keeps its place.
 */
async function search(model: EncoderDecoder, ids: number[][], beam: number, steps: number): Promise<Hypothesis[][]> {
  const { symbols, parents, scores } = new Mode(model).run(false, () => ahead(() => record(model, ids, beam, steps)))
  const [written, from, final] = await Promise.all([symbols.data(), parents.data(), scores.data()])
  for (const read of [symbols, parents, scores]) read.dispose()
  return ids.map((_, b) =>
    Array.from({ length: beam }, (_, w) => {
      const path: number[] = []
      let at = w
      for (let t = steps - 1; t >= 0; t--) {
        const position = (t * ids.length + b) * beam + at
        path.unshift(Number(written[position]))
        at = Number(from[position])
      }
      const ended = path.includes(EOS_ID)
      return { symbols: model.target.decode(path), logProbability: final[b * beam + w] as number, ended }
    }),
  )
}

/** symbols and parents [steps, B, W] int64, scores [B, W]: hypothesis w of step t continues hypothesis parents[t, b, w] of the step before. */
function record(model: EncoderDecoder, ids: number[][], beam: number, steps: number) {
  const device = model.device
  const B = ids.length
  const V = model.target.size
  const int64 = { dtype: 'int64', device } as const
  const source = tensor(ids, int64)
  // Added to log probabilities: nothing writes <PAD> but a hypothesis that has ended, and that writes nothing else.
  const symbol = arange(0, V, int64).unsqueeze(0)
  const isPad = symbol.eq(PAD_ID)
  const writing = where(isPad, full([1, V], NEVER, { device }), 0)
  const resting = where(isPad, full([1, V], 0, { device }), NEVER)
  const firstRow = arange(0, B, int64).mul(beam).unsqueeze(1)

  const symbols: Tensor[] = []
  const parents: Tensor[] = []
  const folded = model.folded()
  let state: LSTMState = model.encode(source)
  let scores: Tensor = full([B, 1], 0, { device })
  let last: Tensor = full([B], EOS_ID, int64)
  let ended: Tensor | undefined
  for (let t = 0; t < steps; t++) {
    const W = scores.shape[1] as number // 1 at the first step, when all hypotheses are one
    const out = model.step(last, state, folded)
    const logp = out.logits.logSoftmax(-1).to('float32').add(writing)
    const rows = ended === undefined ? logp : where(ended.unsqueeze(1), resting, logp)
    const best = scores
      .unsqueeze(2)
      .add(rows.reshape([B, W, V]))
      .reshape([B, W * V])
      .topk(beam)
    const parent = best.indices.div(V).floor().to('int64')
    const written = best.indices.sub(parent.mul(V))
    symbols.push(written)
    parents.push(parent)
    scores = best.values
    last = written.reshape([B * beam])
    ended = last.le(EOS_ID)
    if (beam === 1) state = out.state
    else {
      const row = (W === 1 ? arange(0, B, int64).unsqueeze(1).expand([B, beam]) : parent.add(firstRow)).reshape([
        B * beam,
      ])
      state = { h: out.state.h.indexSelect(1, row), c: out.state.c.indexSelect(1, row) }
    }
  }
  return { symbols: stack(symbols), parents: stack(parents), scores }
}
