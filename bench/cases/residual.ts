// Residual networks: a training step of ResNet-20, inference of ResNet-18, and what reversible blocks keep.
import type { BenchCase } from '../case.js'
import { FED, trainingDuel } from '../duel.js'

const SGD = 'PyTorch 2.11 eager, channels_last, SGD(fused=True)'

const train = (id: string, goal: number, env: Record<string, string> = {}): BenchCase => ({
  id,
  kind: 'ratio',
  unit: 'ms',
  opponent: `${SGD}${Object.keys(env).length > 0 ? ', allocator fed' : ''}`,
  goal,
  start: async (context) =>
    trainingDuel(await context.ours('resnet20'), await context.python('resnet20', {}, env), {
      steps: 4,
      compare: 3,
      // A value that rounding brings to the other side of ReLU's kink changes a gradient by 1/√(all of its layer), on either side; in float64 the losses agree.
      tolerance: 5e-3,
    }),
})

const infer = (batch: number): BenchCase => ({
  id: `residual/resnet18-infer/${batch}`,
  kind: 'ratio',
  unit: 'ms',
  opponent: 'PyTorch 2.11 eager, channels_last, batch norms folded',
  goal: 1.1,
  start: async (context) =>
    trainingDuel(await context.ours('resnet18', { batch }), await context.python('resnet18', { batch }), {
      steps: batch > 1 ? 4 : 12,
      compare: 2,
    }),
})

export const cases: BenchCase[] = [
  {
    id: 'residual/block-train',
    kind: 'ratio',
    unit: 'ms',
    opponent: 'PyTorch 2.11 eager, channels_last',
    goal: 1.3,
    start: async (context) =>
      trainingDuel(await context.ours('residual-block'), await context.python('residual_block'), {
        steps: 20,
        compare: 3,
        tolerance: 1e-4,
      }),
  },
  train('residual/resnet20-train', 1.2),
  train('residual/resnet20-train/fed', 1.08, FED),
  infer(1),
  infer(8),
  {
    id: 'residual/reversible',
    kind: 'value',
    unit: '%',
    goal: 120,
    rounds: 1,
    measure: async (context) => {
      const peer = await context.ours('reversible')
      try {
        return await peer.measure()
      } finally {
        await peer.close()
      }
    },
  },
]
