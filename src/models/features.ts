// Columns of a table as inputs of a network: numbers scaled, categories one by one, missing values marked. The JavaScript path has it from here.

/** How a column becomes inputs. */
export type ColumnInput =
  /** (x − mean) / deviation, and 1 where the value is missing. */
  | { name: string; kind: 'number'; mean: number; deviation: number }
  /** 1 at the place of its category; nowhere for one that training did not have. */
  | { name: string; kind: 'category'; categories: string[] }

/** What is read of a table. */
export interface Columns {
  readonly rows: number
  numbers(name: string): ArrayLike<number>
  texts(name: string): readonly string[]
}

/** How many inputs they are. */
export function widthOf(columns: readonly ColumnInput[]): number {
  return columns.reduce((sum, column) => sum + (column.kind === 'number' ? 2 : column.categories.length), 0)
}

/** The inputs of the rows of a table: [rows, width], row by row. */
export function featuresOf(table: Columns, columns: readonly ColumnInput[]): Float32Array {
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
