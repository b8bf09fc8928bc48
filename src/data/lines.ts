// readLines and readJsonLines: one line after another, from files of any size; a pass can be continued from where it was.
import { isUtf8 } from 'node:buffer'
import { open } from 'node:fs/promises'
import { CheckpointError, DataError } from '../errors.js'
import { checkBuffer } from '../tensor/check-buffer.js'
import { type ByteStream, bytesOf, filePath, isStream, notASource, type Source } from './source.js'
import type { StatefulSource } from './stream.js'

const FEED = 10
const PIECE = 1 << 18
const BOM = '\ufeff'

/** A place in a file: bytes and lines before it. */
export interface LinesState {
  readonly bytes: number
  readonly lines: number
}

/**
 * The lines of a text in UTF-8, without their ends (`\n` or `\r\n`), for `for await` or `data.stream`. Each pass over a path or bytes starts anew and holds one piece of
 * the file; `state()` and `restore()` tell and take a place in it. A stream of bytes can be gone through once, from its start.
 *
 * ```ts
 * for await (const line of data.readLines(new TextEncoder().encode('one\ntwo\n'))) console.log(line)   // one …
 * ```
 *
 * @throws at once ArgumentError for what is no source; at the first line FileError (`ERR_IO`) where the file cannot be read.
 */
export function readLines(source: Source): Lines<string> {
  return new Lines('readLines', source, (line) => line)
}

/**
 * The values of a file with one JSON text per line; blank lines are passed over.
 *
 * ```ts
 * const source = new TextEncoder().encode('{"x":[1,0.5],"y":0}\n{"x":[2,0.5],"y":1}\n')
 * const loader = data.stream(() => data.readJsonLines<{ x: number[]; y: number }>(source), { batch: 2 })
 * for await (const { x } of loader) console.log(x.shape)   // [ 2, 2 ]
 * ```
 *
 * @throws DataError (`ERR_DATA`) with the line that is not JSON; the rest as `readLines`.
 */
export function readJsonLines<T = unknown>(source: Source): Lines<T> {
  return new Lines('readJsonLines', source, (text, line, name) => {
    if (text.trim() === '') return undefined
    try {
      return JSON.parse(text) as T
    } catch (cause) {
      const why = (cause as Error).message
      throw new DataError(`readJsonLines: ${name}line ${line}: ${why}`, { op: 'readJsonLines', line, cause })
    }
  })
}

/**
 * The lines of a text that must be UTF-8 throughout, for `op`.
 *
 * @throws DataError (`ERR_DATA`) with the line and the byte in it that is not.
 */
export function strictLines(source: Source, op: string): Lines<string> {
  return new Lines(op, source, (line) => line, true)
}

type Parse<T> = (text: string, line: number, name: string) => T | undefined

/** What the lines of a text hold; made by `readLines` and `readJsonLines`. */
export class Lines<T> implements AsyncIterable<T>, StatefulSource {
  readonly #op: string
  readonly #source: Source
  readonly #parse: Parse<T>
  readonly #strict: boolean
  #place: LinesState = { bytes: 0, lines: 0 }
  #restored = false

  /** @internal */
  constructor(op: string, source: Source, parse: Parse<T>, strict = false) {
    const isPath = typeof source === 'string' || source instanceof URL
    const isBytes = source instanceof Uint8Array
    if (isBytes) checkBuffer(source, op)
    if (!isPath && !isBytes && (!isStream(source) || ArrayBuffer.isView(source))) throw notASource(source, op)
    this.#op = op
    this.#source = source
    this.#parse = parse
    this.#strict = strict
  }

  /** The place after the last line that was given out. */
  state(): LinesState {
    return this.#place
  }

  /** The next pass starts at a place that `state()` told. */
  restore(state: unknown): void {
    const { bytes, lines } = (state ?? {}) as LinesState
    if (!Number.isSafeInteger(bytes) || !Number.isSafeInteger(lines) || bytes < 0 || lines < 0) {
      throw new CheckpointError(`${this.#op}: this is no place in a file: ${JSON.stringify(state)}`, { op: this.#op })
    }
    this.#place = { bytes, lines }
    this.#restored = true
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    if (!this.#restored) this.#place = { bytes: 0, lines: 0 }
    this.#restored = false
    return this.#pass(this.#place.bytes)
  }

  async *#pass(from: number): AsyncGenerator<T, void, undefined> {
    const path = typeof this.#source === 'string' || this.#source instanceof URL ? this.#source : undefined
    const name = path === undefined ? '' : `${path}: `
    let rest: Buffer[] = []
    for await (const piece of this.#pieces(path, from)) {
      let start = 0
      for (let end = piece.indexOf(FEED); end >= 0; end = piece.indexOf(FEED, start)) {
        const line = rest.length === 0 ? piece.subarray(start, end) : Buffer.concat([...rest, piece.subarray(0, end)])
        rest = []
        start = end + 1
        const value = this.#take(line, 1, name)
        if (value !== undefined) yield value
      }
      if (start < piece.length) rest.push(piece.subarray(start))
    }
    const last = Buffer.concat(rest)
    const value = last.length === 0 ? undefined : this.#take(last, 0, name)
    if (value !== undefined) yield value
  }

  #take(line: Buffer, feed: 0 | 1, name: string): T | undefined {
    const { bytes, lines } = this.#place
    if (this.#strict && !isUtf8(line)) throw notUtf8(line, lines + 1, name, this.#op)
    let text = line.toString('utf8')
    if (bytes === 0 && text.startsWith(BOM)) text = text.slice(1)
    if (text.endsWith('\r')) text = text.slice(0, -1)
    const value = this.#parse(text, lines + 1, name)
    this.#place = { bytes: bytes + line.length + feed, lines: lines + 1 }
    return value
  }

  async *#pieces(path: string | URL | undefined, from: number): AsyncGenerator<Buffer, void, undefined> {
    if (path === undefined) {
      if (this.#source instanceof Uint8Array) {
        const { buffer, byteOffset, byteLength } = this.#source
        yield Buffer.from(buffer, byteOffset, byteLength).subarray(from)
        return
      }
      let before = from
      for await (const piece of this.#source as ByteStream) {
        const bytes = bytesOf(piece, this.#op)
        if (before < bytes.length) yield bytes.subarray(before)
        before = Math.max(0, before - bytes.length)
      }
      return
    }
    const file = await open(await filePath(path, this.#op))
    try {
      for (let at = from; ; ) {
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(PIECE), 0, PIECE, at)
        if (bytesRead === 0) return
        at += bytesRead
        yield buffer.subarray(0, bytesRead)
      }
    } finally {
      await file.close()
    }
  }
}

function notUtf8(line: Buffer, number: number, name: string, op: string): DataError {
  // The longest start that is whole characters ends where what is wrong begins.
  let good = 0
  let bad = line.length
  while (bad - good > 1) {
    const middle = (good + bad) >> 1
    const decoder = new TextDecoder('utf-8', { fatal: true })
    try {
      decoder.decode(line.subarray(0, middle), { stream: true })
      good = middle
    } catch {
      bad = middle
    }
  }
  const where = `line ${number}, byte ${bad}`
  return new DataError(`${op}: ${name}${where}: this is not UTF-8`, { op, line: number, column: bad, got: where })
}
