// The messages of an Arrow file or stream, checked before apache-arrow goes by them: a list of a damaged length would keep it busy for minutes, or for ever.
//
// Of FlatBuffers, in which they are written, only this is needed: a buffer begins with the place of its table, a table with the distance back to its slots, and a
// slot holds the distance from the table to a field, 0 for one that is absent. Source: File.fbs, Message.fbs and Schema.fbs of Apache Arrow.
import { damaged, type Where } from './gathered.js'
import type { Opened } from './source.js'

const SCHEMA = 1
const DICTIONARY = 2
const BATCH = 3
/** Bytes of a block in a footer. */
const BLOCK = 24

/**
 * Checks that the blocks of a file's footer lie in the file and are messages of their kind.
 *
 * @throws DataError (`ERR_DATA`); RangeError where a place lies outside of the footer or a message.
 */
export async function checkFile(opened: Opened, footer: Uint8Array, at: Where): Promise<void> {
  const view = viewOf(footer)
  const table = view.getUint32(0, true)
  checkSchema(view, tableAt(view, table, 6), at)
  for (const [slot, kind, name] of [
    [8, DICTIONARY, 'dictionary'],
    [10, BATCH, 'record batch'],
  ] as const) {
    const { count, first } = listAt(view, table, slot, BLOCK, at)
    for (let i = 0; i < count; i++) {
      const start = Number(view.getBigInt64(first + BLOCK * i, true))
      const head = view.getInt32(first + BLOCK * i + 8, true)
      const body = Number(view.getBigInt64(first + BLOCK * i + 16, true))
      if (start < 8 || head < 16 || body < 0 || start + head + body > opened.size) {
        throw damaged(`${name} ${i} lies outside of it`, at)
      }
      const message = viewOf(await opened.read(start, start + head))
      // Since version 0.15 a mark comes before the length.
      const found = checkMessage(viewOf(bytesOf(message, message.getInt32(0, true) === -1 ? 8 : 4)), at)
      if (found.kind !== kind) throw damaged(`${name} ${i} is damaged`, at)
    }
  }
}

/** Checks the messages of a stream, one after another. */
export async function checkStream(opened: Opened, at: Where): Promise<void> {
  for (let start = 0; start + 4 <= opened.size; ) {
    const prefix = viewOf(await opened.read(start, start + 8))
    const marked = prefix.getInt32(0, true) === -1
    const length = prefix.getInt32(marked ? 4 : 0, true)
    if (length === 0) return // the end is marked
    start += marked ? 8 : 4
    if (length < 0 || start + length > opened.size)
      throw damaged('it is cut, or neither an Arrow file nor a stream', at)
    const { body } = checkMessage(viewOf(await opened.read(start, start + length)), at)
    start += length + body
    if (!(body >= 0) || start > opened.size) throw damaged('it is cut: the body of a message is missing', at)
  }
}

function checkMessage(view: DataView, at: Where): { kind: number; body: number } {
  const table = view.getUint32(0, true)
  const [type, size] = [fieldAt(view, table, 6), fieldAt(view, table, 10)]
  const kind = type === undefined ? 0 : view.getUint8(type)
  const header = tableAt(view, table, 8)
  if (kind === SCHEMA) checkSchema(view, header, at)
  else if (kind === BATCH) checkBatch(view, header, at)
  else if (kind === DICTIONARY) checkBatch(view, tableAt(view, header, 6), at)
  else throw damaged(`it has a message of an unknown kind, ${kind}`, at)
  return { kind, body: size === undefined ? 0 : Number(view.getBigInt64(size, true)) }
}

/** Nodes and buffers, of 16 bytes each, and the counts of variadic buffers. */
function checkBatch(view: DataView, table: number, at: Where): void {
  listAt(view, table, 6, 16, at)
  listAt(view, table, 8, 16, at)
  listAt(view, table, 12, 8, at)
}

function checkSchema(view: DataView, table: number, at: Where): void {
  listAt(view, table, 8, 4, at)
  listAt(view, table, 10, 8, at)
  checkFields(view, table, 6, at, 0)
}

/** Fields, their metadata and children; a field that is its own ancestor is one that is too deep. */
function checkFields(view: DataView, table: number, slot: number, at: Where, depth: number): void {
  if (depth > 32) throw damaged('its schema is too deep', at)
  const { count, first } = listAt(view, table, slot, 4, at)
  for (let i = 0; i < count; i++) {
    const place = first + 4 * i
    const field = place + view.getUint32(place, true)
    listAt(view, field, 16, 4, at)
    checkFields(view, field, 14, at, depth + 1)
  }
}

/** Where a field of a table is; undefined where it is absent. */
function fieldAt(view: DataView, table: number, slot: number): number | undefined {
  const slots = table - view.getInt32(table, true)
  const distance = slot < view.getUint16(slots, true) ? view.getUint16(slots + slot, true) : 0
  return distance === 0 ? undefined : table + distance
}

function tableAt(view: DataView, table: number, slot: number): number {
  const field = fieldAt(view, table, slot)
  // Outside of the view: the next look is a RangeError.
  return field === undefined ? view.byteLength : field + view.getUint32(field, true)
}

function listAt(view: DataView, table: number, slot: number, size: number, at: Where) {
  const field = fieldAt(view, table, slot)
  if (field === undefined) return { count: 0, first: 0 }
  const list = field + view.getUint32(field, true)
  const count = view.getUint32(list, true)
  if (list + 4 + size * count > view.byteLength)
    throw damaged(`it has a list of ${count} entries that it cannot hold`, at)
  return { count, first: list + 4 }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function bytesOf(view: DataView, start: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + start, view.byteLength - start)
}
