// Stands in for two libraries of NVIDIA. The CPU library of this libtorch names libcudart and libcupti for its profiler alone; with two files of
// 5 kB that say "no device" and "not initialised", nothing of NVIDIA has to be in the package.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { must } from '../run.mjs'
import { textOf } from './text-of.mjs'

const LIBRARIES = [
  // cudaErrorNoDevice
  { soname: 'libcudart.so.13', otherwise: 100 },
  // CUPTI_ERROR_NOT_INITIALIZED
  { soname: 'libcupti.so.13', otherwise: 15 },
]

/** Functions that give more than a status. */
const BODIES = {
  cudaGetDeviceCount: '(int *count) { *count = 0; return 100; }',
  cudaDriverGetVersion: '(int *version) { *version = 0; return 0; }',
  cudaRuntimeGetVersion: '(int *version) { *version = 0; return 0; }',
  cuptiGetVersion: '(unsigned *version) { *version = 0; return 0; }',
  cuptiGetResultString:
    '(int status, const char **text) { (void)status; *text = "CUPTI is not in this build"; return 0; }',
}
const TEXTS = { cudaGetErrorString: 'CUDA is not in this build' }

/** Compiles into `lib` the stubs of what the libraries in `users` refer to. */
export async function makeStubs(users, lib) {
  const wanted = users.map((user) => textOf('nm', ['-D', '--undefined-only', user])).join('\n')
  const scratch = join(lib, 'stubs')
  mkdirSync(scratch, { recursive: true })
  for (const { soname, otherwise } of LIBRARIES) {
    const pattern = new RegExp(` U (\\w+)@${soname.replaceAll('.', '\\.')}$`, 'gm')
    const names = [...new Set([...wanted.matchAll(pattern)].map(([, name]) => name))]
    const [source, versions] = [join(scratch, 'stub.c'), join(scratch, 'stub.map')]
    writeFileSync(source, names.map((name) => definition(name, otherwise)).join('\n'))
    writeFileSync(versions, `${soname} { global: *; };\n`)
    const flags = [
      '-shared',
      '-fPIC',
      '-nostdlib',
      '-Os',
      '-s',
      `-Wl,-soname,${soname}`,
      `-Wl,--version-script=${versions}`,
    ]
    await must('gcc', [...flags, '-o', join(lib, soname), source])
  }
  rmSync(scratch, { recursive: true })
}

function definition(name, otherwise) {
  if (TEXTS[name] !== undefined) return `const char *${name}(void) { return "${TEXTS[name]}"; }`
  return `int ${name}${BODIES[name] ?? `(void) { return ${otherwise}; }`}`
}
