// The kernels, against PyTorch's own operations in one process, and against what the machine can do. Sizes: T x B x H with I = H.
import { fileURLToPath } from 'node:url'
import type { BenchCase, Context, Duel, RatioCase } from '../case.js'
import { FED } from '../duel.js'
import { type Isa, kernelBench, multiplyAddPeak } from '../kernel-bench.js'

type Sizes = readonly number[]
type Mode = 'inference' | 'train'

const MODES = ['inference', 'train'] as const
const EAGER = 'PyTorch 2.11 eager'

const THREADS = 2
const ROUNDS = 9
/** Rounds against torch.compile, whose figure stands beside. */
const COMPILED_ROUNDS = 5
const ADDON =
  process.env.QUARTERTURN_ADDON ??
  fileURLToPath(new URL(`../../../quarterturn.${process.platform}-${process.arch}-gnu.node`, import.meta.url))

/** What an operation cannot do without: floating point operations of its matrix products, or bytes read and written. */
interface Work {
  of: 'peak' | 'memory'
  amount: Record<Mode, number>
}

interface Row {
  op: string
  sizes: Sizes
  mode: Mode
  goal: number
  opponent: string
  work: Work
  /** glibc told to keep its memory. */
  fed?: boolean
  isa?: Isa
  /** Of all tensors. @default 'float32' */
  dtype?: 'float32' | 'bfloat16'
  /** Says what torch.compile makes of PyTorch's side. */
  compiled?: boolean
}

function id({ op, sizes, mode, fed, isa, dtype = 'float32' }: Row): string {
  return `kernels/${isa === undefined ? '' : `${isa}/`}${op}/${dtype}/${sizes.join('x')}/${mode}${fed ? '/fed' : ''}`
}

/** The process of a row: both sides live in it. */
async function start(context: Context, { op, sizes, mode, fed, isa, dtype }: Row) {
  const options = { op, sizes, train: mode === 'train', addon: ADDON, dtype: dtype ?? 'float32' }
  const env = { ...(fed && FED), ...(isa !== undefined && { QUARTERTURN_ISA: isa }) }
  const peer = await context.python('kernels', options, env)
  return {
    check: async () => {
      await peer.value({ check: true })
    },
    time: (side: 'ours' | 'theirs' | 'compiled') => peer.value({ time: side }),
    others: () => peer.value({ others: true }),
    close: () => peer.close(),
  }
}

function ratioCase(name: string, { goal, opponent }: Row, duel: RatioCase['start']): RatioCase {
  return { id: name, kind: 'ratio', unit: 'ms', threads: THREADS, rounds: ROUNDS, goal, opponent, start: duel }
}

/** Against PyTorch; beside it the share of the peak, or what goes through memory. */
function againstPyTorch(row: Row): RatioCase {
  const duel = async (context: Context): Promise<Duel> => {
    const { check, time, others, close } = await start(context, row)
    return {
      check,
      ours: () => time('ours'),
      theirs: () => time('theirs'),
      others,
      beside: async ({ ours }) => ({
        ...(await rate(row, ours, context.threads)),
        ...(row.compiled && (await compiled(time))),
      }),
      close,
    }
  }
  return ratioCase(id(row), row, duel)
}

async function rate({ work, mode, isa }: Row, ms: number, threads: number): Promise<Record<string, number>> {
  const perSecond = work.amount[mode] / ms / 1e6 // in 10^9
  return work.of === 'memory' ? { 'GB/s': perSecond } : { 'of peak': perSecond / (await multiplyAddPeak(threads, isa)) }
}

/** The median ratio of torch.compile to ours; nothing where it does not work, as without a C++ compiler. */
async function compiled(time: (side: 'ours' | 'compiled') => Promise<number>): Promise<Record<string, number>> {
  try {
    await time('compiled')
    const ratios: number[] = []
    for (let i = 0; i < COMPILED_ROUNDS; i++) ratios.push((await time('compiled')) / (await time('ours')))
    return { 'torch.compile / ours': ratios.sort((a, b) => a - b)[COMPILED_ROUNDS >> 1] as number }
  } catch (error) {
    process.stderr.write(`torch.compile: ${error instanceof Error ? error.message : String(error)}\n`)
    return {}
  }
}

/** Against the multiply-add peak: "theirs" is how long the products alone would take, so the ratio is the share of the peak. */
function againstPeak(row: Row): RatioCase {
  const duel = async (context: Context): Promise<Duel> => {
    const { check, time, others, close } = await start(context, row)
    let disturbed = 0
    return {
      check,
      ours: async () => {
        await others()
        const ms = await time('ours')
        disturbed = await others()
        return ms
      },
      theirs: async () => row.work.amount[row.mode] / (await multiplyAddPeak(context.threads)) / 1e6,
      others: async () => disturbed,
      close,
    }
  }
  return ratioCase(id(row).replace('kernels/', 'kernels/peak/'), row, duel)
}

type Goals = [sizes: Sizes, lstm: number, lstmTrain: number, lstmFed: number, gru: number, gruTrain: number]

const GOALS: Goals[] = [
  [[128, 1, 128], 2.1, 2.2, 2.2, 11, 18],
  [[128, 4, 128], 1.65, 1.55, 1.5, 7, 11],
  [[128, 16, 128], 1.22, 1.22, 1.2, 3.0, 3.9],
  [[1024, 16, 64], 1.6, 2.45, 1.5, 6.1, 11],
  [[150, 32, 256], 1.06, 1.24, 1.03, 1.87, 1.78],
  [[25, 64, 512], 1.04, 1.1, 1.0, 1.45, 1.32],
]
const AVX2_SHARE = 0.85
const PEAK: Record<Mode, number> = { inference: 0.92, train: 0.86 }
const PEAK_FROM_BATCH = 32

/** Products of a dense recurrence; training has those of the gradients of x, h and the weights too. */
function products([T = 0, B = 0, H = 0]: Sizes, gates: number): Work {
  const forward = 2 * T * B * gates * H * 2 * H
  return { of: 'peak', amount: { inference: forward, train: 3 * forward } }
}

function recurrence(op: 'lstm' | 'gru' | 'elman', sizes: Sizes, mode: Mode, goal: number): Row {
  const opponent = `${EAGER}, torch.nn.${{ lstm: 'LSTM', gru: 'GRU', elman: 'RNN' }[op]}`
  return { op, sizes, mode, goal, opponent, work: products(sizes, { lstm: 4, gru: 3, elman: 1 }[op]) }
}

/** The table of LSTM and GRU. */
const table = GOALS.flatMap(([sizes, lstm, lstmTrain, lstmFed, gru, gruTrain]): Row[] => {
  const fed = recurrence('lstm', sizes, 'train', lstmFed)
  return [
    recurrence('lstm', sizes, 'inference', lstm),
    recurrence('lstm', sizes, 'train', lstmTrain),
    { ...fed, fed: true, opponent: `${fed.opponent}, fed` },
    recurrence('gru', sizes, 'inference', gru),
    recurrence('gru', sizes, 'train', gruTrain),
  ]
})
/** Two layers, and two directions: each by one operation. Goals of LSTM; those of GRU are the table's. */
const STACK_GOALS: [sizes: Sizes, lstm: number, gru: number][] = [
  [[128, 16, 128], 1.4, 3.9],
  [[150, 32, 256], 1.1, 1.78],
]
const stacks = STACK_GOALS.flatMap(([sizes, lstm, gru]) =>
  (['lstm', 'gru'] as const).flatMap((cell) =>
    ([`${cell}2`, `bi${cell}`] as const).map((op): Row => {
      const name = { lstm: 'LSTM', gru: 'GRU' }[cell]
      const opponent = `${EAGER}, torch.nn.${name}${op.endsWith('2') ? ', 2 layers' : ', bidirectional'}`
      const work = products(sizes, { lstm: 8, gru: 6 }[cell])
      return { op, sizes, mode: 'train', goal: { lstm, gru }[cell], opponent, work }
    }),
  ),
)
/** Ours both ways. */
const wavefronts = [[128, 1, 128] as Sizes, ...STACK_GOALS.map(([sizes]) => sizes)].flatMap((sizes) =>
  (['lstm2', 'bilstm', 'gru2', 'bigru'] as const).flatMap((stack) =>
    MODES.map((mode): Row => {
      const work = products(sizes, stack.includes('lstm') ? 8 : 6)
      return { op: `wavefront/${stack}`, sizes, mode, goal: 1, opponent: 'ours, layer by layer', work }
    }),
  ),
)
const elman = GOALS.map(([sizes, , , , , goal]) => recurrence('elman', sizes, 'train', goal))
/** bfloat16: goals of inference, training, and training fed. */
const HALF_GOALS: [sizes: Sizes, lstm: readonly [number, number, number], gru: number][] = [
  [[128, 16, 128], [1.4, 1.5, 1.5], 2.5],
  [[1024, 16, 64], [2, 3.2, 2], 8],
  [[150, 32, 256], [1.1, 1.45, 1.45], 1.8],
]
const halves = HALF_GOALS.flatMap(([sizes, [inference, train, trainFed], gru]): Row[] => {
  const fed = recurrence('lstm', sizes, 'train', trainFed)
  const fedGru = recurrence('gru', sizes, 'train', gru)
  const rows = [
    recurrence('lstm', sizes, 'inference', inference),
    recurrence('lstm', sizes, 'train', train),
    { ...fed, fed: true, opponent: `${fed.opponent}, fed` },
    recurrence('gru', sizes, 'inference', gru),
    recurrence('gru', sizes, 'train', gru),
    { ...fedGru, fed: true, opponent: `${fedGru.opponent}, fed` },
  ]
  return rows.map((row) => ({ ...row, dtype: 'bfloat16', opponent: row.opponent.replace(EAGER, `${EAGER}, bfloat16`) }))
})
const forced = table.map((row): Row => ({ ...row, isa: 'avx2', goal: Number((AVX2_SHARE * row.goal).toPrecision(4)) }))
const peak = GOALS.filter(([[, B = 0]]) => B >= PEAK_FROM_BATCH).flatMap(([sizes]) =>
  (['lstm', 'gru'] as const).flatMap((op) =>
    MODES.map((mode) => ({ ...recurrence(op, sizes, mode, PEAK[mode]), opponent: 'multiply-add peak' })),
  ),
)

/** Both modes of an operation that is bound by memory: floats read and written per element of its output. */
function byMemory(
  op: string,
  sizes: Sizes,
  opponent: string,
  goals: Record<Mode, number>,
  floats: Record<Mode, number>,
): Row[] {
  const bytes = 4 * sizes.reduce((product, size) => product * size, 1)
  const work: Work = { of: 'memory', amount: { inference: bytes * floats.inference, train: bytes * floats.train } }
  return MODES.map((mode) => ({ op, sizes, mode, goal: goals[mode], opponent, work }))
}

/** Both modes of an operation that is bound by its matrix products. */
function byProducts(op: string, sizes: Sizes, opponent: string, goals: Record<Mode, number>, forward: number): Row[] {
  const work: Work = { of: 'peak', amount: { inference: forward, train: 3 * forward } }
  return MODES.map((mode) => ({ op, sizes, mode, goal: goals[mode], opponent, work }))
}

const EVEN = { inference: 1, train: 1 }
const SCAN: Sizes = [1024, 16, 256]
const LOOP = `${EAGER}, a loop over unbind with addcmul`
/** On few threads it is slower: it has some six times the arithmetic. */
const NEWTON = { inference: 0.1, train: 0.3 }
const UNBOUND = `${EAGER}, a loop over unbind`
const DELTA: Sizes = [1024, 4, 4, 64]
const SLSTM: Sizes = [128, 16, 256]
const CHUNKED = `${EAGER}, chunks of 32 by solve_triangular`
const others: Row[] = [
  ...byMemory('scan', SCAN, LOOP, { inference: 13, train: 15 }, { inference: 3, train: 8 }),
  ...byMemory('mingru', SCAN, LOOP, EVEN, { inference: 3, train: 9 }),
  ...byMemory('minlstm', SCAN, LOOP, EVEN, { inference: 4, train: 12 }),
  // T x B x N x E
  ...byProducts('delta', DELTA, CHUNKED, EVEN, 6 * DELTA.reduce((product, size) => product * size, 1) * 64),
  // T x B x H, 4 heads
  ...byProducts('slstm', SLSTM, UNBOUND, EVEN, 2 * 4 * SLSTM.reduce((product, size) => product * size, 1) * 64),
  ...byMemory('paragru', SCAN, UNBOUND, EVEN, { inference: 4, train: 12 }),
  ...byMemory('paralstm', SCAN, UNBOUND, EVEN, { inference: 4, train: 14 }),
  // Ours both ways; one row, for which Newton’s method is meant.
  ...byMemory('paragru-newton', [4096, 1, 64], 'ours, step by step', NEWTON, { inference: 4, train: 12 }),
  // N x D x F
  ...byProducts('residual-mlp', [4096, 256, 1024], EAGER, { inference: 1.35, train: 1.2 }, 4 * 4096 * 256 * 1024).map(
    (row) => ({ ...row, compiled: true }),
  ),
  // N x D x K
  ...byProducts('highway', [1024, 64, 50], EAGER, EVEN, 4 * 1024 * 64 * 64 * 50),
  // N x D
  ...byMemory('residual-norm', [4096, 256], EAGER, EVEN, { inference: 4, train: 8 }),
]

const LAYER = 'kernels/lstm/float32/128x1x128/inference'

export const cases: BenchCase[] = [
  ...[...table, ...halves, ...elman, ...stacks, ...wavefronts, ...others, ...forced].map(againstPyTorch),
  ...peak.map(againstPeak),
  {
    id: 'kernels/call',
    kind: 'value',
    unit: 'µs',
    threads: THREADS,
    rounds: ROUNDS,
    goal: 60,
    // What an awaited call from TypeScript takes more than the same call in Rust. Who goes first alternates.
    measure: async (context, round) => {
      const inRust = async () => ((await kernelBench(LAYER, context.threads)).medians.get(LAYER) ?? Number.NaN) * 1000
      const before = round % 2 === 0 ? await inRust() : undefined
      const peer = await context.ours('kernel-call')
      const awaited = await peer.measure()
      await peer.close()
      return awaited - (before ?? (await inRust()))
    },
  },
]
