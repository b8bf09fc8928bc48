// The recorded form of a search: a step of a model, and what the engine is asked to find with it. src/models/search.ts is what users call.
import { ArgumentError, DTypeError, ShapeError } from '../errors.js'
import { isFloat } from './dtype.js'
import type { SearchAttributes } from './ops/control.js'
import { define, forget } from './program.js'
import { newId } from './queue.js'
import { type Meta, needTensor, type Result, record } from './record.js'
import { sameShape, show } from './shape.js'
import { Tensor } from './tensor.js'

export type Named = { readonly [name: string]: Tensor }

export interface StepResult<S> {
  /** [N, V] */
  logits: Tensor
  /** As the step was given it: same names, shapes and dtypes. */
  state: S
  /** `[N, S]`: how much of each position of the source went into the prediction. */
  attention?: Tensor
}

/** What is looked for, checked but for what only the step can tell. */
export interface SearchRequest<S extends Named, C extends Named>
  extends Omit<SearchAttributes, 'program' | 'token' | 'states' | 'contexts'> {
  step: (last: Tensor, state: S, context: C) => StepResult<S>
  state: S
  context: C
}

export interface RecordedSearch {
  /** Under which `abort` stops it. */
  token: number
  /** int64 [B, A, L]: −1 after what was written. */
  ids: Tensor
  /** float64 [B, A, 2]: log probability and score, NaN where there are fewer than A sequences. */
  scores: Tensor
  /** float32 [B, A, L, S] */
  attention: Tensor | undefined
}

/**
 * Records a search as one operation.
 *
 * @throws ShapeError, DTypeError for what the step gives; ArgumentError for a beam wider than its vocabulary and for ids that are not in it.
 */
export function recordSearch<S extends Named, C extends Named>(request: SearchRequest<S, C>): RecordedSearch {
  const { state, context, batch, beam } = request
  const N = batch * beam
  const first = [...Object.values(state), ...Object.values(context)][0] as Tensor
  const repeated = (x: Tensor): Meta & { requiresGrad: boolean } => {
    return { shape: [N, ...x.shape.slice(1)], dtype: x.dtype, device: x.device, requiresGrad: false }
  }
  const last = { shape: [N], dtype: 'int64', device: first.device, requiresGrad: false } as const
  const recorded = define(
    'search',
    [last, ...Object.values(state).map(repeated), ...Object.values(context).map(repeated)],
    ([symbols, ...rest]) => {
      let next = 0
      const given = <T extends Named>(named: T): T =>
        Object.fromEntries(Object.keys(named).map((name) => [name, rest[next++]])) as unknown as T
      const result = request.step(symbols as Tensor, given(state), given(context))
      return checkStep(request, result, N)
    },
  )
  const [logits, ...others] = recorded.outputs as [Meta, ...Meta[]]
  checkIds(request, logits.shape[1] as number)
  const token = newId()
  const { wanted, lengths } = request
  const longest = Math.max(...lengths)
  const metas: Meta[] = [
    { shape: [batch, wanted, longest], dtype: 'int64', device: 'cpu' },
    { shape: [batch, wanted, 2], dtype: 'float64', device: 'cpu' },
  ]
  if (request.attention) {
    const positions = (others.at(-1) as Meta).shape[1] as number
    metas.push({ shape: [batch, wanted, longest, positions], dtype: 'float32', device: 'cpu' })
  }
  const inputs = [...Object.values(state), ...Object.values(context), ...recorded.captured]
  const states = Object.keys(state).length
  const results = record('search', inputs, {
    ...request,
    metas,
    program: recorded.id,
    token,
    states,
    contexts: Object.keys(context).length,
  })
  forget(recorded)
  const [ids, scores, attention] = results.map((result: Result) => new Tensor(result)) as [Tensor, Tensor, Tensor?]
  return { token, ids, scores, attention }
}

/** The outputs of the step in their order, each as it has to be. */
function checkStep<S extends Named>(
  { state, attention: wanted }: { state: S; attention: boolean },
  result: StepResult<S>,
  N: number,
): Tensor[] {
  const op = 'search'
  if (typeof result !== 'object' || result === null || typeof result.state !== 'object' || result.state === null) {
    throw new ArgumentError('search: step must return { logits, state }', { op, expected: '{ logits, state }' })
  }
  const { logits, attention } = result
  needTensor(logits, op, 'the logits of step')
  if (logits.shape.length !== 2 || logits.shape[0] !== N || logits.shape[1] === 0)
    throw badShape('the logits of step', `[N=${N}, V]`, logits)
  needFloat(logits, 'the logits of step')
  const states = Object.entries(state).map(([name, before]) => {
    const after = (result.state as Named)[name]
    needTensor(after, op, `the next state '${name}'`)
    const expected = [N, ...before.shape.slice(1)]
    if (!sameShape((after as Tensor).shape, expected))
      throw badShape(`the next state '${name}'`, show(expected), after as Tensor)
    if ((after as Tensor).dtype !== before.dtype)
      throw badDType(`the next state '${name}'`, before.dtype, after as Tensor)
    return after as Tensor
  })
  if (!wanted) return [logits, ...states]
  needTensor(attention, op, 'the attention of step')
  const weights = attention as Tensor
  if (weights.shape.length !== 2 || weights.shape[0] !== N)
    throw badShape('the attention of step', `[N=${N}, S]`, weights)
  needFloat(weights, 'the attention of step')
  return [logits, ...states, weights]
}

function checkIds(
  {
    beam,
    end,
    banned,
    prefix,
    sampling,
  }: Pick<SearchRequest<Named, Named>, 'beam' | 'end' | 'banned' | 'prefix' | 'sampling'>,
  V: number,
): void {
  const known = (id: number, what: string): void => {
    if (id < V) return
    const expected = `0 … ${V - 1}`
    throw new ArgumentError(`search: ${what} must be within ${expected}, got ${id}`, {
      op: 'search',
      expected,
      got: String(id),
    })
  }
  known(end, 'end')
  for (const id of banned) known(id, 'banned')
  for (const id of prefix.flat()) known(id, 'every id of prefix')
  const widest = V - new Set(banned).size
  if (sampling === undefined && beam > widest) {
    const expected = `1 … ${widest}`
    throw new ArgumentError(`search: beam must be within ${expected}, the symbols that may be written, got ${beam}`, {
      op: 'search',
      expected,
      got: String(beam),
    })
  }
}

function badShape(what: string, expected: string, { shape }: Meta): ShapeError {
  return new ShapeError(`search: ${what} must be ${expected}, got ${show(shape)}`, {
    op: 'search',
    expected,
    got: show(shape),
  })
}

function badDType(what: string, expected: string, { dtype }: Meta): DTypeError {
  return new DTypeError(`search: ${what} must be ${expected}, got ${dtype}`, { op: 'search', expected, got: dtype })
}

function needFloat(x: Meta, what: string): void {
  if (!isFloat(x.dtype)) throw badDType(what, 'a float dtype', x)
}
