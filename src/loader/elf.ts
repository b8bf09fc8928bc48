// Whether a shared library of Linux is whole. Opening one that was cut short may end the process, so it is found out before.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'

/** What is wrong with the file, or undefined. Only its outline is read: the parts that its headers name must lie within it. */
export function damage(path: string): string | undefined {
  const file = openSync(path, 'r')
  try {
    const { size } = fstatSync(file)
    const header = Buffer.alloc(64)
    if (readSync(file, header, 0, 64, 0) < 64) return `it has only ${size} bytes`
    if (header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2) return 'it is not a 64-bit ELF file'
    const end = Math.max(endOfSections(header), endOfSegments(file, header))
    return end > size ? `it is cut short: ${size} of at least ${end} bytes` : undefined
  } finally {
    closeSync(file)
  }
}

function endOfSections(header: Buffer): number {
  return Number(header.readBigUInt64LE(0x28)) + header.readUInt16LE(0x3a) * header.readUInt16LE(0x3c)
}

function endOfSegments(file: number, header: Buffer): number {
  const [entry, entries] = [header.readUInt16LE(0x36), header.readUInt16LE(0x38)]
  const table = Buffer.alloc(entry * entries)
  const start = Number(header.readBigUInt64LE(0x20))
  // A table beyond the end of the file is itself what is missing.
  if (readSync(file, table, 0, table.length, start) < table.length) return start + table.length
  let end = 0
  for (let at = 0; at < table.length; at += entry) {
    end = Math.max(end, Number(table.readBigUInt64LE(at + 0x08)) + Number(table.readBigUInt64LE(at + 0x20)))
  }
  return end
}
