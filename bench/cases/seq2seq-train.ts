// Training of sequence to sequence, against PyTorch: as it comes, and fed; and batches of near-equal length against random ones, both ours.
import type { BenchCase } from '../case.js'
import { FED, trainingDuel } from '../duel.js'

const OPPONENT = 'PyTorch 2.11 eager, AdamW(fused=True)'

export const cases: BenchCase[] = [
  {
    id: 'seq2seq/train',
    kind: 'ratio',
    unit: 'ms',
    opponent: OPPONENT,
    goal: 1.35,
    start: async (context) =>
      trainingDuel(await context.ours('seq2seq'), await context.python('seq2seq'), { steps: 5 }),
  },
  {
    id: 'seq2seq/train/fed',
    kind: 'ratio',
    unit: 'ms',
    opponent: `${OPPONENT}, fed`,
    goal: 1.1,
    start: async (context) =>
      trainingDuel(await context.ours('seq2seq'), await context.python('seq2seq', {}, FED), { steps: 5 }),
  },
  {
    // CMUdict without stress, the variant that fits best, beam 4: word error after an hour at most.
    id: 'seq2seq/g2p',
    kind: 'value',
    unit: '%',
    rounds: 1,
    goal: 27,
    measure: async (context, round) => {
      const peer = await context.ours('g2p', { part: 'words', seed: round + 1 })
      try {
        return await peer.measure()
      } finally {
        await peer.close()
      }
    },
  },
  {
    // An epoch of the same pairs: `theirs` is ours, with batches of whatever comes.
    id: 'seq2seq/bucketing',
    kind: 'ratio',
    unit: 'ms',
    opponent: 'the same with random batches, ours',
    goal: 1.5,
    start: async (context) =>
      trainingDuel(
        await context.ours('seq2seq', { part: 'bucketing' }),
        await context.ours('seq2seq', { part: 'bucketing', bucket: false }),
        { steps: 1, compare: 0 },
      ),
  },
]
