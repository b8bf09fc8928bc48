// The version of libtorch that the addon is made for, and that of a folder.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The only version that fits: the addon calls libtorch's C++ interface, which changes from version to version. */
export const TORCH = '2.11.0'

/**
 * The version that the files of a libtorch folder give, without what follows a `+`; undefined where no file says it.
 * The archives of pytorch.org and our packages have `build-version`, pip's torch `version.py`, and all have a header where they have headers.
 */
export function versionOf(folder: string): string | undefined {
  const version =
    match(join(folder, 'build-version'), /^(\d+\.\d+\.\d+)/) ??
    match(join(folder, 'version.py'), /__version__ = '(\d+\.\d+\.\d+)/)
  if (version !== undefined) return version
  const header = join(folder, 'include/torch/headeronly/version.h')
  const parts = ['MAJOR', 'MINOR', 'PATCH'].map((part) => match(header, new RegExp(`TORCH_VERSION_${part} (\\d+)`)))
  return parts.includes(undefined) ? undefined : parts.join('.')
}

function match(path: string, pattern: RegExp): string | undefined {
  return existsSync(path) ? pattern.exec(readFileSync(path, 'utf8'))?.[1] : undefined
}
