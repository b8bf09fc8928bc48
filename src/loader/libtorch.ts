// Chooses libtorch: an explicit option, LIBTORCH, the npm package, the cache folder, and Python's torch where that is allowed.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { AddonFile } from './addon.js'
import { type Cached, cachedCpu, cachedCuda } from './cache.js'
import { damage } from './elf.js'
import { type Attempt, failure, firstLine } from './failure.js'
import { TORCH, versionOf } from './version.js'

export interface Libtorch {
  /** What is opened first: libtorch_cpu, or libtorch_cuda, which brings all others along. */
  library: string
  version: string
  /** Which of the places it was found in. */
  from: string
  tried: Attempt[]
}

export interface Wanted {
  /** The folder given to `configureNative`. */
  libtorch: string | undefined
  cuda: boolean
}

/** A place to look at: named by the user, and then nothing else will do, or one of those that are looked through. */
interface Place {
  name: string
  named: boolean
  /** The folder, or why there is none. */
  look(): { folder: string } | { absent: string }
}

const INSTALL_CUDA = 'npx quarterturn cuda install'

/**
 * Finds libtorch, checks its version and that its files are whole.
 * Returns undefined where none is found and the addon is one that was built here: that one knows the libtorch it was built with.
 *
 * @throws NativeError (`ERR_NATIVE`)
 */
export function findLibtorch(addon: AddonFile, { libtorch, cuda }: Wanted): Libtorch | undefined {
  const main = cuda ? 'libtorch_cuda.so' : 'libtorch_cpu.so'
  const tried: Attempt[] = []
  for (const place of places(addon, libtorch, cuda)) {
    const found = place.look()
    const outcome = 'absent' in found ? { wrong: found.absent } : inspect(found.folder, main)
    if ('library' in outcome) {
      tried.push({ place: place.name, outcome: outcome.library })
      return { ...outcome, from: place.name, tried }
    }
    tried.push({ place: place.name, outcome: outcome.wrong })
    if (place.named && 'folder' in found) throw refused(place.name, found.folder, outcome, cuda)
  }
  if (cuda) {
    throw failure(`CUDA was asked for, and no libtorch ${TORCH} with CUDA was found`, {
      tried,
      expected: main,
      remedy: `${INSTALL_CUDA} (fetches it with pip, about 3 GB); or set LIBTORCH to the torch folder of an installed PyTorch ${TORCH} with CUDA; or unset QUARTERTURN_CUDA to compute on the CPU`,
    })
  }
  if (addon.manifest === undefined) return undefined
  throw failure(`libtorch ${TORCH} was not found`, {
    tried,
    expected: `libtorch ${TORCH}`,
    remedy:
      'npm install quarterturn --include=optional (brings libtorch along); or set LIBTORCH to a folder of libtorch; or QUARTERTURN_USE_PYTHON=1 to use the torch of python3',
  })
}

function places(addon: AddonFile, option: string | undefined, cuda: boolean): Place[] {
  const named = (name: string, value: string | undefined): Place => ({
    name,
    named: true,
    look: () => (value ? { folder: value } : { absent: 'not set' }),
  })
  const list = [named('configureNative', option), named('LIBTORCH', process.env.LIBTORCH)]
  if (addon.manifest !== undefined && !cuda) list.push(npmPackage(addon.manifest))
  if (!cuda) list.push(inCache('cache folder', cachedCpu()))
  list.push(inCache('cache folder (CUDA)', cachedCuda()), python())
  return list
}

function npmPackage(manifest: string): Place {
  const name = '@quarterturn/libtorch-linux-x64-gnu'
  return {
    name,
    named: false,
    look: () => {
      try {
        return { folder: dirname(createRequire(manifest).resolve(`${name}/package.json`)) }
      } catch {
        return { absent: `not installed beside ${dirname(manifest)}` }
      }
    },
  }
}

function inCache(name: string, { folder, torch, there, complete }: Cached): Place {
  const look = () => {
    if (complete) return { folder: torch }
    if (!there) return { absent: `${folder} does not exist` }
    return { absent: `${folder} was not completely fetched; ${INSTALL_CUDA} resumes, or remove it` }
  }
  return { name, named: false, look }
}

function python(): Place {
  const look = () => {
    if (process.env.QUARTERTURN_USE_PYTHON !== '1')
      return { absent: 'not looked at (QUARTERTURN_USE_PYTHON=1 allows it)' }
    const program = process.env.PYTHON || 'python3'
    const code = 'import importlib.util as u; print(u.find_spec("torch").submodule_search_locations[0])'
    try {
      const text = execFileSync(program, ['-c', code], { encoding: 'utf8', timeout: 20_000, stdio: 'pipe' })
      return { folder: text.trim() }
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
      return { absent: missing ? `${program} was not found` : `${program} has no torch` }
    }
  }
  return { name: "Python's torch", named: false, look }
}

interface Unusable {
  wrong: string
  version?: string | undefined
  damaged?: boolean
}

/** Looks at a folder that has libtorch in `lib`, or is that `lib` itself. */
function inspect(folder: string, main: string): { library: string; version: string } | Unusable {
  const lib = [join(folder, 'lib'), folder].find((each) => existsSync(join(each, main)))
  if (lib === undefined) return { wrong: `no ${main} in ${join(folder, 'lib')}` }
  const version = versionOf(folder) ?? versionOf(dirname(folder))
  if (version !== TORCH) return { wrong: `${folder} is version ${version ?? 'unknown'}, not ${TORCH}`, version }
  for (const name of new Set(['libc10.so', 'libtorch_cpu.so', main])) {
    const path = join(lib, name)
    const harm = existsSync(path) ? readable(path) : 'it does not exist'
    if (harm !== undefined) return { wrong: `${path} is damaged: ${harm}`, version, damaged: true }
  }
  return { library: join(lib, main), version }
}

function readable(path: string): string | undefined {
  try {
    return process.platform === 'linux' ? damage(path) : undefined
  } catch (error) {
    return firstLine(error)
  }
}

function refused(name: string, folder: string, outcome: Unusable, cuda: boolean) {
  const details = { expected: `libtorch ${TORCH}`, got: outcome.version ?? folder }
  const without = name === 'LIBTORCH' ? 'unset LIBTORCH' : 'leave out the option libtorch'
  const problem = `${name} is ${folder}, which cannot be used: ${outcome.wrong}`
  if (outcome.damaged) return failure(problem, { ...details, remedy: `install it again, or ${without}` })
  const other = cuda ? `, then ${INSTALL_CUDA}` : ' to use the libtorch that npm has installed'
  const pip = `python3 -m pip install torch==${TORCH}`
  return failure(problem, { ...details, remedy: `${without}${other}; or name a folder of ${TORCH}, exactly (${pip})` })
}
