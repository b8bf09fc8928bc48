// The rule of forms: the table of crossovers decides, and an explicit form overrules it.
import { axis, zeros } from 'quarterturn'
import { describe, expect, test } from 'vitest'
import { CROSSOVERS } from '../../src/axis/forms.js'

const both = axis.carriers
  .flatMap(({ time }) => Object.values(time))
  .filter((make) => make().parallelForm !== undefined)

test('only carriers with two forms have a crossover', () => {
  expect(both.map((make) => make().name)).toEqual(expect.arrayContaining(Object.keys(CROSSOVERS)))
  for (const steps of Object.values(CROSSOVERS)) expect(steps).toBeGreaterThanOrEqual(1)
})

describe.each(both.map((make) => [make().name, make] as const))('%s', (name, make) => {
  const stack = new axis.Stack({ width: 8, layers: 1, alongTime: make() })
  const parallel = make().parallelForm as axis.Form
  const from = CROSSOVERS[name] ?? 2

  test('is recurrent below its crossover and parallel from there on', () => {
    const formAt = (steps: number) => axis.describe(stack, { steps }).form
    if (from > 1) expect(formAt(from === Infinity ? 1000 : from - 1)).toBe('recurrent')
    if (from < Infinity) expect([formAt(from), formAt(from + 1)]).toEqual([parallel, parallel])
  })

  test('is computed in the form that is described', () => {
    let used: axis.Form = 'recurrent'
    const carrier = make()
    const watched = new axis.Stack({
      width: 8,
      layers: 1,
      alongTime: {
        ...carrier,
        parallel: (...given) => {
          used = parallel
          return (carrier.parallel as NonNullable<axis.Carrier['parallel']>)(...given)
        },
      },
    })
    for (const form of ['auto', 'recurrent', parallel] as const) {
      watched.form = form
      for (const steps of [1, 2, 5]) {
        used = 'recurrent'
        watched.forward(zeros([1, steps, 8]))
        expect(used, `${form}, ${steps} steps`).toBe(axis.describe(watched, { steps }).form)
      }
    }
  })
})
