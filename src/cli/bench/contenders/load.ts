// Finds a contender by name; other people's libraries come from the user's project.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Contender, Request } from '../contender.js'

/** How the packages of the user's project are found. */
export interface Project {
  /** The package, loaded. */
  load(name: string): Promise<unknown>
  version(name: string): string
}

export async function loadContender(asked: Extract<Request, { do: 'load' }>): Promise<Contender> {
  const { contender, folder, threads, version } = asked
  const project = projectIn(folder)
  switch (contender) {
    case 'native':
      return (await import('./native.js')).load(threads, version)
    case 'js':
      return (await import('./js.js')).load(version)
    case 'tfjs-cpu':
    case 'tfjs-wasm':
      return (await import('./tfjs.js')).load(project, contender === 'tfjs-cpu' ? 'cpu' : 'wasm', threads)
    case 'jax':
      return (await import('./jax.js')).load(project)
    case 'brain':
      return (await import('./brain.js')).load(project)
    case 'onnx':
      return (await import('./onnx.js')).load(project, threads)
    default:
      throw new Error(`there is no contender ${contender}`)
  }
}

function projectIn(folder: string): Project {
  const require = createRequire(join(folder, 'package.json'))
  return {
    load: async (name) => require(name),
    version: (name) => packageVersion(require, name),
  }
}

/** By way of its folder: not every package exports its package.json. */
function packageVersion(require: NodeJS.Require, name: string): string {
  for (const folder of require.resolve.paths(name) ?? []) {
    try {
      return (require(join(folder, name, 'package.json')) as { version: string }).version
    } catch {
      // Not in this one.
    }
  }
  return ''
}

/** Whether the project has a package: it need not load. */
export function installed(folder: string, name: string): boolean {
  return packageVersion(createRequire(join(folder, 'package.json')), name) !== ''
}
