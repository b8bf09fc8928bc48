// readIdx: the files of MNIST and its relatives, packed or not.
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { DataError } from '../errors.js'
import type { TypedArray } from '../tensor/create.js'
import { filePath, gather, isStream, notASource, type Source } from './source.js'

const op = 'readIdx'

/** Element types by their code: how to make the array, and how many bytes an element has. */
const types: Readonly<Record<number, readonly [bytes: number, make: (buffer: ArrayBuffer) => TypedArray]>> = {
  8: [1, (buffer) => new Uint8Array(buffer)],
  9: [1, (buffer) => new Int8Array(buffer)],
  11: [2, (buffer) => new Int16Array(buffer)],
  12: [4, (buffer) => new Int32Array(buffer)],
  13: [4, (buffer) => new Float32Array(buffer)],
  14: [8, (buffer) => new Float64Array(buffer)],
}

/**
 * The array of an IDX file, with its shape: a field of a `Loader` as it is. A file packed with gzip is unpacked.
 *
 * ```ts
 * const file = Uint8Array.of(0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6)
 * const { shape } = await data.readIdx(file)
 * console.log(shape)   // [ 2, 3 ]
 * ```
 *
 * Source: the description of the format at yann.lecun.com/exdb/mnist.
 *
 * @throws DataError (`ERR_DATA`) where it is not such a file or its length does not fit its shape; FileError (`ERR_IO`) where it cannot be read.
 */
export async function readIdx(source: Source): Promise<{ data: TypedArray; shape: number[] }> {
  const isPath = typeof source === 'string' || source instanceof URL
  if (!isPath && !(source instanceof Uint8Array) && !isStream(source)) throw notASource(source, op)
  const name = isPath ? `${source}: ` : ''
  const raw = isPath
    ? await readFile(await filePath(source, op))
    : source instanceof Uint8Array
      ? source
      : await gather(source, op)
  const bytes = raw[0] === 0x1f && raw[1] === 0x8b ? await unpack(raw, name) : raw
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const [size, make] = (bytes.length >= 4 && view.getUint16(0) === 0 && types[view.getUint8(2)]) || []
  const rank = bytes.length >= 4 ? view.getUint8(3) : 0
  const start = 4 + 4 * rank
  if (size === undefined || make === undefined || bytes.length < start) throw wrong(`${name}this is not an IDX file`)
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i))
  const expected = shape.reduce((product, length) => product * length, size)
  if (bytes.length - start !== expected) {
    throw wrong(`${name}[${shape.join(', ')}] takes ${expected} bytes, the file has ${bytes.length - start}`)
  }
  const elements = Buffer.from(Uint8Array.from(bytes.subarray(start)).buffer)
  // Elements are stored with the high byte first.
  if (size === 2) elements.swap16()
  if (size === 4) elements.swap32()
  if (size === 8) elements.swap64()
  return { data: make(elements.buffer), shape }
}

async function unpack(bytes: Uint8Array, name: string): Promise<Uint8Array> {
  try {
    return await promisify(gunzip)(bytes)
  } catch (cause) {
    throw new DataError(`${op}: ${name}it cannot be unpacked: ${(cause as Error).message}`, { op, cause })
  }
}

function wrong(message: string): DataError {
  return new DataError(`${op}: ${message}`, { op, expected: 'an IDX file' })
}
