// Finds the addon: the file that was named, the build of the repository, or the package of this platform.
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { type Attempt, failure } from './failure.js'
import { checkMachine, LEAST_GLIBC, type Machine, prebuiltName } from './machine.js'

export interface AddonFile {
  path: string
  /** `QUARTERTURN_ADDON`, `repository` or the name of the package. */
  from: string
  /** What opens libtorch by its path (crates/loader); absent where only a lone addon was named. */
  loader: string | undefined
  /** The package's own `package.json`, from where its dependencies are found. */
  manifest: string | undefined
}

/** Finds the addon. `root` is the folder of this package; `self` a file in it, from where packages are looked up. */
export function findAddon(root: string, self: string, machine: Machine): AddonFile {
  const given = process.env.QUARTERTURN_ADDON
  if (given !== undefined && given !== '') {
    if (existsSync(given)) return { path: given, from: 'QUARTERTURN_ADDON', loader: beside(given), manifest: undefined }
    throw failure(`QUARTERTURN_ADDON: ${given} does not exist`, {
      expected: given,
      remedy: 'unset QUARTERTURN_ADDON to use the addon that is installed',
    })
  }
  const built = join(root, 'build', `quarterturn.${machine.platform}-${machine.arch}-gnu.node`)
  if (existsSync(built)) return { path: built, from: 'repository', loader: beside(built), manifest: undefined }
  checkMachine(machine)
  return fromPackage(built, self, machine)
}

function fromPackage(built: string, self: string, machine: Machine): AddonFile {
  const triple = prebuiltName(machine)
  const name = `@quarterturn/${triple}`
  const tried: Attempt[] = [
    { place: 'QUARTERTURN_ADDON', outcome: 'not set' },
    { place: built, outcome: 'not there (the build of the repository)' },
  ]
  let manifest: string
  try {
    manifest = createRequire(self).resolve(`${name}/package.json`)
  } catch {
    throw failure(`the native package ${name} is not installed`, {
      tried: [...tried, { place: name, outcome: `cannot be resolved from ${self}` }],
      expected: name,
      remedy: `npm install quarterturn --include=optional (with pnpm or yarn: without their option that leaves out optional dependencies). If node_modules was made on another platform, remove it first. In a bundle, leave quarterturn out: esbuild --external:quarterturn. In the repository: npm run build`,
    })
  }
  const path = join(dirname(manifest), `quarterturn.${triple}.node`)
  if (!existsSync(path)) {
    throw failure(`the native package ${name} is incomplete`, {
      tried: [...tried, { place: path, outcome: 'not there' }],
      expected: path,
      remedy: 'remove node_modules and install again',
    })
  }
  const { config } = JSON.parse(readFileSync(manifest, 'utf8')) as { config?: { glibc?: string } }
  checkMachine(machine, config?.glibc ?? LEAST_GLIBC)
  return { path, from: name, loader: beside(path), manifest }
}

function beside(addon: string): string | undefined {
  const path = addon.replace(/quarterturn(\.[^/]*)$/, 'quarterturn-loader$1')
  return path !== addon && existsSync(path) ? path : undefined
}
