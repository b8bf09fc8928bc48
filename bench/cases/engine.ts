// The engine itself: cost of a step, of an await, of a start; memory; how free the event loop stays.
import type { BenchCase, Context } from '../case.js'
import { checkLosses, trainingDuel } from '../duel.js'

const TRAIN_STEPS_FOR_PEAK = 30

/** The figure of a fresh process. */
async function fresh(context: Context, name: string, options?: object): Promise<number> {
  const peer = await context.ours(name, options)
  try {
    return await peer.measure()
  } finally {
    await peer.close()
  }
}

/** Peak resident memory of a fresh process that trains. */
async function trainingPeak(context: Context, side: 'ours' | 'python', name: string): Promise<number> {
  const peer = side === 'ours' ? await context.ours(name, { part: 'plain' }) : await context.python(name)
  try {
    await peer.run(TRAIN_STEPS_FOR_PEAK)
    return await peer.peak()
  } finally {
    await peer.close()
  }
}

export const cases: BenchCase[] = [
  {
    id: 'engine/step-tiny',
    kind: 'ratio',
    unit: 'ms',
    threads: 1,
    opponent: 'PyTorch 2.11 eager, backward() and optim.SGD',
    goal: 1.1,
    start: async (context) =>
      trainingDuel(await context.ours('step-tiny'), await context.python('step_tiny'), { steps: 200 }),
  },
  { id: 'engine/await', kind: 'value', unit: 'µs', rounds: 5, goal: 25, measure: (context) => fresh(context, 'await') },
  {
    id: 'engine/loop-delay',
    kind: 'value',
    unit: 'ms',
    rounds: 1,
    goal: 15,
    measure: (context) => fresh(context, 'loop-delay'),
  },
  {
    id: 'engine/loop-delay-full',
    kind: 'value',
    unit: 'ms',
    rounds: 1,
    goal: 10,
    measure: (context) => fresh(context, 'loop-delay', { part: 'full' }),
  },
  {
    id: 'engine/serve-while-training',
    kind: 'value',
    unit: 'steps',
    rounds: 1,
    goal: 2,
    measure: (context) => fresh(context, 'serve-while-training'),
  },
  {
    id: 'engine/memory',
    kind: 'value',
    unit: 'MB',
    rounds: 1,
    goal: 40,
    measure: (context) => fresh(context, 'memory'),
  },
  {
    id: 'engine/activations',
    kind: 'ratio',
    unit: 'MB',
    rounds: 3,
    opponent: 'PyTorch 2.11 eager, peak of the same training',
    goal: 1 / 1.6, // at most 1.6 times theirs
    start: async (context) => ({
      check: async () => {
        const [ours, theirs] = [
          await context.ours('language-model', { part: 'plain' }),
          await context.python('language_model'),
        ]
        checkLosses(await ours.losses(3), await theirs.losses(3), 1e-4)
        await Promise.all([ours.close(), theirs.close()])
      },
      ours: () => trainingPeak(context, 'ours', 'language-model'),
      theirs: () => trainingPeak(context, 'python', 'language_model'),
      close: async () => {},
    }),
  },
  {
    id: 'engine/import',
    kind: 'value',
    unit: 'ms',
    rounds: 9,
    goal: 60,
    measure: (context) => fresh(context, 'import', { part: 'import' }),
  },
  {
    id: 'engine/import/first-run',
    kind: 'value',
    unit: 'ms',
    rounds: 9,
    goal: 400,
    measure: (context) => fresh(context, 'import', { part: 'run' }),
  },
]
