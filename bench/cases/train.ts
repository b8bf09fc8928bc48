// Training, against PyTorch: as it comes, and fed (glibc told to keep its memory).
import type { BenchCase } from '../case.js'
import { FED, trainingDuel } from '../duel.js'

const OPPONENT = 'PyTorch 2.11 eager, AdamW(fused=True)'
const STEPS = 5

export const cases: BenchCase[] = [
  {
    id: 'train/lm',
    kind: 'ratio',
    unit: 'ms',
    opponent: OPPONENT,
    goal: 1.4,
    start: async (context) =>
      trainingDuel(await context.ours('language-model'), await context.python('language_model'), { steps: STEPS }),
  },
  {
    id: 'train/lm/fed',
    kind: 'ratio',
    unit: 'ms',
    opponent: `${OPPONENT}, fed`,
    goal: 1.05,
    start: async (context) =>
      trainingDuel(await context.ours('language-model'), await context.python('language_model', {}, FED), {
        steps: STEPS,
      }),
  },
]
