// Every carrier along time with every carrier along depth: gradient, step ≡ sequence, parallel ≡ recurrent, a loss that falls.
import { axis, manualSeed } from 'quarterturn'
import { beforeEach, describe, expect, test } from 'vitest'

const all = (key: 'time' | 'depth' | 'both') => axis.carriers.flatMap((row) => Object.entries(row[key] ?? {}))
const [time, depth, both] = [all('time'), all('depth'), all('both')]
const sizes = { width: 4, layers: 2 }

beforeEach(() => void manualSeed(3))

function keeps(found: axis.Examined): void {
  expect(found.gradient, 'gradient against finite differences').toBeLessThan(1e-6)
  expect(found.steps, 'step against sequence').toBeLessThan(1e-11)
  expect(found.parallel ?? 0, 'parallel against recurrent form').toBeLessThan(1e-10)
  expect(found.loss[1], 'loss').toBeLessThan(found.loss[0])
}

describe.each(time)('%s along time', (_, alongTime) => {
  test.each(depth)('%s along depth', async (_, alongDepth) => {
    keeps(
      await axis.examine(new axis.Stack({ ...sizes, alongTime: alongTime(), alongDepth: alongDepth() }), { steps: 8 }),
    )
  })
})

describe.skipIf(both.length === 0)('on both axes at once', () => {
  test.each(both)('%s', async (_, carrier) => {
    keeps(await axis.examine(new axis.Stack({ ...sizes, alongTime: carrier() }), { steps: 8 }))
  })
})
