// Native against JavaScript: our own JavaScript path, TensorFlow.js and jax-js. One thread on every side, each on Node 24, its fastest.
import type { BenchCase, Context, Duel } from '../case.js'
import { checkLosses, trainingDuel } from '../duel.js'
import type { Peer } from '../peer.js'

/** What competes for the best JavaScript library, by its script. */
const LIBRARIES: readonly (readonly [script: string, options: object])[] = [
  ['tfjs', { backend: 'wasm' }],
  ['jax', {}],
]

/** Training to a loss, native against the library that gets there first in a run that does not count. */
async function toLoss(context: Context): Promise<Duel> {
  const weather = { problem: 'weather' }
  const ours = await context.javascript('native', weather)
  const libraries: Peer[] = []
  for (const [script, options] of LIBRARIES)
    libraries.push(await context.javascript(script, { ...weather, ...options }))
  let best: Peer | undefined
  return {
    check: async () => {
      const losses = await ours.losses(5)
      const seconds: number[] = []
      for (const library of libraries) {
        checkLosses(losses, await library.losses(5), 1e-4)
        seconds.push(await library.measure())
      }
      best = libraries[seconds.indexOf(Math.min(...seconds))] as Peer
      process.stderr.write(
        `js/time-to-loss: ${libraries.map(({ about }, i) => `${about} ${seconds[i]} s`).join(', ')}\n`,
      )
    },
    ours: () => ours.measure(),
    theirs: () => (best as Peer).measure(),
    close: async () => {
      await Promise.all([ours, ...libraries].map((peer) => peer.close()))
    },
  }
}

export const cases: BenchCase[] = [
  {
    id: 'js/lstm-train/js',
    kind: 'ratio',
    unit: 'ms',
    threads: 1,
    opponent: 'our own JavaScript path',
    goal: 30,
    start: async (context) =>
      trainingDuel(await context.javascript('native'), await context.javascript('path'), { steps: 10 }),
  },
  {
    id: 'js/lstm-train/js-vs-tfjs',
    kind: 'ratio',
    unit: 'ms',
    threads: 1,
    rounds: 9,
    opponent: 'TensorFlow.js 4.22 cpu; ours is the JavaScript path',
    goal: 2.5,
    start: async (context) =>
      trainingDuel(await context.javascript('path'), await context.javascript('tfjs', { backend: 'cpu' }), {
        steps: 5,
      }),
  },
  {
    id: 'js/lstm-train/tfjs-wasm',
    kind: 'ratio',
    unit: 'ms',
    threads: 1,
    opponent: 'TensorFlow.js 4.22 wasm',
    goal: 40,
    start: async (context) =>
      trainingDuel(await context.javascript('native'), await context.javascript('tfjs', { backend: 'wasm' }), {
        steps: 10,
      }),
  },
  {
    id: 'js/time-to-loss',
    kind: 'ratio',
    unit: 's',
    threads: 1,
    rounds: 5,
    opponent: 'the faster of TensorFlow.js 4.22 wasm and jax-js 0.1.25 wasm',
    goal: 30,
    start: toLoss,
  },
]
