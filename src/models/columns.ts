// Columns of a table as inputs of a network: numbers scaled, categories one by one, missing values marked.
import type { Table } from '../data/table.js'
import { ArgumentError } from '../errors.js'
import { checkList, checkRecords, checkString, refused } from './check.js'
import { momentsOf } from './scale.js'

/** How a column becomes inputs. */
export type ColumnInput =
  /** (x − mean) / deviation, and 1 where the value is missing. */
  | { name: string; kind: 'number'; mean: number; deviation: number }
  /** 1 at the place of its category; nowhere for one that training did not have. */
  | { name: string; kind: 'category'; categories: string[] }

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

/** How many inputs they are. */
export function widthOf(columns: readonly ColumnInput[]): number {
  return columns.reduce((sum, column) => sum + (column.kind === 'number' ? 2 : column.categories.length), 0)
}

/** The inputs of the rows of a table: [rows, width], row by row. */
export function featuresOf(table: Table, columns: readonly ColumnInput[]): Float32Array {
  const width = widthOf(columns)
  const out = new Float32Array(table.rows * width)
  let at = 0
  for (const column of columns) {
    if (column.kind === 'number') {
      const values = table.numbers(column.name)
      for (let row = 0; row < table.rows; row++) {
        const value = values[row] as number
        const place = row * width + at
        if (Number.isNaN(value)) out[place + 1] = 1
        else out[place] = (value - column.mean) / column.deviation
      }
      at += 2
    } else {
      const places = new Map(column.categories.map((category, i) => [category, i]))
      for (const [row, text] of table.texts(column.name).entries()) {
        const place = places.get(text)
        if (place !== undefined) out[row * width + at + place] = 1
      }
      at += column.categories.length
    }
  }
  return out
}
