// Where a reader's bytes come from: a file, bytes, or a stream of them.
import { open, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ArgumentError, FileError } from '../errors.js'

/** A stream of bytes: a Node stream, a web `ReadableStream`, or any iterable of byte arrays or texts. */
export type ByteStream = AsyncIterable<Uint8Array | string> | Iterable<Uint8Array | string>

/** A file by its path or `file:` URL, its bytes, or a stream of them. */
export type Source = string | URL | Uint8Array | ByteStream

/** The absolute path of a file that exists and can be read. */
export async function filePath(path: string | URL, op: string): Promise<string> {
  if (path === '' || (typeof path === 'string' && path.includes('\0'))) throw notASource(path, op)
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
  for await (const piece of stream) pieces.push(bytesOf(piece, op))
  return Buffer.concat(pieces)
}

/** A piece of a stream as bytes. */
export function bytesOf(piece: Uint8Array | string, op: string): Buffer {
  if (typeof piece === 'string') return Buffer.from(piece)
  if (piece instanceof Uint8Array) return Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
  throw notASource(piece, op)
}
