// The only file that loads the addon: at first use, after libtorch, which src/loader chooses. CPU or CUDA is decided once.
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { isMainThread } from 'node:worker_threads'
import type * as Addon from '../index.js'
import { ArgumentError } from './errors.js'
import { type AddonFile, findAddon } from './loader/addon.js'
import { failure, firstLine } from './loader/failure.js'
import { findLibtorch, type Libtorch } from './loader/libtorch.js'
import { thisMachine } from './loader/machine.js'
import { TORCH } from './loader/version.js'

export type Native = typeof Addon

/** The addon of crates/loader. */
interface Loader {
  open(path: string): string | null
  opened(): string | null
}

export interface NativeOptions {
  /** A folder that holds libtorch 2.11.0 (`lib/libtorch_cpu.so`), before any other. @default what `LIBTORCH` names, else the one that npm installed */
  libtorch?: string
  /** Whether libtorch with CUDA is opened. @default whether `QUARTERTURN_CUDA` is `1` */
  cuda?: boolean
}

/** What was loaded, and from where. */
export interface LoadedNative {
  addon: AddonFile
  /** Absent where the addon found the libtorch that it was built with. */
  libtorch: Pick<Libtorch, 'library' | 'from'> | undefined
}

const wrongArgument = { op: 'configureNative' }

let options: NativeOptions = {}
let loaded: (LoadedNative & { native: Native }) | undefined

/**
 * Says which libtorch is used and whether with CUDA, instead of `LIBTORCH` and `QUARTERTURN_CUDA`; before anything is computed.
 *
 * @throws ArgumentError (`ERR_ARGUMENT`) for another type; NativeError (`ERR_NATIVE`) when the addon is loaded already: a process has one libtorch.
 */
export function configureNative(given: NativeOptions): void {
  const { libtorch, cuda } = (given ?? {}) as Record<string, unknown>
  if (libtorch !== undefined && typeof libtorch !== 'string')
    throw new ArgumentError(`configureNative: libtorch must be a folder, got ${typeof libtorch}`, wrongArgument)
  if (cuda !== undefined && typeof cuda !== 'boolean')
    throw new ArgumentError(`configureNative: cuda must be true or false, got ${typeof cuda}`, wrongArgument)
  if (loaded !== undefined) {
    throw failure('configureNative came too late: libtorch is loaded, and a process has one', {
      op: 'configureNative',
      remedy: 'call it at the start of the program, before the first tensor',
    })
  }
  options = { ...(libtorch === undefined ? {} : { libtorch }), ...(cuda === undefined ? {} : { cuda }) }
}

/**
 * The addon, loaded at the first call.
 *
 * @throws NativeError (`ERR_NATIVE`) when it cannot be loaded; the text lists what was tried and what mends it.
 */
export function native(): Native {
  loaded ??= load()
  return loaded.native
}

/** Loads the addon if need be, and says what it is. */
export function loadedNative(): LoadedNative {
  loaded ??= load()
  return loaded
}

function load(): LoadedNative & { native: Native } {
  // libgomp reads this when it is loaded: its threads spin for some milliseconds between regions, which bridges a step's gaps, and then sleep.
  if (isMainThread) process.env.GOMP_SPINCOUNT ??= '100000'
  const addon = findAddon(fileURLToPath(new URL('..', import.meta.url)), fileURLToPath(import.meta.url), thisMachine())
  const libtorch = openLibtorch(addon)
  try {
    return { native: require(addon.path) as Native, addon, libtorch }
  } catch (cause) {
    throw failure(`${addon.path} cannot be loaded: ${firstLine(cause)}`, {
      cause,
      tried: libtorch === undefined ? [] : [{ place: libtorch.from, outcome: libtorch.library }],
      expected: `an addon for libtorch ${TORCH}`,
      remedy:
        addon.from === 'repository'
          ? 'npm run build, which also fetches the libtorch that the addon needs'
          : 'remove node_modules and install again; `npx quarterturn doctor` says what is there',
    })
  }
}

/** Opens libtorch before anything asks it about devices: that question is answered once and for ever. */
function openLibtorch(addon: AddonFile): LoadedNative['libtorch'] {
  const cuda = options.cuda ?? process.env.QUARTERTURN_CUDA === '1'
  const loader = addon.loader === undefined ? undefined : loaderAt(addon.loader)
  const before = loader?.opened() ?? undefined
  if (before !== undefined) {
    if (cuda && !before.includes('libtorch_cuda')) {
      throw failure('CUDA was asked for after libtorch had been opened without it, by another thread of this process', {
        got: before,
        remedy: 'set QUARTERTURN_CUDA=1 for the whole process',
      })
    }
    return { library: before, from: 'opened by another thread' }
  }
  const found = findLibtorch(addon, { libtorch: options.libtorch, cuda })
  if (found === undefined) return undefined
  if (loader === undefined) {
    if (!cuda) return undefined // a lone addon, which finds what it was built with
    throw failure(`CUDA was asked for, and ${addon.path} has no loader beside it`, {
      expected: 'quarterturn-loader.*.node in the same folder',
      remedy: 'unset QUARTERTURN_ADDON, or in the repository: npm run build',
    })
  }
  const problem = loader.open(found.library)
  if (problem === null) return found
  throw failure(`${found.library} cannot be opened: ${problem}`, {
    tried: found.tried,
    expected: `libtorch ${found.version}`,
    got: found.library,
    remedy: cuda
      ? 'npx quarterturn cuda install fetches libtorch with all that it needs; or unset QUARTERTURN_CUDA to compute on the CPU'
      : 'install it again (remove node_modules, npm install); if a library of NVIDIA is missing, LIBTORCH names a CUDA build without its neighbours',
  })
}

function loaderAt(path: string): Loader {
  try {
    return require(path) as Loader
  } catch (cause) {
    throw failure(`${path} cannot be loaded: ${firstLine(cause)}`, {
      cause,
      remedy: 'remove node_modules and install again; in the repository: npm run build',
    })
  }
}

const require = createRequire(import.meta.url)
