// The package of the addon, the loader and the CUDA kernels for this platform.
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { VERSION } from '../../libtorch.mjs'
import { fatbin } from '../fatbin.mjs'
import { must, root, Stop } from '../run.mjs'
import { addon, loader } from '../steps.mjs'
import { LIBTORCH_PACKAGE } from './libtorch.mjs'
import { textOf } from './text-of.mjs'

export const ADDON_PACKAGE = '@quarterturn/linux-x64-gnu'

/** The last of the two places in which an installed addon looks for libtorch (crates/node/build.rs). */
const LAST_PLACE = `$ORIGIN/node_modules/${LIBTORCH_PACKAGE}/lib`

/** Fills `folder`. */
export async function packAddon({ version, license, engines }, folder) {
  mkdirSync(folder, { recursive: true })
  for (const file of [addon, loader]) {
    const path = join(folder, basename(file))
    await must('strip', ['--strip-all', '-o', path, join(root, file)])
    if (file === addon) cutPlaces(path, join(root, file))
  }
  // Absent where nvcc could not be had; the addon then leaves CUDA to libtorch.
  if (existsSync(join(root, fatbin))) copyFileSync(join(root, fatbin), join(folder, basename(fatbin)))
  for (const file of ['LICENSE-APACHE', 'LICENSE-MIT']) copyFileSync(join(root, file), join(folder, file))
  writeFileSync(
    join(folder, 'README.md'),
    `# ${ADDON_PACKAGE}\n\nThe native part of [quarterturn](https://www.npmjs.com/package/quarterturn) for Linux x64 with glibc. Install \`quarterturn\`, which depends on it.\n`,
  )
  const manifest = {
    name: ADDON_PACKAGE,
    version,
    description: 'The native part of quarterturn for Linux x64 with glibc',
    license,
    main: basename(addon),
    files: ['*.node', '*.fatbin'],
    os: ['linux'],
    cpu: ['x64'],
    libc: ['glibc'],
    engines,
    // The loader refuses an older one with a message, where the dynamic linker would with a riddle.
    config: { glibc: newestGlibc([addon, loader].map((file) => join(folder, basename(file)))) },
    preferUnplugged: true,
    dependencies: { [LIBTORCH_PACKAGE]: VERSION },
  }
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
}

/** Cuts off what follows the places of a package in the addon's search path: the folder of libtorch on this machine. */
function cutPlaces(path, original) {
  const bytes = readFileSync(path)
  const start = bytes.indexOf(LAST_PLACE)
  const end = start < 0 ? -1 : bytes.indexOf(0, start)
  if (end < 0) throw new Stop(`${original} does not look for libtorch beside itself. Build it again: npm run build`)
  bytes.fill(0, start + LAST_PLACE.length, end)
  writeFileSync(path, bytes)
}

/** The newest version of glibc that the files refer to: what they need. */
function newestGlibc(files) {
  const found = files.flatMap((file) => [...textOf('objdump', ['-T', file]).matchAll(/GLIBC_(\d+)\.(\d+)/g)])
  const minors = found.filter(([, major]) => major === '2').map(([, , minor]) => Number(minor))
  return `2.${Math.max(28, ...minors)}`
}
