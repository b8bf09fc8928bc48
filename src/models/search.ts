// Writing sequences with a model's step: beam search, greedy search and sampling, run by the engine from the first symbol to the last.
import { AbortedError, ArgumentError, QuarterturnError } from '../errors.js'
import { native } from '../native.js'
import { ahead, Generator, generator, Tensor } from '../tensor/index.js'
import { recordSearch, type StepResult } from '../tensor/search.js'
import { told } from '../told.js'
import { refused, taken } from './check.js'

export type { StepResult }

/** What a model has to say for sequences to be written with it. B sentences, N = B × beam hypotheses. */
export interface SearchProblem<S extends Record<string, Tensor>> {
  /**
   * What may follow the symbols `last`, int64 [N], and the state after them. It is recorded once and run for every symbol: synchronous, with Variables
   * and its arguments alone. What it computes of `context` and Variables alone is computed once per search.
   */
  step(last: Tensor, state: S, context: Record<string, Tensor>): StepResult<S>
  /** Before the first symbol: each [B, …]. */
  state: S
  /** What does not change from symbol to symbol, such as the encoder's outputs: each [B, …]; the step gets [N, …]. */
  context?: Record<string, Tensor>
  /** The id that stands before the first symbol. */
  start: number
  /** The id of `<EOS>`. */
  end: number
  /** Ids that are never written. Probabilities stay those of the model: they are not divided among the rest. */
  banned?: readonly number[]
}

export interface SampleOptions {
  /** Logits are divided by it: below 1 likelier symbols become more frequent. @default 1 */
  temperature?: number
  /** Only so many of the likeliest symbols. @default all */
  topK?: number
  /** Only the likeliest symbols that together hold this share (Holtzman et al. 2020). @default 1 */
  topP?: number
  /** The same seed draws the same sequences. @default drawn from the ambient generator */
  seed?: number | bigint
}

export interface SearchOptions {
  /** Hypotheses that are kept at each step, 1 being greedy; with `sample`, how many sequences are drawn. @default 1 */
  beam?: number
  /** The most symbols that are written, `<EOS>` included; of all or of each sentence. */
  maxLength: number | readonly number[]
  /** Sequences that are given back. A search for fewer ends sooner. @default beam */
  alternatives?: number
  /** α of score = log p / ((5 + |y|) / 6)^α, |y| with `<EOS>` (Wu et al. 2016). @default 0: score = log p */
  lengthPenalty?: number
  /** What each sentence has to begin with. @default nothing */
  prefix?: readonly (readonly number[])[]
  /** Draws symbols instead of searching for the likeliest. */
  sample?: SampleOptions
  /** Whether the step's attention is given back. @default false */
  attention?: boolean
  /** Stops the search between two symbols. */
  signal?: AbortSignal
}

/** A sequence that was written. */
export interface Found {
  /** Without `<EOS>`. */
  ids: number[]
  /** log p of all that was written by the model itself, `<EOS>` included, in nats. */
  logProbability: number
  /** What the order goes by: log p with the length penalty. */
  score: number
  /** Whether it wrote `<EOS>`; false if it was cut at `maxLength`. */
  ended: boolean
  /** For each of `ids` a share of each position of the source. */
  attention?: Float32Array[]
}

const OP = 'search'

/**
 * Writes sequences from left to right, for each of B sentences, and gives the best first.
 *
 * A function that makes the problem, encoding the sources, say, is called at once, and what it computes goes ahead of the queue with the search.
 *
 * Every hypothesis of a sentence is continued by every symbol, and the `beam` likeliest continuations are kept; one that writes `end` leaves the beam
 * for the list of the finished, and the beam goes on with the rest until none of them can still be among the `alternatives` best, or to `maxLength`
 * (Sutskever, Vinyals and Le 2014, section 3.2). Since probabilities only fall, the stop loses nothing. Of equal ones the better hypothesis goes first,
 * then the lower id. Those cut at `maxLength` stand among the others by their score, with `ended: false`.
 *
 * With `sample`, `beam` sequences are drawn independently of each other; log probabilities are those of the model, whatever the temperature.
 *
 * The engine runs all of it ahead of the queue, on the weights of this moment, without JavaScript in between; other things that go ahead are served
 * between two symbols. float32 and half precision are summed in float32 and float64, float64 in float64.
 *
 * @throws ArgumentError, ShapeError, DTypeError for what does not fit, also a beam wider than the vocabulary; NotFiniteError where the step gives NaN;
 * AbortedError where `signal` says so.
 *
 * @example
 * // A model that knows one thing: after 2 comes 3, and then the end, 1.
 * const likely = new Variable(tensor([[0, 0, 9, 0], [0, 9, 0, 0], [0, 0, 0, 9], [0, 9, 0, 0]]))
 * const found = await models.search(
 *   { step: (last, state) => ({ logits: nn.functional.embedding(last, likely), state }), state: { none: zeros([1, 1]) }, start: 0, end: 1 },
 *   { beam: 2, maxLength: 5, alternatives: 1 },
 * )
 * console.log(found[0][0].ids) // [2, 3]
 */
export async function search<S extends Record<string, Tensor>>(
  problem: SearchProblem<S> | (() => SearchProblem<S>),
  options: SearchOptions,
): Promise<Found[][]> {
  const given = taken(options, OP)
  const { signal } = given
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw refused(OP, 'signal', 'an AbortSignal', signal)
  const isAborted = (): boolean => signal?.aborted === true
  if (signal !== undefined && isAborted()) throw aborted('before the first step', signal)
  const { token, sizes, ...found } = ahead(() => begin(typeof problem === 'function' ? problem() : problem, given))
  const stop = (): void => native().abort(token, true)
  signal?.addEventListener('abort', stop, { once: true })
  try {
    const [ids, scores, weights] = await Promise.all([found.ids.data(), found.scores.data(), found.attention?.data()])
    return results(ids as BigInt64Array, scores as Float64Array, weights as Float32Array | undefined, sizes)
  } catch (error) {
    if (signal !== undefined && isAborted() && error instanceof QuarterturnError && error.code === 'ERR_ABORTED')
      throw aborted(error.message.replace(/^.*aborted /, ''), signal)
    throw error
  } finally {
    signal?.removeEventListener('abort', stop)
    if (isAborted()) native().abort(token, false)
    for (const tensor of [found.ids, found.scores, found.attention]) tensor?.dispose()
  }
}

function aborted(when: string, signal: AbortSignal): AbortedError {
  return new AbortedError(`search: aborted ${when}`, { op: OP, cause: signal.reason })
}

/** Records the search of a problem. */
function begin<S extends Record<string, Tensor>>(problem: SearchProblem<S>, options: SearchOptions) {
  const checked = checkProblem(problem)
  const { state, context, end, banned } = checked
  const batch = batchOf(state, context)
  const { sample, ...asked } = checkOptions(options, batch, [end, ...banned])
  const { beam, wanted, lengths } = asked
  const longest = Math.max(...lengths)
  const drawn = sample && (sample.seed === undefined ? generator() : new Generator(sample.seed))
  const sampling = sample && drawn && { ...sample, ...drawn.draw(longest * batch * beam) }
  const recorded = recordSearch({ ...checked, ...asked, batch, sampling })
  return { ...recorded, sizes: { batch, wanted, longest, end, positions: recorded.attention?.shape[3] ?? 0 } }
}

interface Sizes {
  batch: number
  wanted: number
  longest: number
  end: number
  /** Of the source. */
  positions: number
}

function results(
  ids: BigInt64Array,
  scores: Float64Array,
  weights: Float32Array | undefined,
  { batch, wanted, longest, end, positions }: Sizes,
): Found[][] {
  return Array.from({ length: batch }, (_, b) => {
    const all: Found[] = []
    for (let place = b * wanted; place < (b + 1) * wanted && !Number.isNaN(scores[2 * place]); place++) {
      const written = Array.from(ids.subarray(place * longest, (place + 1) * longest), Number).filter((id) => id >= 0)
      const ended = written.at(-1) === end
      if (ended) written.pop()
      const row = (t: number): Float32Array => {
        const from = (place * longest + t) * positions
        return (weights as Float32Array).slice(from, from + positions)
      }
      all.push({
        ids: written,
        logProbability: scores[2 * place] as number,
        score: scores[2 * place + 1] as number,
        ended,
        ...(weights === undefined ? {} : { attention: written.map((_, t) => row(t)) }),
      })
    }
    return all
  })
}

function checkProblem<S extends Record<string, Tensor>>(problem: SearchProblem<S>): Required<SearchProblem<S>> {
  const { step, state, context = {}, start, end, banned = [] } = taken(problem, OP, 'the problem')
  if (typeof step !== 'function') throw refused(OP, 'step', 'a function', step)
  id(start, 'start')
  id(end, 'end')
  for (const each of list(banned, 'banned')) id(each, 'every id of banned')
  return { step, state: taken(state, OP, 'state'), context: taken(context, OP, 'context'), start, end, banned }
}

/** B, which all tensors must agree on. */
function batchOf(state: Record<string, Tensor>, context: Record<string, Tensor>): number {
  let batch: number | undefined
  for (const [name, x] of [...Object.entries(state), ...Object.entries(context)]) {
    if (!(x instanceof Tensor)) throw refused(OP, `'${name}' of state or context`, 'a tensor', x)
    const rows = x.shape[0]
    if (rows === undefined || rows === 0 || rows !== (batch ?? rows)) {
      const expected = batch === undefined ? '[B, …] with at least one sentence' : `[B=${batch}, …]`
      throw new ArgumentError(`search: '${name}' must be ${expected}, got [${x.shape.join(', ')}]`, {
        op: OP,
        expected,
        got: `[${x.shape.join(', ')}]`,
      })
    }
    batch = rows
  }
  if (batch === undefined) throw refused(OP, 'state', 'an object with at least one tensor', state)
  return batch
}

function checkOptions(options: SearchOptions, batch: number, [end, ...banned]: number[]) {
  const { beam = 1, maxLength, alternatives = beam, lengthPenalty = 0, prefix, sample, attention = false } = options
  whole(beam, 'beam', 1)
  whole(alternatives, 'alternatives', 1)
  const lengths = Array.isArray(maxLength) ? [...maxLength] : new Array<number>(batch).fill(maxLength as number)
  for (const each of lengths) whole(each, 'maxLength', 1)
  if (lengths.length !== batch)
    throw refused(OP, 'maxLength', `a number, or one for each of ${batch} sentences`, told(maxLength))
  if (typeof lengthPenalty !== 'number' || !(lengthPenalty >= 0 && lengthPenalty < Number.POSITIVE_INFINITY))
    throw refused(OP, 'lengthPenalty', 'a number ≥ 0', lengthPenalty)
  const prefixes =
    prefix === undefined ? lengths.map(() => []) : list(prefix, 'prefix').map((ids) => [...list(ids, 'each of prefix')])
  if (prefixes.length !== batch)
    throw refused(OP, 'prefix', `a list of ids for each of ${batch} sentences`, `${prefixes.length}`)
  for (const [b, ids] of prefixes.entries()) {
    for (const each of ids) {
      id(each, 'every id of prefix')
      if (each === end || banned.includes(each))
        throw refused(OP, 'every id of prefix', 'neither the end nor banned', each)
    }
    if (ids.length > (lengths[b] as number))
      throw refused(OP, `prefix ${b}`, `no longer than maxLength = ${lengths[b]}`, `${ids.length} ids`)
  }
  if (typeof attention !== 'boolean') throw refused(OP, 'attention', 'true or false', attention)
  return {
    ...{ beam, lengths, wanted: alternatives, alpha: lengthPenalty, prefix: prefixes, attention },
    sample: sample === undefined ? undefined : checkSample(sample),
  }
}

function checkSample(sample: SampleOptions) {
  const { temperature = 1, topK, topP = 1, seed } = taken(sample, OP, 'sample')
  if (typeof temperature !== 'number' || !(temperature > 0 && temperature < Number.POSITIVE_INFINITY))
    throw refused(OP, 'temperature', 'a number > 0', temperature)
  if (topK !== undefined) whole(topK, 'topK', 1)
  if (typeof topP !== 'number' || !(topP > 0 && topP <= 1))
    throw refused(OP, 'topP', 'a number within 0 … 1, above 0', topP)
  return { temperature, topK: topK ?? 0, topP, seed }
}

function list<T>(value: readonly T[], name: string): readonly T[] {
  if (Array.isArray(value)) return value
  throw refused(OP, name, 'an array', value)
}

function id(value: unknown, name: string): void {
  whole(value, name, 0)
}

/** @throws ArgumentError unless it is a whole number of at least `least`, and no larger than what fits into 31 bits. */
function whole(value: unknown, name: string, least: number): void {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) < 2 ** 31) return
  throw refused(OP, name, `a whole number ≥ ${least}`, value)
}
