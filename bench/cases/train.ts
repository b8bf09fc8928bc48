// Training, against PyTorch: as it comes, and fed (glibc told to keep its memory).

import { fileURLToPath } from 'node:url'
import type { BenchCase } from '../case.js'
import { FED, trainingDuel } from '../duel.js'

const OPPONENT = 'PyTorch 2.11 eager, AdamW(fused=True)'
const STEPS = 5

/** What examples/g2p trains with; the learning rate is the same at every step here, which costs the same. */
const G2P = {
  clip: 5,
  lr: 1e-3,
  betas: [0.9, 0.99],
  weightDecay: 0.01,
  batches: fileURLToPath(new URL('../../../bench-g2p.json', import.meta.url)),
}
const G2P_STEPS = 20

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
  {
    // fit with metrics, logs and progress, over the loop written by hand: what it takes more.
    id: 'train/fit-overhead',
    kind: 'value',
    unit: '%',
    rounds: 5,
    goal: 3,
    measure: async (context) => {
      const peer = await context.ours('fit-overhead')
      try {
        return await peer.measure()
      } finally {
        await peer.close()
      }
    },
  },
  {
    id: 'train/g2p',
    kind: 'value',
    unit: '%',
    rounds: 3, // one seed each
    goal: 10,
    measure: async (context, round) => {
      const peer = await context.ours('g2p', { part: 'error', seed: round + 1 })
      try {
        return await peer.measure()
      } finally {
        await peer.close()
      }
    },
  },
  {
    id: 'train/g2p-time',
    kind: 'ratio',
    unit: 's',
    opponent: 'PyTorch 2.11 eager, AdamW(fused=True), the same batches',
    goal: 1.3,
    start: async (context) => {
      const ours = await context.ours('g2p', { part: 'step', ...G2P })
      const duel = trainingDuel(ours, await context.python('g2p', G2P), { steps: G2P_STEPS })
      // From milliseconds per step to seconds for the whole training.
      const factor = (await ours.measure()) / 1000
      return {
        ...duel,
        ours: async () => factor * (await duel.ours()),
        theirs: async () => factor * (await duel.theirs()),
      }
    },
  },
]
