// The lock of a run's folder: one process at a time writes checkpoints there.
import { randomUUID } from 'node:crypto'
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { BusyError, FileError } from '../errors.js'

interface Owner {
  pid: number
  /** When that process started, as the system counts it: tells a process from a later one of the same number. */
  started: string
  host: string
}

/** Paths of the locks that this thread holds, and what is in those that it could not remove. */
const held = new Set<string>()
const left = new Set<string>()

/** Takes the lock of a folder and returns what releases it. A lock whose process is gone is taken over. */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, 'lock')
  if (held.has(path))
    throw new BusyError(`fit: ${folder} is in use by another run of this process`, { op: 'fit', got: folder })
  held.add(path)
  let own: string
  try {
    own = await take(path, folder)
  } catch (error) {
    held.delete(path)
    throw error
  }
  return async () => {
    await rm(path, { force: true }).catch(() => left.add(own))
    held.delete(path)
  }
}

async function take(path: string, folder: string): Promise<string> {
  const own = JSON.stringify({
    pid: process.pid,
    started: await startOf(process.pid),
    host: hostname(),
    token: randomUUID(),
  })
  for (let attempt = 0; ; attempt++) {
    try {
      await create(path, own)
      return own
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw fileError(path, error)
    }
    const text = await readFile(path, 'utf8').catch(() => undefined)
    if (text === undefined) continue
    const owner = parse(text)
    if (owner !== undefined && !left.has(text) && (await isAlive(owner))) {
      throw new BusyError(
        `fit: ${folder} is in use by process ${owner.pid} on ${owner.host}; end it, choose another folder, or remove ${path} if it is gone`,
        {
          op: 'fit',
          got: `process ${owner.pid}`,
        },
      )
    }
    if (attempt === 10)
      throw new BusyError(`fit: ${path} could not be taken over; remove it if no process uses ${folder}`, {
        op: 'fit',
        got: path,
      })
    await setAside(path, text)
  }
}

/** The file with its whole content or not at all: a lock that is found is never half written. */
async function create(path: string, text: string): Promise<void> {
  const aside = `${path}.${process.pid}`
  await writeFile(aside, text)
  try {
    await link(aside, path)
  } finally {
    await rm(aside, { force: true })
  }
}

/** Removes a stale lock, unless another process has already put its own in that place. */
async function setAside(path: string, stale: string): Promise<void> {
  const aside = `${path}.stale.${process.pid}`
  try {
    await rename(path, aside)
  } catch {
    return
  }
  if ((await readFile(aside, 'utf8')) !== stale) await link(aside, path).catch(() => {})
  await rm(aside, { force: true })
}

function parse(text: string): Owner | undefined {
  try {
    const { pid, started, host } = JSON.parse(text) as Owner
    return Number.isSafeInteger(pid) ? { pid, started, host } : undefined
  } catch {
    return undefined
  }
}

async function isAlive({ pid, started, host }: Owner): Promise<boolean> {
  // What runs on another machine cannot be asked.
  if (host !== hostname()) return true
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  return (await startOf(pid)) === started
}

/** The start time of a process where the system tells it (Linux), else an empty string. */
async function startOf(pid: number): Promise<string> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    // The name, in parentheses, may hold anything; the start time is the 20th word after it.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  } catch {
    return ''
  }
}

/** An error of the file system with its path and code. */
export function fileError(path: string, cause: unknown): FileError {
  const { code, message } = cause as NodeJS.ErrnoException
  return new FileError(`${path}: ${code ?? message}`, { op: 'fit', got: code, cause })
}
