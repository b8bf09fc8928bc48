// LZ4 frames, unpacked: what Arrow files are packed with unless their writer is told otherwise.

const MAGIC = 0x184d2204
const MOST = 2 ** 31 - 1

/**
 * The content of an LZ4 frame. Checksums are passed over.
 *
 * Source: lz4/doc/lz4_Frame_format.md (1.6.4) and lz4_Block_format.md.
 *
 * @throws Error for bytes that are not such a frame, or cut.
 */
export function lz4Frame(input: Uint8Array): Uint8Array {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength)
  if (input.length < 7 || view.getUint32(0, true) !== MAGIC) throw new Error('this is not an LZ4 frame')
  const flags = view.getUint8(4)
  if (flags >> 6 !== 1 || (flags & 1) !== 0)
    throw new Error('this LZ4 frame is of another version, or needs a dictionary')
  const blockChecksum = (flags & 16) !== 0 ? 4 : 0
  const blockSize = 2 ** (8 + 2 * ((view.getUint8(5) >> 4) & 7))
  let at = (flags & 8) !== 0 ? 15 : 7
  let out = new Uint8Array(blockSize)
  let length = 0
  for (;;) {
    const word = view.getUint32(at, true)
    at += 4
    if (word === 0) return out.subarray(0, length)
    const size = word & 0x7fffffff
    if (at + size > input.length) throw new Error('this LZ4 frame is cut')
    const block = input.subarray(at, at + size)
    at += size + blockChecksum
    const needed = length + blockSize
    if (needed > out.length) {
      const wider = new Uint8Array(Math.min(Math.max(needed, 2 * out.length), MOST))
      wider.set(out.subarray(0, length))
      out = wider
    }
    // A set high bit: the block is stored as it is.
    if (word >= 0x80000000) {
      out.set(block, length)
      length += size
    } else {
      length = unpackBlock(block, out, length)
    }
  }
}

/** Unpacks one block behind what is there already, to which it may refer; returns the new length. */
function unpackBlock(input: Uint8Array, out: Uint8Array, length: number): number {
  let at = 0
  const extend = (count: number): number => {
    let sum = count
    if (count !== 15) return sum
    for (let byte = 255; byte === 255; sum += byte) {
      if (at >= input.length) throw new Error('this LZ4 block is cut')
      byte = input[at++] as number
    }
    return sum
  }
  let to = length
  while (at < input.length) {
    const token = input[at++] as number
    const literals = extend(token >> 4)
    if (at + literals > input.length) throw new Error('this LZ4 block is cut')
    out.set(input.subarray(at, at + literals), to)
    to += literals
    at += literals
    if (at === input.length) break
    if (at + 2 > input.length) throw new Error('this LZ4 block is cut')
    const distance = (input[at] as number) | ((input[at + 1] as number) << 8)
    at += 2
    const count = extend(token & 15) + 4
    if (distance === 0 || distance > to || to + count > out.length) throw new Error('this LZ4 block is damaged')
    // Source and target may overlap: then what was just written is repeated.
    if (distance >= count) out.copyWithin(to, to - distance, to - distance + count)
    else for (let i = to; i < to + count; i++) out[i] = out[i - distance] as number
    to += count
  }
  return to
}
