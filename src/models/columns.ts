// Columns of a training table: what they become as inputs of a network (features.ts makes them).
import type { Table } from '../data/table.js'
import { ArgumentError } from '../errors.js'
import { checkList, checkRecords, checkString, refused } from './check.js'
import type { ColumnInput } from './features.js'
import { momentsOf } from './scale.js'

const MOST_CATEGORIES = 256

/** What the columns of a training table become. */
export function inputsOf(table: Table, names: readonly string[]): ColumnInput[] {
  const { types } = table
  return names.map((name) => {
    if (types[name] === 'text') {
      const categories = [...new Set(table.texts(name))].filter((text) => text !== '').sort()
      if (categories.length <= MOST_CATEGORIES) return { name, kind: 'category', categories }
      throw new ArgumentError(
        `columns: ${name} has ${categories.length} different texts, at most ${MOST_CATEGORIES} are taken for categories; leave it out of the inputs`,
        { op: 'columns', expected: `≤ ${MOST_CATEGORIES}`, got: String(categories.length) },
      )
    }
    const values = table.numbers(name)
    const { mean, deviation } = momentsOf(
      Array.from(values, (value) => [value]),
      1,
    )
    return { name, kind: 'number', mean: mean[0] as number, deviation: deviation[0] as number }
  })
}

/** @throws ArgumentError unless these are columns as `inputsOf` gives them. */
export function checkColumns(columns: readonly ColumnInput[], op: string): readonly ColumnInput[] {
  for (const column of checkRecords(columns, 'columns', op)) {
    checkString(column.name, 'the name of a column', op)
    if (column.kind === 'category') checkList(column.categories, 'categories', op)
    else if (!(Number.isFinite(column.mean) && column.deviation > 0))
      throw refused(op, `column ${column.name}`, "a 'number' with mean and deviation, or a 'category'", column)
  }
  return columns
}
