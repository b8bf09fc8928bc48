// A small file, written whole or not at all.
import { open, rename, rm } from 'node:fs/promises'

/** Writes aside, flushes to the disk and renames. */
export async function writeWhole(path: string, pieces: readonly (string | Uint8Array)[]): Promise<void> {
  const aside = `${path}.${process.pid}.part`
  try {
    const file = await open(aside, 'w')
    try {
      for (const piece of pieces) await file.writeFile(piece)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(aside, path)
  } catch (error) {
    await rm(aside, { force: true })
    throw error
  }
}
