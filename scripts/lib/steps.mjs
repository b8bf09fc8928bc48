// The steps from a fresh clone to something that runs. Each is skipped when nothing it depends on has changed.
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, mkdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { ensureLibtorch, libtorchEnv } from '../libtorch.mjs'
import { bundle } from './bundle.mjs'
import { buildFatbin } from './fatbin.mjs'
import { must, mustTool, root, run, Stop, say } from './run.mjs'
import { fingerprint, step } from './stamp.mjs'

/** The addon as src/native.ts looks for it. */
export const addon = `build/quarterturn.${process.platform}-${process.arch}-gnu.node`

/** What opens libtorch by its path before the addon (crates/loader). */
export const loader = `build/quarterturn-loader.${process.platform}-${process.arch}-gnu.node`

/** What cargo compiles. */
const RUST = ['crates', 'Cargo.toml', 'Cargo.lock', '.cargo']

const NAPI = [
  'build --platform --release --manifest-path crates/node/Cargo.toml --package-json-path package.json',
  '--output-dir build --dts index.d.ts --no-js --no-const-enum',
].flatMap((words) => words.split(' '))

/**
 * What cargo is told when it is not napi that calls it: napi names the target, and only with the same words is the C++ of libtorch's bindings,
 * which takes minutes, not compiled once more.
 */
export function cargoFlags() {
  return ['--release', '--target', host(), '--workspace']
}

/** For tests and lints: the CUDA kernels are compiled for the CPU as well, where their tests run them. */
export const emulation = ['--features', 'quarterturn-cuda/emulation']

/** What Rust calls this platform. */
function host() {
  const text = spawnSync('rustc', ['-vV'], { encoding: 'utf8' }).stdout ?? ''
  const name = /^host: (\S+)/m.exec(text)?.[1]
  if (name === undefined) throw new Stop('rustc was not found. Install Rust and run this again.')
  return name
}

/** The packages of package-lock.json. */
export async function packages() {
  const lock = fingerprint(['package-lock.json', '.npmrc'], [process.version])
  await step('packages', lock, ['node_modules/.package-lock.json'], async () => {
    say('installing packages')
    await must('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'])
  })
}

/** libtorch; returns the environment that a build or test needs to find it. */
export async function libtorch() {
  return libtorchEnv(await ensureLibtorch())
}

/** The addon and build/index.d.ts. `write` also renews the committed index.d.ts. */
export async function buildAddon(env, { write = false } = {}) {
  const print = fingerprint([...RUST, 'package.json'], [env.LIBTORCH])
  await step('addon', print, [addon, loader, 'build/index.d.ts'], async () => {
    say('building the addon (a few minutes the first time)')
    mkdirSync(join(root, 'build'), { recursive: true })
    await mustTool('napi', NAPI, { env })
    if (!existsSync(join(root, addon))) throw new Stop(`the build ended without ${addon}`)
    await must('cargo', ['build', '--release', '--target', host(), '--package', 'quarterturn-loader'], { env })
    const built = process.platform === 'darwin' ? 'libquarterturn_loader.dylib' : 'libquarterturn_loader.so'
    copyReplacing(join(root, 'target', host(), 'release', built), join(root, loader))
  })
  if (write) copyFileSync(join(root, 'build/index.d.ts'), join(root, 'index.d.ts'))
}

/** Copies by way of a new file: a library that a running process has open keeps its content. */
function copyReplacing(from, to) {
  copyFileSync(from, `${to}.new`)
  renameSync(`${to}.new`, to)
}

/** dist/: what the package holds. */
export async function buildLibrary() {
  const print = fingerprint([
    'src',
    'index.d.ts',
    'tsconfig.json',
    '.config/tsconfig.dist.json',
    'package-lock.json',
    'scripts/lib/bundle.mjs',
  ])
  await step('library', print, ['dist/index.js'], async () => {
    say('bundling src')
    await bundle()
    await mustTool('tsc', ['-p', '.config/tsconfig.dist.json']) // the declarations
    chmodSync(join(root, 'dist/cli/main.js'), 0o755) // npx runs it in place
  })
}

/** A bench of the kernels as a program; returns its path. It needs no libtorch. */
export async function kernelBench(name) {
  let text = ''
  const args = ['build', ...cargoFlags(), '--quiet', '--bench', name, '--message-format', 'json-render-diagnostics']
  const code = await run('cargo', args, {
    quiet: true,
    onText: (piece) => {
      text += piece
    },
  })
  const path = /"executable":"([^"]+)"/.exec(text)?.[1]
  if (code !== 0 || path === undefined) throw new Stop(`cargo ${args.join(' ')} failed:\n${text}`)
  return path
}

/** build/ts: examples and benches, which import `quarterturn` as any program does. */
export async function buildPrograms() {
  const own = ['examples', 'bench', 'tsconfig.json', '.config/tsconfig.programs.json']
  if (!existsSync(join(root, 'examples')) && !existsSync(join(root, 'bench'))) return
  const print = fingerprint([...own, 'src', 'index.d.ts'])
  await step('programs', print, ['build/ts'], async () => {
    say('compiling examples and benches')
    await mustTool('tsc', ['-p', '.config/tsconfig.programs.json'])
  })
}

/** Everything; returns the environment with which to run it. */
export async function buildAll(options) {
  await packages()
  const env = await libtorch()
  await buildAddon(env, options)
  await buildLibrary()
  await buildPrograms()
  await buildFatbin()
  return env
}
