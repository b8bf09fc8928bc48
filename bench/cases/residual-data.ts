// Images on their way into residual networks: augmentation on one core, against torchvision.
import type { BenchCase } from '../case.js'
import { checkLosses } from '../duel.js'
import { withPackages } from '../python.js'

const TORCHVISION = ['torchvision==0.26.0', 'pillow==12.0.0']
const IMAGES = { rows: 10_000, batch: 128, padding: 4, flip: 0.5, shuffle: true }
const BATCHES = 40

export const cases: BenchCase[] = [
  {
    id: 'residual/augment',
    kind: 'ratio',
    unit: 'ms',
    opponent: 'torchvision 0.26 transforms v2: crop and flip for each image, normalisation for the batch',
    goal: 3,
    rounds: 7,
    threads: 1,
    start: async (context) => {
      await withPackages(TORCHVISION)
      const ours = await context.ours('augment', IMAGES)
      const theirs = await context.python('augment', IMAGES)
      return {
        check: async () => {
          // Without draws both make the same batches; with them, batches of the same mean.
          const plain = { ...IMAGES, rows: 1000, padding: 0, flip: 0, shuffle: false }
          const drawn = { ...IMAGES, rows: 1000 }
          for (const [options, tolerance] of [[plain, 1e-4] as const, [drawn, 0.03] as const]) {
            const means = []
            for (const peer of [await context.ours('augment', options), await context.python('augment', options)]) {
              const sums = await peer.losses(35)
              means.push(sums.map((sum) => sum / (IMAGES.batch * 3 * 32 * 32)))
              await peer.close()
            }
            const [a, b] = means as [number[], number[]]
            if (options === plain) checkLosses(a, b, tolerance)
            else checkLosses([mean(a)], [mean(b)], tolerance)
          }
        },
        ours: () => ours.run(BATCHES),
        theirs: () => theirs.run(BATCHES),
        beside: async (medians) => ({
          'images/s': (1000 * IMAGES.batch) / medians.ours,
          'theirs, images/s': (1000 * IMAGES.batch) / medians.theirs,
        }),
        close: async () => {
          await Promise.all([ours.close(), theirs.close()])
        },
      }
    },
  },
]

function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, x) => sum + x, 0) / numbers.length
}
