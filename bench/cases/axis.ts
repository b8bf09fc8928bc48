// One integrator, two axes: gated layers along time and along depth, and the stack of both, against eager PyTorch.
import type { BenchCase, RatioCase } from '../case.js'
import { trainingDuel } from '../duel.js'

const EAGER = 'PyTorch 2.11 eager'
const [BATCH, TIME] = [16, 1024]

/** A layer with its projections, forward and backward. `positive`: candidates made positive, where PyTorch may choose the scan in log space. */
function layer(part: 'minlstm' | 'mingru', width: number, goal: number, positive: boolean): RatioCase {
  const options = { part, width, batch: BATCH, time: TIME, positive }
  return {
    id: `axis/${part}-train/${width}${positive ? '/positive' : ''}`,
    kind: 'ratio',
    unit: 'ms',
    opponent: `${EAGER}, the fastest of ${positive ? 'loops over unbind and scans in log space' : 'loops over unbind'}`,
    goal,
    start: async (context) =>
      trainingDuel(await context.ours('axis', options), await context.python('axis', options), {
        steps: width > 100 ? 3 : 10,
      }),
  }
}

const layers = (['minlstm', 'mingru'] as const).flatMap((part) =>
  (
    [
      [64, 4],
      [256, 1.6],
    ] as const
  ).flatMap(([width, goal]) => [layer(part, width, goal, false), layer(part, width, goal, true)]),
)

/** What both sides do alike, step by step. */
function duel(id: string, part: string, opponent: string, goal: number, steps: number): RatioCase {
  return {
    id,
    kind: 'ratio',
    unit: 'ms',
    opponent: `${EAGER}, ${opponent}`,
    goal,
    start: async (context) =>
      trainingDuel(await context.ours('axis', { part }), await context.python('axis', { part }), { steps }),
  }
}

export const cases: BenchCase[] = [
  ...layers,
  {
    id: 'axis/serial',
    kind: 'value',
    unit: '%',
    rounds: 3,
    goal: 20,
    measure: async (context) => {
      const peer = await context.ours('axis', { part: 'serial' })
      try {
        return await peer.measure()
      } finally {
        await peer.close()
      }
    },
  },
  duel('axis/highway-train', 'highway', 'linear, chunk, lerp', 1.7, 10),
  duel('axis/stack-train', 'stack', 'loops over unbind, AdamW(fused=True)', 1.5, 2),
  duel('axis/stream', 'stream', 'the same step under no_grad', 1.8, 200),
]
