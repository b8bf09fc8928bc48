// Two peers that train the same model: compared for equal losses first, then timed per step.
import type { Duel } from './case.js'
import type { Peer } from './peer.js'

export interface DuelOptions {
  /** Steps per round. */
  steps: number
  /** Steps whose losses are compared, and how far apart they may be, relative to 1 + |theirs|. */
  compare?: number
  tolerance?: number
}

/** A duel in milliseconds per training step. */
export function trainingDuel(ours: Peer, theirs: Peer, { steps, compare = 5, tolerance = 1e-4 }: DuelOptions): Duel {
  return {
    check: async () => checkLosses(await ours.losses(compare), await theirs.losses(compare), tolerance),
    ours: () => ours.run(steps),
    theirs: () => theirs.run(steps),
    close: async () => {
      await Promise.all([ours.close(), theirs.close()])
    },
  }
}

/** Throws unless the two sides' losses agree. */
export function checkLosses(ours: readonly number[], theirs: readonly number[], tolerance: number): void {
  const apart = theirs.some(
    (loss, i) => !(Math.abs(loss - (ours[i] ?? Number.NaN)) <= tolerance * (1 + Math.abs(loss))),
  )
  if (apart)
    throw new Error(`the two sides do not compute the same: losses ${ours.join(', ')} and ${theirs.join(', ')}`)
}

/** glibc told to keep its memory: what `/fed` gives to PyTorch, and what our engine does by itself. */
export const FED = {
  MALLOC_MMAP_THRESHOLD_: '1073741824',
  MALLOC_TRIM_THRESHOLD_: '4294967296',
  MALLOC_TOP_PAD_: '268435456',
}
