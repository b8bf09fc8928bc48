// The only file that loads the addon: finds it, decides CPU or CUDA once, and loads at first use.
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isMainThread } from 'node:worker_threads'
import type * as Addon from '../index.js'
import { NativeError } from './errors.js'

export type Native = typeof Addon

let loaded: Native | undefined

/**
 * The addon, loaded at the first call.
 *
 * @throws NativeError (`ERR_NATIVE`) when it cannot be loaded; the text lists what was tried and what mends it.
 */
export function native(): Native {
  loaded ??= load()
  return loaded
}

function load(): Native {
  // libgomp reads this when it is loaded: a short spin keeps parallel regions at a microsecond without starving the JavaScript thread.
  if (isMainThread) process.env.GOMP_SPINCOUNT ??= '1000'
  if (process.env.QUARTERTURN_CUDA === '1') openCuda()
  const path = addonPath()
  if (!existsSync(path)) {
    throw new NativeError(
      `quarterturn: no addon for ${process.platform}-${process.arch}: ${path} does not exist. Run \`npm run build\` in the repository, or set QUARTERTURN_ADDON`,
      {
        expected: path,
      },
    )
  }
  try {
    return createRequire(import.meta.url)(path) as Native
  } catch (cause) {
    throw new NativeError(
      `quarterturn: ${path} cannot be loaded: ${firstLine(cause)}. Run \`npm run build\` again; it fetches the libtorch that the addon needs`,
      { cause },
    )
  }
}

function addonPath(): string {
  const given = process.env.QUARTERTURN_ADDON
  if (given !== undefined) return given
  const root = fileURLToPath(new URL('..', import.meta.url))
  return join(root, 'build', `quarterturn.${process.platform}-${process.arch}-gnu.node`)
}

/** Maps libtorch_cuda before anything asks libtorch about devices: the first question is answered once and for ever. */
function openCuda(): void {
  const folder = process.env.LIBTORCH
  const path =
    folder === undefined
      ? undefined
      : [join(folder, 'lib'), folder].map((dir) => join(dir, 'libtorch_cuda.so')).find(existsSync)
  if (path === undefined) {
    throw new NativeError(
      'quarterturn: QUARTERTURN_CUDA=1 needs LIBTORCH to name the torch folder of a CUDA build of PyTorch 2.11: no libtorch_cuda.so was found there',
      {
        expected: 'lib/libtorch_cuda.so',
        got: folder ?? 'LIBTORCH is not set',
      },
    )
  }
  try {
    process.dlopen({ exports: {} } as NodeModule, path, constants.dlopen.RTLD_NOW | constants.dlopen.RTLD_GLOBAL)
  } catch (cause) {
    // Not an addon, so Node always complains that it did not register itself; the library stays mapped all the same.
    if (!firstLine(cause).includes('self-register')) {
      throw new NativeError(`quarterturn: ${path} cannot be opened: ${firstLine(cause)}`, { cause })
    }
  }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] ?? ''
}
