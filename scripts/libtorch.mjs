// Finds libtorch 2.11.0 (libraries and headers), or fetches it: `LIBTORCH`, then the cache folder, then the wheels of PyTorch.
// As a program it prints the folder on stdout. Uses nothing but Node and Python's pip.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { main, Stop, say } from './lib/run.mjs'
import { fetchWheels, python, removeLeftovers } from './lib/wheels.mjs'

export const VERSION = '2.11.0'

/** The wheels that hold what we need. The two of CUDA are there because libtorch_cpu of this build refers to two of their libraries. */
const WHEELS = [
  {
    requirement: 'torch==2.11.0',
    file: 'torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl',
    sha256: '7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a',
    bytes: 530_604_548,
  },
  {
    requirement: 'nvidia-cuda-runtime==13.0.96',
    file: 'nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
    sha256: '7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548',
    bytes: 2_243_632,
  },
  {
    requirement: 'nvidia-cuda-cupti==13.0.85',
    file: 'nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl',
    sha256: '4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8',
    bytes: 10_715_597,
  },
]

/** Which interpreter and platform the wheels are chosen for, whatever Python runs pip. */
const PLATFORM = [
  ...['--python-version', '3.11', '--implementation', 'cp', '--abi', 'cp311', '--abi', 'none'],
  ...['manylinux_2_28', 'manylinux_2_25', 'manylinux_2_17', 'manylinux2014'].flatMap((tag) => [
    '--platform',
    `${tag}_x86_64`,
  ]),
]

const UNPACKED_BYTES = 530_000_000

/** Copies the members that are kept out of the wheels. Arguments: target folder, wheels. */
const UNPACK = `
import os, shutil, sys, zipfile
target, wheels = sys.argv[1], sys.argv[2:]
libraries = {'libc10.so', 'libgomp.so.1', 'libtorch.so', 'libtorch_cpu.so', 'libtorch_global_deps.so', 'libcudart.so.13', 'libcupti.so.13'}
def place(name):
    folder, _, base = name.rpartition('/')
    if name.startswith('torch/include/'): return name[len('torch/'):]
    if base in libraries and folder.endswith('lib'): return 'lib/' + base
    if name == 'torch/version.py': return 'version.py'
    if '.dist-info/' in name and base.lower() in ('license', 'license.txt', 'notice'):
        return 'licenses/' + name.split('-', 1)[0] + '-' + base
for wheel in wheels:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            path = None if member.is_dir() else place(member.filename)
            if path is None: continue
            path = os.path.join(target, path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with archive.open(member) as source, open(path, 'wb') as sink: shutil.copyfileobj(source, sink, 1 << 20)
            if path.endswith('.so') or '.so.' in path: os.chmod(path, 0o755)
open(os.path.join(target, 'build-version'), 'w').write('${VERSION}\\n')
`

/** The folder that keeps what is fetched once for all checkouts. */
export function cacheFolder() {
  const { QUARTERTURN_CACHE: own, XDG_CACHE_HOME: xdg } = process.env
  return own || join(xdg || join(homedir(), '.cache'), 'quarterturn')
}

/** The folder of libtorch, or undefined if it has to be fetched. */
export function findLibtorch() {
  const given = process.env.LIBTORCH
  if (given) {
    checkFolder(given)
    return given
  }
  const cached = join(cacheFolder(), `libtorch-${VERSION}`)
  return existsSync(join(cached, '.complete')) ? cached : undefined
}

/** The folder of libtorch, fetched now if need be. */
export async function ensureLibtorch() {
  return findLibtorch() ?? (await fetchLibtorch())
}

/** What a build needs to be told about libtorch. */
export function libtorchEnv(folder) {
  const path = [join(folder, 'lib'), process.env.LD_LIBRARY_PATH].filter(Boolean).join(':')
  return { LIBTORCH: folder, LD_LIBRARY_PATH: path }
}

function checkFolder(folder) {
  for (const file of ['lib/libtorch_cpu.so', 'lib/libc10.so', 'include/torch/csrc/api/include/torch/torch.h']) {
    if (!existsSync(join(folder, file)))
      throw new Stop(
        `LIBTORCH is ${folder}, but there is no ${file} in it. Unset LIBTORCH to have libtorch ${VERSION} fetched.`,
      )
  }
  const header = join(folder, 'include/torch/headeronly/version.h')
  const text = existsSync(header) ? readFileSync(header, 'utf8') : ''
  const found = ['MAJOR', 'MINOR', 'PATCH']
    .map((part) => new RegExp(`TORCH_VERSION_${part} (\\d+)`).exec(text)?.[1] ?? '?')
    .join('.')
  if (found !== VERSION)
    throw new Stop(`LIBTORCH is ${folder}, which is version ${found}; ${VERSION} is needed, exactly.`)
}

async function fetchLibtorch() {
  checkPlatform()
  const cache = cacheFolder()
  const target = join(cache, `libtorch-${VERSION}`)
  mkdirSync(cache, { recursive: true })
  removeLeftovers(cache)

  say(`libtorch ${VERSION} is not in ${cache}: fetching it (550 MB to download, 500 MB kept)`)
  const wheels = await fetchWheels(WHEELS, join(cache, 'downloads'), { pipOptions: PLATFORM, spare: UNPACKED_BYTES })
  const partial = join(cache, `libtorch-${VERSION}.partial-${process.pid}`)
  say(`unpacking into ${target}`)
  try {
    python(['-c', UNPACK, partial, ...wheels])
    writeFileSync(join(partial, '.complete'), '')
    if (existsSync(target) && !existsSync(join(target, '.complete'))) rmSync(target, { recursive: true })
    if (!existsSync(target)) renameSync(partial, target)
  } finally {
    rmSync(partial, { recursive: true, force: true })
  }
  for (const wheel of wheels) rmSync(wheel, { force: true })
  return target
}

function checkPlatform() {
  const glibc = process.report.getReport().header.glibcVersionRuntime
  if (process.platform === 'linux' && process.arch === 'x64' && glibc !== undefined && !olderThan(glibc, '2.28')) return
  const here = `${process.platform}-${process.arch}${process.platform === 'linux' ? `, ${glibc === undefined ? 'no glibc' : `glibc ${glibc}`}` : ''}`
  throw new Stop(
    `libtorch can be fetched for Linux x64 with glibc 2.28 or newer only, and this is ${here}.\nSet LIBTORCH to a folder that holds libtorch ${VERSION} (lib/ and include/).`,
  )
}

function olderThan(version, least) {
  const [major, minor] = version.split('.').map(Number)
  const [leastMajor, leastMinor] = least.split('.').map(Number)
  return major < leastMajor || (major === leastMajor && minor < leastMinor)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await main(async () => {
    process.stdout.write(`${await ensureLibtorch()}\n`)
  })
}
