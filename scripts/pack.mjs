// npm run pack:all: the three packages, as folders in build/packages and as the tarballs that npm publishes. None has an install script.
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { fatbin } from './lib/fatbin.mjs'
import { ADDON_PACKAGE, packAddon } from './lib/pack/addon.mjs'
import { LIBTORCH_PACKAGE, packLibtorch } from './lib/pack/libtorch.mjs'
import { main, must, root, say } from './lib/run.mjs'
import { fingerprint, step } from './lib/stamp.mjs'
import { addon, buildAll, loader } from './lib/steps.mjs'
import { ensureLibtorch, VERSION } from './libtorch.mjs'

const folder = join(root, 'build', 'packages')
const RECIPES = ['scripts/lib/pack', 'scripts/pack.mjs']

/** Packs what has changed; returns the three packages, dependencies first: `{ name, folder, tarball, print }`. */
export async function packAll({ built = false } = {}) {
  if (!built) await buildAll()
  const own = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const libtorch = await ensureLibtorch()
  return [
    await pack(
      LIBTORCH_PACKAGE,
      VERSION,
      fingerprint(['scripts/lib/pack/libtorch.mjs', 'scripts/lib/pack/stubs.mjs'], [VERSION]),
      (to) => packLibtorch(libtorch, to),
    ),
    await pack(ADDON_PACKAGE, own.version, fingerprint([...RECIPES, addon, loader, fatbin, 'package.json']), (to) =>
      packAddon(own, to),
    ),
    await pack(
      'quarterturn',
      own.version,
      fingerprint([...RECIPES, 'dist', 'package.json', 'README.md', 'CHANGELOG.md']),
      (to) => packLibrary(own, to),
    ),
  ]
}

async function pack(name, version, print, fill) {
  const short = name.replace('@quarterturn/', '')
  const at = join(folder, short)
  const tarball = `build/packages/${name.replace('@', '').replace('/', '-')}-${version}.tgz`
  await step(`pack-${short}`, print, [`build/packages/${short}/package.json`, tarball], async () => {
    say(`packing ${name}`)
    rmSync(at, { recursive: true, force: true })
    await fill(at)
    await must('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: at, quiet: true })
  })
  return { name, folder: at, tarball: join(root, tarball), print }
}

/** The TypeScript build. Its native part is an optional dependency, so that `quarterturn/js` installs everywhere. */
function packLibrary(own, to) {
  mkdirSync(to, { recursive: true })
  for (const path of own.files) {
    if (existsSync(join(root, path))) cpSync(join(root, path), join(to, path), { recursive: true })
  }
  copyFileSync(join(root, 'index.d.ts'), join(to, 'index.d.ts'))
  const { scripts: _scripts, devDependencies: _development, napi: _napi, ...manifest } = own
  manifest.optionalDependencies = { [ADDON_PACKAGE]: own.version }
  writeFileSync(join(to, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await main(async () => {
    for (const { name, tarball } of await packAll()) {
      process.stdout.write(`${name}: ${(statSync(tarball).size / 1e6).toFixed(1)} MB packed, ${tarball}\n`)
    }
  })
}
