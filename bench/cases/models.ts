// Whole steps of other models than the recurrent ones of train.ts, against PyTorch as it comes; and half precision against our own float32.
import type { BenchCase } from '../case.js'
import { trainingDuel } from '../duel.js'

const OPPONENT = 'PyTorch 2.11 eager, AdamW(fused=True)'

export const cases: BenchCase[] = [
  {
    id: 'train/forecaster',
    kind: 'ratio',
    unit: 'ms',
    opponent: OPPONENT,
    goal: 1.25,
    start: async (context) =>
      trainingDuel(await context.ours('forecaster'), await context.python('forecaster'), { steps: 40 }),
  },
  {
    id: 'train/transformer',
    kind: 'ratio',
    unit: 'ms',
    opponent: OPPONENT,
    goal: 1.1,
    start: async (context) =>
      trainingDuel(await context.ours('transformer'), await context.python('transformer'), { steps: 8 }),
  },
  {
    id: 'train/bf16',
    kind: 'ratio',
    unit: 'ms',
    opponent: 'the same in float32, ours',
    goal: 1.3,
    start: async (context) =>
      trainingDuel(await context.ours('language-model', { dtype: 'bfloat16' }), await context.ours('language-model'), {
        steps: 5,
        compare: 3,
        tolerance: 1e-2,
      }),
  },
]
