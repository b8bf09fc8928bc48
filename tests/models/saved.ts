// A folder for one test, gone after it.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export async function inFolder<T>(fn: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'quarterturn-model-'))
  try {
    return await fn(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}
