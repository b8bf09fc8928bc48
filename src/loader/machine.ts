// The machine that this process runs on, and whether the native part runs on it.
import { failure } from './failure.js'

export interface Machine {
  platform: string
  arch: string
  /** The version of glibc; absent on other systems and on Linux with musl. */
  glibc: string | undefined
}

/** The platforms that a package is published for, and the names in that package. */
const PREBUILT: Readonly<Record<string, string>> = { 'linux-x64': 'linux-x64-gnu' }

/** libtorch's own need; an addon may need more (`config.glibc` of its package). */
export const LEAST_GLIBC = '2.28'

export function thisMachine(): Machine {
  return { platform: process.platform, arch: process.arch, glibc: glibcVersion() }
}

function glibcVersion(): string | undefined {
  if (process.platform !== 'linux') return undefined
  // Asking for the network interfaces' names may take seconds.
  Object.assign(process.report, { excludeNetwork: true })
  const { header } = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } }
  return header.glibcVersionRuntime
}

/** `linux-x64-gnu`, as the packages are called; undefined where none is published. */
export function prebuiltName({ platform, arch }: Machine): string | undefined {
  return PREBUILT[`${platform}-${arch}`]
}

/**
 * Throws where the native part cannot run: another platform, no glibc (Alpine's musl), or one that is too old.
 *
 * @throws NativeError (`ERR_NATIVE`)
 */
export function checkMachine(machine: Machine, leastGlibc: string = LEAST_GLIBC): void {
  const name = `${machine.platform}-${machine.arch}`
  const elsewhere =
    'run on Linux x64 with glibc (node:24 rather than node:24-alpine); `quarterturn/js` is plain JavaScript and runs a saved model anywhere'
  if (prebuiltName(machine) === undefined) {
    throw failure(`there is no native build for ${name}`, {
      expected: Object.keys(PREBUILT).join(', '),
      got: name,
      remedy: `${elsewhere}. Or build from the repository (docs/packages.md)`,
    })
  }
  if (machine.platform !== 'linux') return
  if (machine.glibc === undefined) {
    throw failure(`${name} without glibc is not supported: libtorch does not exist for musl`, {
      expected: `glibc ${leastGlibc} or newer`,
      got: 'no glibc',
      remedy: elsewhere,
    })
  }
  if (olderThan(machine.glibc, leastGlibc)) {
    throw failure(`glibc ${machine.glibc} is too old: ${leastGlibc} or newer is needed`, {
      expected: `glibc ${leastGlibc} or newer`,
      got: `glibc ${machine.glibc}`,
      remedy: `use a newer distribution (Debian 12, Ubuntu 22.04, RHEL 9 have it); ${elsewhere}`,
    })
  }
}

function olderThan(version: string, least: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [leastMajor = 0, leastMinor = 0] = least.split('.').map(Number)
  return major < leastMajor || (major === leastMajor && minor < leastMinor)
}
