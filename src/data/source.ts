// Where a reader's bytes come from: a file, bytes, or a stream of them.
import { type FileHandle, open, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ArgumentError, FileError } from '../errors.js'

/** A stream of bytes: a Node stream, a web `ReadableStream`, or any iterable of byte arrays or texts. */
export type ByteStream = AsyncIterable<Uint8Array | string> | Iterable<Uint8Array | string>

/** A file by its path or `file:` URL, its bytes, or a stream of them. */
export type Source = string | URL | Uint8Array | ByteStream

/** The absolute path of a file that exists and can be read. */
export async function filePath(path: string | URL, op: string): Promise<string> {
  const isPath = path instanceof URL || (typeof path === 'string' && path !== '' && !path.includes('\0'))
  if (!isPath) throw notASource(path, op)
  const absolute = path instanceof URL ? fileURLToPath(path) : resolve(path)
  try {
    const file = await open(absolute)
    await file.close()
    if (!(await stat(absolute)).isDirectory()) return absolute
  } catch (cause) {
    throw fileError(absolute, cause, op)
  }
  throw fileError(absolute, { code: 'EISDIR', message: 'is a directory' }, op)
}

export function fileError(path: string, cause: unknown, op: string): FileError {
  const { code, message } = cause as NodeJS.ErrnoException
  return new FileError(`${op}: ${path}: ${code ?? message}`, { op, got: code, cause })
}

export function isStream(source: unknown): source is ByteStream {
  return typeof source === 'object' && source !== null && (Symbol.asyncIterator in source || Symbol.iterator in source)
}

export function notASource(source: unknown, op: string): ArgumentError {
  const expected = 'a path, a URL, bytes or a stream of bytes'
  const got = source === null ? 'null' : typeof source === 'string' ? JSON.stringify(source) : typeof source
  return new ArgumentError(`${op}: source must be ${expected}, got ${got}`, { op, expected, got })
}

/** All bytes of a stream. */
export async function gather(stream: ByteStream, op: string): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  if (ArrayBuffer.isView(stream)) throw notASource(stream, op)
  for await (const piece of stream) pieces.push(bytesOf(piece, op))
  return Buffer.concat(pieces)
}

/** A piece of a stream as bytes. */
export function bytesOf(piece: Uint8Array | string, op: string): Buffer {
  if (typeof piece === 'string') return Buffer.from(piece)
  if (piece instanceof Uint8Array) return Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
  throw notASource(piece, op)
}

/** A source whose parts are read by position: a file that stays open, or bytes. */
export interface Opened {
  /** The absolute path; undefined for bytes. */
  readonly path: string | undefined
  readonly file: FileHandle | undefined
  readonly size: number
  /** Bytes `start` … `end` − 1, fewer where the source ends before. */
  read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>>
  close(): Promise<void>
}

/** Opens a source for reading by position; a stream is gathered. */
export async function openSource(source: Source, op: string): Promise<Opened> {
  if (typeof source === 'string' || source instanceof URL) return openFile(await filePath(source, op), op)
  if (!(source instanceof Uint8Array) && !isStream(source)) throw notASource(source, op)
  const bytes = source instanceof Uint8Array ? source : await gather(source, op)
  return {
    path: undefined,
    file: undefined,
    size: bytes.length,
    read: async (start, end) => new Uint8Array(bytes.subarray(start, end)),
    close: async () => {},
  }
}

async function openFile(path: string, op: string): Promise<Opened> {
  const refuse = (cause: unknown): never => {
    throw fileError(path, cause, op)
  }
  const file = await open(path).catch(refuse)
  const { size } = await file.stat().catch(refuse)
  const read = async (start: number, end: number): Promise<Uint8Array<ArrayBuffer>> => {
    const out = new Uint8Array(Math.max(0, Math.min(end, size) - start))
    let done = 0
    while (done < out.length) {
      const { bytesRead } = await file.read(out, done, out.length - done, start + done).catch(refuse)
      if (bytesRead === 0) break
      done += bytesRead
    }
    return out.subarray(0, done)
  }
  return { path, file, size, read, close: () => file.close() }
}
