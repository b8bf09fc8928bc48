// The CUDA kernels (crates/kernels/cuda/*.cu) as one compressed fat binary beside the addon, and what each kernel takes of the device.
// nvcc needs no device. Where it cannot be fetched, the build goes on without: CUDA tensors are then computed by libtorch's operations.
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { ensureNvcc, NVCC_VERSION } from '../nvcc.mjs'
import { root, run, Stop, say } from './run.mjs'
import { fingerprint, step } from './stamp.mjs'

/** Beside the addon and named like it: the addon looks for it there. */
export const fatbin = `build/quarterturn.${process.platform}-${process.arch}-gnu.fatbin`

/** What each kernel takes, on each target: `{ kernel, target, registers, shared, stack, spills }[]`; bytes, and bytes at most spilled. */
export const resources = 'build/cuda/resources.json'

const SOURCES = 'crates/kernels/cuda'
const UNIT = 'build/cuda/kernels.cu'

/** Machine code for Ampere and Hopper, and PTX that newer drivers compile for what is newer. */
const TARGETS = [
  ['compute_80', 'sm_80'],
  ['compute_90a', 'sm_90a'],
  ['compute_90', 'compute_90'],
]
const FLAGS = [
  ...['-std=c++17', '-O3', '--threads', '2', '-fatbin', '--fatbin-options', '-compress-all', '-Xptxas', '-v'],
  ...TARGETS.flatMap(([arch, code]) => ['-gencode', `arch=${arch},code=${code}`]),
]

/** Builds the fat binary if a source has changed. */
export async function buildFatbin() {
  const files = sources(SOURCES)
  // Those in folders below are of the emulation.
  const units = files.filter((file) => dirname(file) === SOURCES && file.endsWith('.cu'))
  if (units.length === 0) return
  const print = fingerprint([...files, 'scripts/lib/fatbin.mjs'], [NVCC_VERSION])
  await step('fatbin', print, [fatbin, resources], async () => {
    // The kernels of another source would be launched with the wrong arguments.
    rmSync(join(root, fatbin), { force: true })
    rmSync(join(root, resources), { force: true })
    const nvcc = await nvccOrWord()
    if (nvcc === undefined) return
    say('compiling the CUDA kernels')
    mkdirSync(join(root, 'build/cuda'), { recursive: true })
    writeFileSync(join(root, UNIT), units.map((unit) => `#include "${basename(unit)}"\n`).join(''))
    const text = await compile(nvcc)
    const found = readResources(text)
    writeFileSync(join(root, resources), `${JSON.stringify(found, null, 1)}\n`)
    say(summary(found))
  })
}

/** The .cu files and what they include. */
function sources(folder) {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { recursive: true })
    .map((name) => `${folder}/${name}`)
    .filter((path) => /\.(cu|cuh|h)$/.test(path))
    .sort()
}

/** nvcc, or nothing and a line that says why. */
export async function nvccOrWord() {
  try {
    return await ensureNvcc()
  } catch (error) {
    if (!(error instanceof Stop)) throw error
    say(`CUDA kernels: left out, since nvcc cannot be had (${error.message.split('\n')[0]}); libtorch computes on CUDA`)
    return undefined
  }
}

async function compile(nvcc) {
  let text = ''
  const code = await run(nvcc, [...FLAGS, '-I', SOURCES, '-o', `${fatbin}.new`, UNIT], {
    quiet: true,
    onText: (piece) => {
      text += piece
    },
  })
  if (code !== 0) throw new Stop(`nvcc failed with exit code ${code}:\n${text.replace(/^ptxas info.*\n/gm, '')}`)
  renameSync(join(root, `${fatbin}.new`), join(root, fatbin))
  return text
}

/** Reads what ptxas says of each entry function. */
export function readResources(text) {
  const found = []
  let entry
  for (const line of text.split('\n')) {
    const [, kernel, target] = /Compiling entry function '(\w+)' for '(\w+)'/.exec(line) ?? []
    if (kernel !== undefined) {
      entry = { kernel, target, registers: 0, shared: 0, stack: 0, spills: 0 }
      found.push(entry)
    }
    if (entry === undefined) continue
    // A function that was not inlined has such a line of its own.
    const [, stack, stores, loads] =
      /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line) ?? []
    if (stack !== undefined) {
      entry.stack = Math.max(entry.stack, Number(stack))
      entry.spills = Math.max(entry.spills, Number(stores), Number(loads))
    }
    entry.registers = Number(/Used (\d+) registers/.exec(line)?.[1] ?? entry.registers)
    entry.shared = Number(/Used .*?(\d+) bytes smem/.exec(line)?.[1] ?? entry.shared)
  }
  if (found.some(({ registers }) => registers === 0)) throw new Stop('what ptxas says of the kernels cannot be read')
  return found.sort((a, b) => a.kernel.localeCompare(b.kernel) || a.target.localeCompare(b.target))
}

function summary(found) {
  const kernels = new Set(found.map(({ kernel }) => kernel)).size
  const registers = Math.max(...found.map((one) => one.registers))
  const spilling = found.filter(({ spills }) => spills > 0).length
  const size = (statSync(join(root, fatbin)).size / 1e6).toFixed(2)
  return `CUDA kernels: ${kernels} for ${TARGETS.map(([, code]) => code).join(', ')}; ${size} MB; at most ${registers} registers; ${spilling === 0 ? 'none spills' : `${spilling} spill`}`
}
