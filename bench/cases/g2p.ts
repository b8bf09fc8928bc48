// Letters to phonemes: how well the main job learns, and how fast, against PyTorch on the same batches.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BenchCase } from '../case.js'
import { trainingDuel } from '../duel.js'

/** What examples/g2p uses, but for the schedule of the learning rate. */
const OPTIMIZER = { lr: 2e-3, betas: [0.9, 0.99], weightDecay: 0.01, clip: 5 }
/** Steps that 7.3 million letters and phonemes take: four epochs of 961 batches. */
const STEPS = 3844
const STEPS_PER_ROUND = 30

let seed = 0

export const cases: BenchCase[] = [
  {
    id: 'train/g2p',
    kind: 'value',
    unit: '%',
    rounds: 3,
    goal: 10,
    measure: async (context) => {
      const peer = await context.ours('g2p', { seed: ++seed })
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
    opponent: 'PyTorch 2.11 eager, AdamW(fused=True), for all 7.3 M tokens',
    goal: 1.3,
    start: async (context) => {
      const folder = mkdtempSync(join(tmpdir(), 'quarterturn-g2p-'))
      const options = { batches: join(folder, 'batches.json'), ...OPTIMIZER }
      const ours = await context.ours('g2p', options) // it writes the batches
      const duel = trainingDuel(ours, await context.python('g2p', options), { steps: STEPS_PER_ROUND })
      const seconds = (ms: number): number => (ms * STEPS) / 1000
      return {
        check: duel.check,
        ours: async () => seconds(await duel.ours()),
        theirs: async () => seconds(await duel.theirs()),
        close: async () => {
          await duel.close()
          rmSync(folder, { recursive: true })
        },
      }
    },
  },
]
