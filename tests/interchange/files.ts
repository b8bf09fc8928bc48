// Files made byte by byte: zips with any lie in them, and pickles.
import { crc32 } from 'node:zlib'

export interface Lies {
  /** Fields of the entry's directory record, by offset from its signature: 32-bit. */
  central?: Record<number, number>
  method?: number
  /** Another name in the entry's own header. */
  localName?: string
  crc?: number
  flags?: number
}

/** A zip file of stored entries. */
export function zip(
  files: readonly (readonly [name: string, content: Uint8Array, lies?: Lies])[],
  comment = '',
): Buffer {
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let at = 0
  for (const [name, content, lies = {}] of files) {
    const { central = {}, method = 0, localName = name, crc = crc32(content), flags = 0 } = lies
    const local = Buffer.alloc(30)
    local.writeUInt32LE(0x04034b50, 0)
    local.writeUInt16LE(Buffer.byteLength(localName), 26)
    const record = Buffer.alloc(46)
    record.writeUInt32LE(0x02014b50, 0)
    record.writeUInt16LE(flags, 8)
    record.writeUInt16LE(method, 10)
    record.writeUInt32LE(crc, 16)
    record.writeUInt32LE(content.length, 20)
    record.writeUInt32LE(content.length, 24)
    record.writeUInt16LE(Buffer.byteLength(name), 28)
    record.writeUInt32LE(at, 42)
    for (const [offset, value] of Object.entries(central)) record.writeUInt32LE(value, Number(offset))
    parts.push(local, Buffer.from(localName), Buffer.from(content))
    directory.push(record, Buffer.from(name))
    at += 30 + Buffer.byteLength(localName) + content.length
  }
  const index = Buffer.concat(directory)
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(files.length, 8)
  end.writeUInt16LE(files.length, 10)
  end.writeUInt32LE(index.length, 12)
  end.writeUInt32LE(at, 16)
  end.writeUInt16LE(comment.length, 20)
  return Buffer.concat([...parts, index, end, Buffer.from(comment)])
}

type Value =
  | null
  | boolean
  | number
  | string
  | Value[]
  | { tuple: Value[] }
  | { dict: [Value, Value][] }
  | { raw: Buffer }

/** A pickle of protocol 2. `raw` stands as it is. */
export function pickle(value: Value): Buffer {
  return Buffer.concat([Buffer.from([0x80, 2]), opcodes(value), Buffer.from('.')])
}

function opcodes(value: Value): Buffer {
  if (value === null) return Buffer.from('N')
  if (typeof value === 'boolean') return Buffer.from([value ? 0x88 : 0x89])
  if (typeof value === 'number') return number(value)
  if (typeof value === 'string') return Buffer.concat([prefix('X', Buffer.byteLength(value)), Buffer.from(value)])
  if (Array.isArray(value)) return Buffer.concat([Buffer.from(']('), ...value.map(opcodes), Buffer.from('e')])
  if ('tuple' in value) return Buffer.concat([Buffer.from('('), ...value.tuple.map(opcodes), Buffer.from('t')])
  if ('dict' in value)
    return Buffer.concat([Buffer.from('}('), ...value.dict.flat().map((item) => opcodes(item)), Buffer.from('u')])
  return value.raw
}

function prefix(opcode: string, n: number): Buffer {
  const bytes = Buffer.alloc(5)
  bytes.write(opcode)
  bytes.writeUInt32LE(n, 1)
  return bytes
}

function number(value: number): Buffer {
  if (Number.isInteger(value) && Math.abs(value) < 2 ** 31) {
    const bytes = Buffer.alloc(5)
    bytes.write('J')
    bytes.writeInt32LE(value, 1)
    return bytes
  }
  const bytes = Buffer.alloc(10)
  bytes.writeUInt8(0x8a)
  bytes.writeUInt8(8, 1)
  bytes.writeBigInt64LE(BigInt(value), 2)
  return bytes
}

export const global = (module: string, name: string): Value => ({ raw: Buffer.from(`c${module}\n${name}\n`) })

export function reduce(callee: Value, ...args: Value[]): Value {
  return { raw: Buffer.concat([opcodes(callee), opcodes({ tuple: args }), Buffer.from('R')]) }
}

/** A tensor as torch pickles it: of `count` elements stored under `key`. */
export function torchTensor(
  key: string,
  count: number,
  { offset = 0, shape = [count], strides = [1], type = 'FloatStorage' as string } = {},
): Value {
  const id = opcodes({ tuple: ['storage', global('torch', type), key, 'cpu', count] })
  const storage: Value = { raw: Buffer.concat([id, Buffer.from('Q')]) }
  return reduce(
    global('torch._utils', '_rebuild_tensor_v2'),
    storage,
    offset,
    { tuple: shape },
    { tuple: strides },
    false,
    reduce(global('collections', 'OrderedDict')),
  )
}

/** A file as torch.save writes it. */
export function torchFile(value: Value | Buffer, storages: Record<string, Uint8Array> = {}): Buffer {
  const data = Buffer.isBuffer(value) ? value : pickle(value)
  const stored = Object.entries(storages).map(([key, content]) => [`a/data/${key}`, content] as const)
  return zip([['a/data.pkl', data], ...stored])
}
