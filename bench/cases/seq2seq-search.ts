// Decoding of sequence to sequence, a whole decode per step, against loops in PyTorch.
import type { BenchCase } from '../case.js'
import { trainingDuel } from '../duel.js'

function decoding(
  id: string,
  opponent: string,
  options: { beam: number; sentences: number },
  steps: number,
): BenchCase {
  return {
    id,
    kind: 'ratio',
    unit: 'ms',
    opponent,
    goal: 1.5,
    start: async (context) =>
      trainingDuel(await context.ours('seq2seq-search', options), await context.python('seq2seq_search', options), {
        steps,
        compare: 1,
      }),
  }
}

export const cases: BenchCase[] = [
  decoding('seq2seq/greedy', 'PyTorch 2.11, a loop of LSTMCells under inference_mode', { beam: 1, sentences: 1 }, 20),
  decoding(
    'seq2seq/beam12',
    'PyTorch 2.11, a batched beam search under inference_mode',
    { beam: 12, sentences: 32 },
    1,
  ),
]
