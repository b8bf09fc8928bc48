// The folder for what is fetched once: libtorch without CUDA (scripts/libtorch.mjs), and with it (`quarterturn cuda install`).
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { TORCH } from './version.js'

/** `QUARTERTURN_CACHE`, else `quarterturn` in the user's cache folder. */
export function cacheFolder(): string {
  const { QUARTERTURN_CACHE: own, XDG_CACHE_HOME: xdg } = process.env
  return own || join(xdg || join(homedir(), '.cache'), 'quarterturn')
}

/** A folder of the cache; `complete` is false where fetching it was broken off. */
export interface Cached {
  folder: string
  /** The folder that holds `lib`. */
  torch: string
  there: boolean
  complete: boolean
}

/** libtorch without CUDA. */
export function cachedCpu(): Cached {
  const folder = join(cacheFolder(), `libtorch-${TORCH}`)
  return cached(folder, folder)
}

/** libtorch with CUDA, laid out as pip does: libtorch_cuda finds the libraries of NVIDIA at `../../nvidia`. */
export function cachedCuda(): Cached {
  const folder = join(cacheFolder(), `libtorch-${TORCH}-cuda`)
  return cached(folder, join(folder, 'torch'))
}

function cached(folder: string, torch: string): Cached {
  return { folder, torch, there: existsSync(folder), complete: existsSync(join(folder, '.complete')) }
}
