// Arguments of the models, checked before anything happens.
import { Table } from '../data/index.js'
import { Vocabulary } from '../text/index.js'
import { refused, taken } from '../train/check.js'

export { refused, taken }

/** @throws ArgumentError unless the value is an array. */
export function checkList<T>(value: readonly T[], name: string, op: string): readonly T[] {
  if (Array.isArray(value)) return value
  throw refused(op, name, 'an array', value)
}

/** @throws ArgumentError unless the value is an array of objects, such as examples. */
export function checkRecords<T extends object>(value: readonly T[], name: string, op: string): readonly T[] {
  for (const each of checkList(value, name, op))
    if (typeof each !== 'object' || each === null) throw refused(op, `each of ${name}`, 'an object', each)
  return value
}

/** @throws ArgumentError unless the value is a string. */
export function checkString(value: unknown, name: string, op: string): string {
  if (typeof value === 'string') return value
  throw refused(op, name, 'a string', value)
}

/** @throws ArgumentError unless the value is a table. */
export function checkTable(value: unknown, op: string): Table {
  if (value instanceof Table) return value
  throw refused(op, 'the data', 'a data.Table', value)
}

/** @throws ArgumentError unless the value is a vocabulary. */
export function checkVocabulary(value: unknown, name: string, op: string): Vocabulary {
  if (value instanceof Vocabulary) return value
  throw refused(op, name, 'a text.Vocabulary', value)
}
