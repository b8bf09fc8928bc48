// Left-to-right beam search, recorded whole.
import { ahead, arange, full, stack, type Tensor, tensor, where } from '../../tensor/index.js'
import type { Tensors } from './network.js'

export interface StepResult<S> {
  logits: Tensor
  state: S
  attention?: Tensor
}
export interface SearchProblem<S extends Record<string, Tensor>> {
  step(last: Tensor, state: S, context: Record<string, Tensor>): StepResult<S>
  state: S
  context?: Record<string, Tensor>
  start: number
  end: number
  banned?: readonly number[]
}
export interface SearchOptions {
  beam?: number
  maxLength: number | number[]
  alternatives?: number
  lengthPenalty?: number
  prefix?: number[][]
  sample?: { temperature?: number; topK?: number; topP?: number; seed?: number | bigint }
  attention?: boolean
  signal?: AbortSignal
}
export interface Found {
  ids: number[]
  logProbability: number
  score: number
  ended: boolean
  attention?: Float32Array[]
}

const NEVER = -1e9

export async function search(
  problem: SearchProblem<Tensors>,
  { beam = 1, maxLength }: SearchOptions,
): Promise<Found[][]> {
  const steps = typeof maxLength === 'number' ? maxLength : Math.max(...maxLength)
  const { symbols, parents, scores, B } = ahead(() => record(problem, beam, steps)) as ReturnType<typeof record>
  const [written, from, final] = await Promise.all([symbols.data(), parents.data(), scores.data()])
  for (const read of [symbols, parents, scores]) read.dispose()
  return Array.from({ length: B }, (_, b) =>
    Array.from({ length: beam }, (_, w) => {
      const path: number[] = []
      let at = w
      for (let t = steps - 1; t >= 0; t--) {
        const position = (t * B + b) * beam + at
        path.unshift(Number(written[position]))
        at = Number(from[position])
      }
      const ended = path.includes(1)
      const logProbability = final[b * beam + w] as number
      return { ids: ended ? path.slice(0, path.indexOf(1)) : path, logProbability, score: logProbability, ended }
    }),
  )
}

function record(problem: SearchProblem<Tensors>, beam: number, steps: number) {
  const first = Object.values({ ...problem.state, ...problem.context })[0] as Tensor
  const { device } = first
  const B = first.shape[0] as number
  const int64 = { dtype: 'int64', device } as const
  const firstRow = arange(0, B, int64).mul(beam).unsqueeze(1)
  const symbols: Tensor[] = []
  const parents: Tensor[] = []
  const each = (state: Tensors, fn: (part: Tensor) => Tensor): Tensors =>
    Object.fromEntries(Object.entries(state).map(([name, part]) => [name, fn(part)]))
  const spread = arange(0, B, int64)
    .unsqueeze(1)
    .expand([B, beam])
    .reshape([B * beam])
  let state = each(problem.state, (part) => part.indexSelect(0, spread))
  const context = each(problem.context ?? {}, (part) => part.indexSelect(0, spread))
  let scores: Tensor = tensor([[0, ...Array(beam - 1).fill(NEVER)]], { device }).expand([B, beam])
  let last: Tensor = full([B * beam], problem.start, int64)
  let ended: Tensor | undefined
  for (let t = 0; t < steps; t++) {
    const out = problem.step(last, state, context)
    const V = out.logits.shape[1] as number
    const symbol = arange(0, V, int64).unsqueeze(0)
    const isPad = symbol.eq(0)
    const logp = where(isPad, NEVER, out.logits.logSoftmax(-1).to('float32'))
    const resting = where(isPad, full([1, V], 0, { device }), NEVER)
    const rows = ended === undefined ? logp : where(ended.unsqueeze(1), resting, logp)
    const best = scores
      .unsqueeze(2)
      .add(rows.reshape([B, beam, V]))
      .reshape([B, beam * V])
      .topk(beam)
    const parent = best.indices.div(V).floor().to('int64')
    const written = best.indices.sub(parent.mul(V))
    symbols.push(written)
    parents.push(parent)
    scores = best.values
    last = written.reshape([B * beam])
    ended = last.le(1)
    const row = parent.add(firstRow).reshape([B * beam])
    state = each(out.state, (part) => part.indexSelect(0, row))
  }
  return { symbols: stack(symbols), parents: stack(parents), scores, B }
}
