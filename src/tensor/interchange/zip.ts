// Zip files, as torch and NumPy write them: the directory is read and checked whole before any entry is; and written without compression.
import { type FileHandle, open } from 'node:fs/promises'
import { crc32, inflateRaw } from 'node:zlib'
import { CheckpointError, FileError, type QuarterturnError } from '../../errors.js'

const LOCAL = 0x04034b50
const CENTRAL = 0x02014b50
const END = 0x06054b50
const END64 = 0x06064b50
const LOCATOR64 = 0x07064b50
/** An end record with the longest comment. */
const TAIL = 22 + 0xffff
/** The largest directory that is read: a million entries. */
const LARGEST_DIRECTORY = 64 << 20
const FULL_16 = 0xffff
const FULL_32 = 0xffffffff

export interface ZipEntry {
  readonly name: string
  /** 0: as it is; 8: deflate. */
  readonly method: number
  readonly crc: number
  /** Bytes in the file. */
  readonly packed: number
  /** Bytes when unpacked, as the directory says. */
  readonly size: number
  /** Where its local header starts. */
  readonly start: number
}

/**
 * A zip file that is open for reading. What it says of itself is not trusted: names must be unique, entries lie within the file and do not overlap in
 * sum, an entry is unpacked to no more than its stated size, and its checksum is compared.
 */
export class ZipFile {
  readonly entries: ReadonlyMap<string, ZipEntry>
  /** Bytes of the whole file. */
  readonly size: number
  readonly #file: FileHandle
  readonly #fail: (why: string) => CheckpointError

  private constructor(file: FileHandle, size: number, entries: Map<string, ZipEntry>, fail: ZipFile['failure']) {
    this.#file = file
    this.size = size
    this.entries = entries
    this.#fail = fail
  }

  /** @throws FileError (`ERR_IO`) where the file cannot be read; CheckpointError (`ERR_CHECKPOINT`) where it is not a whole zip file. */
  static async open(path: string, op: string): Promise<ZipFile> {
    const fail = (why: string): CheckpointError => new CheckpointError(`${op}: ${path}: ${why}`, { op })
    const file = await onDisk(path, op, () => open(path, 'r'))
    try {
      const { size } = await onDisk(path, op, () => file.stat())
      const bytes = (at: number, length: number): Promise<Buffer> =>
        onDisk(path, op, () => readExactly(file, at, length, size, fail))
      return new ZipFile(file, size, await readDirectory(bytes, size, fail), fail)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** An error about this file. */
  failure(why: string): CheckpointError {
    return this.#fail(why)
  }

  /** The bytes of an entry, at most `limit` of them. */
  async read(entry: ZipEntry, limit: number): Promise<Buffer> {
    const { name, method, packed, size, start, crc } = entry
    if (size > limit) throw this.#fail(`${name} has ${size} bytes; at most ${limit} are read`)
    const header = await readExactly(this.#file, start, 30, this.size, this.#fail)
    const nameLength = header.readUInt16LE(26)
    if (header.readUInt32LE(0) !== LOCAL) throw this.#fail(`${name} does not start with a header of its own`)
    const local = await readExactly(this.#file, start + 30, nameLength, this.size, this.#fail)
    if (local.toString() !== name) throw this.#fail(`${name} bears another name in its own header`)
    const from = start + 30 + nameLength + header.readUInt16LE(28)
    const stored = await readExactly(this.#file, from, packed, this.size, this.#fail)
    const content = method === 0 ? stored : await this.#inflate(stored, entry)
    if (content.length !== size) throw this.#fail(`${name} has ${content.length} bytes, its directory says ${size}`)
    if (crc32(content) !== crc) throw this.#fail(`${name} is damaged: its contents do not match its checksum`)
    return content
  }

  #inflate(packed: Buffer, { name, size }: ZipEntry): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      inflateRaw(packed, { maxOutputLength: Math.max(1, size) }, (error, content) => {
        if (error === null) resolve(content)
        else reject(this.#fail(`${name} cannot be unpacked to the ${size} bytes that it is said to have`))
      })
    })
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

type Read = (at: number, length: number) => Promise<Buffer>
type Fail = (why: string) => QuarterturnError

async function readDirectory(read: Read, size: number, fail: Fail): Promise<Map<string, ZipEntry>> {
  const tailAt = Math.max(0, size - TAIL)
  const tail = await read(tailAt, size - tailAt)
  const end = findEnd(tail)
  if (end < 0) throw fail('it is not a whole zip file: it has no directory at its end')
  let count = tail.readUInt16LE(end + 10)
  let length = tail.readUInt32LE(end + 12)
  let start = tail.readUInt32LE(end + 16)
  if (count === FULL_16 || length === FULL_32 || start === FULL_32) {
    const locator = await read(tailAt + end - 20, 20)
    if (locator.readUInt32LE(0) !== LOCATOR64) throw fail('its directory is too large for what it says of itself')
    const end64 = await read(safe(locator.readBigUInt64LE(8), fail), 56)
    if (end64.readUInt32LE(0) !== END64) throw fail('its directory cannot be found')
    count = safe(end64.readBigUInt64LE(32), fail)
    length = safe(end64.readBigUInt64LE(40), fail)
    start = safe(end64.readBigUInt64LE(48), fail)
  }
  if (length > LARGEST_DIRECTORY) throw fail(`its directory has ${length} bytes; at most ${LARGEST_DIRECTORY} are read`)
  const directory = await read(start, length)
  const entries = new Map<string, ZipEntry>()
  let at = 0
  let packed = 0
  for (let i = 0; i < count; i++) {
    const [entry, next] = readEntry(directory, at, fail)
    if (entries.has(entry.name)) throw fail(`two entries have the name ${JSON.stringify(entry.name)}`)
    packed += entry.packed
    if (packed > size) throw fail('its entries together are larger than the file: they overlap')
    entries.set(entry.name, entry)
    at = next
  }
  return entries
}

function findEnd(tail: Buffer): number {
  for (let at = tail.length - 22; at >= 0; at--) {
    if (tail.readUInt32LE(at) === END && at + 22 + tail.readUInt16LE(at + 20) === tail.length) return at
  }
  return -1
}

function readEntry(directory: Buffer, at: number, fail: Fail): [ZipEntry, next: number] {
  if (at + 46 > directory.length || directory.readUInt32LE(at) !== CENTRAL) throw fail('its directory is damaged')
  const nameEnd = at + 46 + directory.readUInt16LE(at + 28)
  const extraEnd = nameEnd + directory.readUInt16LE(at + 30)
  const next = extraEnd + directory.readUInt16LE(at + 32)
  if (next > directory.length) throw fail('its directory is damaged')
  const name = directory.toString('utf8', at + 46, nameEnd)
  const flags = directory.readUInt16LE(at + 8)
  const method = directory.readUInt16LE(at + 10)
  if ((flags & 1) !== 0) throw fail(`${JSON.stringify(name)} is encrypted`)
  if (method !== 0 && method !== 8)
    throw fail(`${JSON.stringify(name)} is packed by method ${method}; 0 and 8 are read`)
  const wide = wideFields(directory.subarray(nameEnd, extraEnd))
  const field = (offset: number): number => {
    const value = directory.readUInt32LE(at + offset)
    return value === FULL_32 ? safe(wide.shift(), fail) : value
  }
  // In this order they follow one another in the wide fields.
  const size = field(24)
  const packed = field(20)
  const start = field(42)
  return [{ name, method, crc: directory.readUInt32LE(at + 16), packed, size, start }, next]
}

/** The 64-bit numbers of the zip64 field. */
function wideFields(extra: Buffer): bigint[] {
  for (let at = 0; at + 4 <= extra.length; ) {
    const length = extra.readUInt16LE(at + 2)
    const field = extra.subarray(at + 4, at + 4 + length)
    if (extra.readUInt16LE(at) === 1)
      return Array.from({ length: field.length >> 3 }, (_, i) => field.readBigUInt64LE(8 * i))
    at += 4 + length
  }
  return []
}

function safe(value: bigint | undefined, fail: Fail): number {
  if (value === undefined || value > BigInt(Number.MAX_SAFE_INTEGER))
    throw fail('its directory is damaged: a size is missing')
  return Number(value)
}

async function readExactly(file: FileHandle, at: number, length: number, size: number, fail: Fail): Promise<Buffer> {
  if (at < 0 || at + length > size) throw fail('it is not whole: it points beyond its end')
  const bytes = Buffer.allocUnsafeSlow(length)
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, length - done, at + done)
    if (bytesRead === 0) throw fail('it ended while it was read')
    done += bytesRead
  }
  return bytes
}

/** Turns an error of the file system into ours. */
export async function onDisk<T>(path: string, op: string, fn: () => Promise<T>): Promise<T> {
  try {
    return await fn()
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (cause instanceof CheckpointError || code === undefined) throw cause
    throw new FileError(`${op}: ${path}: ${message}`, { op, got: code, cause })
  }
}

/** The pieces of a zip file in which entries lie as they are, of one date, so that equal contents make equal files. Less than 4 GB. */
export function zipPieces(files: Iterable<readonly [name: string, content: Uint8Array]>, fail: Fail): Uint8Array[] {
  const pieces: Uint8Array[] = []
  const directory: Buffer[] = []
  let at = 0
  for (const [name, content] of files) {
    const label = Buffer.from(name)
    const common = Buffer.alloc(26)
    common.writeUInt16LE(20, 0) // the version needed
    common.writeUInt16LE(0x800, 2) // names are UTF-8
    common.writeUInt16LE(0x21, 8) // 1 January 1980
    common.writeUInt32LE(crc32(content), 10)
    if (at + content.length > FULL_32 - (1 << 26) || label.length > FULL_16)
      throw fail('the arrays together have more than 4 GB, or a name is too long')
    common.writeUInt32LE(content.length, 14)
    common.writeUInt32LE(content.length, 18)
    common.writeUInt16LE(label.length, 22)
    const central = Buffer.alloc(14)
    central.writeUInt32LE(at, 10)
    directory.push(word(CENTRAL), Buffer.from([20, 0]), common, central, label)
    pieces.push(word(LOCAL), common, label, content)
    at += 30 + label.length + content.length
  }
  const length = directory.reduce((sum, piece) => sum + piece.length, 0)
  const end = Buffer.alloc(18)
  const count = directory.length / 5
  if (count >= FULL_16) throw fail(`${count} arrays are more than fit`)
  end.writeUInt16LE(count, 4)
  end.writeUInt16LE(count, 6)
  end.writeUInt32LE(length, 8)
  end.writeUInt32LE(at, 12)
  return [...pieces, ...directory, word(END), end]
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
