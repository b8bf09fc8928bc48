// The package of libtorch for the CPU: its libraries without what only a debugger reads, the stubs, and the licences.
import { copyFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { VERSION } from '../../libtorch.mjs'
import { must, Stop } from '../run.mjs'
import { makeStubs } from './stubs.mjs'

export const LIBTORCH_PACKAGE = '@quarterturn/libtorch-linux-x64-gnu'

const LIBRARIES = ['libtorch_cpu.so', 'libc10.so', 'libgomp.so.1']

const README = `# ${LIBTORCH_PACKAGE}

The CPU libraries of [PyTorch](https://pytorch.org) ${VERSION} for Linux x64 with glibc, as its wheel for CUDA 13 has them, stripped of symbols for debuggers.
\`quarterturn\` depends on this package; it has no code of its own.

- \`libtorch_cpu.so\`, \`libc10.so\`: PyTorch and what is built into it; see \`licenses/torch-LICENSE\` and \`licenses/torch-NOTICE\`.
- \`libgomp.so.1\`: the OpenMP library of GCC, GPL-3.0 with the GCC Runtime Library Exception.
- \`libcudart.so.13\`, \`libcupti.so.13\`: stand-ins of our own that report that there is no CUDA device. Nothing of NVIDIA is in this package.
`

/** Fills `folder` from the libtorch at `libtorch`. */
export async function packLibtorch(libtorch, folder) {
  const lib = join(folder, 'lib')
  mkdirSync(lib, { recursive: true })
  for (const name of LIBRARIES) {
    await must('strip', ['--strip-unneeded', '-o', join(lib, name), join(libtorch, 'lib', name)])
  }
  await makeStubs(
    ['libtorch_cpu.so', 'libc10.so'].map((name) => join(libtorch, 'lib', name)),
    lib,
  )
  copyLicences(join(libtorch, 'licenses'), join(folder, 'licenses'))
  writeFileSync(join(folder, 'build-version'), `${VERSION}\n`)
  writeFileSync(join(folder, 'README.md'), README)
  const manifest = {
    name: LIBTORCH_PACKAGE,
    version: VERSION,
    description: `The CPU libraries of PyTorch ${VERSION}, for quarterturn`,
    license: 'SEE LICENSE IN licenses',
    os: ['linux'],
    cpu: ['x64'],
    libc: ['glibc'],
    preferUnplugged: true,
    files: ['lib', 'licenses', 'build-version'],
  }
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
}

function copyLicences(from, to) {
  if (!existsSync(join(from, 'torch-LICENSE')))
    throw new Stop(`there are no licences in ${from}. Unset LIBTORCH to pack the libtorch that is fetched.`)
  mkdirSync(to, { recursive: true })
  for (const name of readdirSync(from).filter((each) => each.startsWith('torch-'))) {
    copyFileSync(join(from, name), join(to, name))
  }
}
