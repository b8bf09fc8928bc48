// What a loader checks of its fields: that they have equally many rows, and that rows and fields asked for are there.
import { ArgumentError, OutOfRangeError, ShapeError } from '../errors.js'
import { list as checkList } from './check.js'
import type { Rows } from './field.js'

/** The rows that are gone through, each among those available. */
export function checkSubset(rows: ArrayLike<number>, available: number): Int32Array {
  const list = Int32Array.from(checkList(rows, 'rows', 'Loader'), Number)
  const wrong = list.findIndex((row, i) => row !== rows[i] || row < 0 || row >= available)
  if (wrong >= 0) {
    const got = String(rows[wrong])
    throw new OutOfRangeError(`Loader: rows must be whole numbers from 0 to ${available - 1}, got ${got}`, {
      op: 'Loader',
      expected: `0 … ${available - 1}`,
      got,
    })
  }
  if (list.length === 0)
    throw new ArgumentError('Loader: rows names no row', { op: 'Loader', expected: 'rows', got: 'none' })
  return list
}

/** How many rows all fields have. */
export function commonRows(fields: readonly [string, Rows][]): number {
  const [first, ...others] = fields
  if (first === undefined)
    throw new ArgumentError('Loader: at least one field is needed', { op: 'Loader', expected: 'fields', got: 'none' })
  const [name, { rows }] = first
  for (const [other, field] of others) {
    if (field.rows !== rows) {
      throw new ShapeError(
        `Loader: fields must have equally many rows: ${name} has ${rows}, ${other} has ${field.rows}`,
        {
          op: 'Loader',
          expected: String(rows),
          got: String(field.rows),
        },
      )
    }
  }
  if (rows === 0) throw new ArgumentError('Loader: there are no rows', { op: 'Loader', expected: 'rows', got: 'none' })
  return rows
}

export function unknownField(name: string, fields: object): ArgumentError {
  const known = Object.keys(fields).join(', ')
  return new ArgumentError(`Loader: there is no field ${name}; the fields are ${known}`, {
    op: 'Loader',
    expected: known,
    got: name,
  })
}
