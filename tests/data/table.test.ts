// Table: columns chosen, rows chosen, missing values, tensors.
import { data } from 'quarterturn'
import { expect, test } from 'vitest'

const NONE = Number.NaN
const table = data.Table.of({
  hour: [0, 1, 2, 3],
  temp: Float32Array.of(NONE, 2, NONE, 6),
  place: ['Ulm', 'Bonn', '', 'Ulm'],
  day: [new Date(0), new Date(1), new Date(2), new Date(3)],
})

test('columns have types; select, with, slice and take give new tables', async () => {
  expect(table.types).toEqual({ hour: 'float64', temp: 'float32', place: 'text', day: 'date' })
  expect(table.select('place', 'hour').names).toEqual(['place', 'hour'])
  expect(table.slice(1, 3).texts('place')).toEqual(['Bonn', ''])
  expect(table.slice(2).texts('place')).toEqual(['', 'Ulm'])
  expect(table.slice(1).take([2, 0, 0]).texts('place')).toEqual(['Ulm', 'Bonn', 'Bonn'])
  expect([...table.take([3, 1]).numbers('hour')]).toEqual([3, 1])
  expect([...table.with('hour', [9, 9, 9, 9]).numbers('hour')]).toEqual([9, 9, 9, 9])
  expect([...table.numbers('hour')]).toEqual([0, 1, 2, 3])
  expect(table.categories('place')).toEqual({ ids: Int32Array.of(2, 1, 0, 2), labels: ['', 'Bonn', 'Ulm'] })
  expect(await table.select('hour').with('double', [0, 2, 4, 6]).tensor().toArray()).toEqual([
    [0, 0],
    [1, 2],
    [2, 4],
    [3, 6],
  ])
})

test('missing values are counted, left out and filled', () => {
  expect(table.missing()).toEqual({ hour: 0, temp: 2, place: 1, day: 0 })
  expect([...table.dropMissing('temp').numbers('hour')]).toEqual([1, 3])
  expect([...table.dropMissing('place').numbers('hour')]).toEqual([0, 1, 3])
  const filled = (how: data.Filling) => [...table.fillMissing(how).numbers('temp')]
  expect(filled('linear')).toEqual([2, 2, 4, 6])
  expect(filled('previous')).toEqual([2, 2, 2, 6])
  expect(filled('mean')).toEqual([4, 2, 4, 6])
  expect(filled(-1)).toEqual([-1, 2, -1, 6])
  expect([
    ...data.Table.of({ x: [1, NONE, NONE] })
      .fillMissing('linear')
      .numbers('x'),
  ]).toEqual([1, 1, 1])
})

test('what cannot be is refused with a code', () => {
  const cases: [() => unknown, string][] = [
    [() => table.select('wind'), 'ERR_ARGUMENT'],
    [() => table.numbers('place'), 'ERR_DTYPE'],
    [() => table.texts('hour'), 'ERR_DTYPE'],
    [() => table.tensor(), 'ERR_DTYPE'],
    [() => table.select('day').tensor(), 'ERR_DTYPE'],
    [() => table.select().tensor(), 'ERR_ARGUMENT'],
    [() => table.slice(3, 2), 'ERR_ARGUMENT'],
    [() => table.take([4]), 'ERR_RANGE'],
    [() => table.take([0.5]), 'ERR_RANGE'],
    [() => table.with('x', [1]), 'ERR_SHAPE'],
    [() => table.fillMissing(NONE), 'ERR_ARGUMENT'],
    [() => data.Table.of({ x: [NONE] }).fillMissing('mean'), 'ERR_ARGUMENT'],
    [() => data.Table.of({ x: [1], y: [1, 2] }), 'ERR_SHAPE'],
    [() => data.Table.of({ x: [1, 'a'] as unknown as number[] }), 'ERR_DTYPE'],
    [() => data.Table.of({ x: null as unknown as number[] }), 'ERR_DTYPE'],
  ]
  for (const [run, code] of cases) expect(run).toThrowError(expect.objectContaining({ code }))
})
