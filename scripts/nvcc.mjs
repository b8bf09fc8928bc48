// Finds nvcc 13.0, or fetches it from its wheels into the cache folder: it compiles our CUDA kernels, and needs no device and no driver.
// As a program it prints the path of nvcc on stdout. Uses nothing but Node and Python's pip.
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { main, Stop, say } from './lib/run.mjs'
import { fetchWheels, python, removeLeftovers } from './lib/wheels.mjs'
import { cacheFolder } from './libtorch.mjs'

/** The release of CUDA that libtorch 2.11.0 was built with. */
export const NVCC_VERSION = '13.0.88'

/** nvcc with ptxas, the compiler proper, and the headers that it reads. */
const WHEELS = [
  {
    requirement: 'nvidia-cuda-nvcc==13.0.88',
    file: 'nvidia_cuda_nvcc-13.0.88-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
    sha256: '56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03',
    bytes: 37_384_532,
  },
  {
    requirement: 'nvidia-nvvm==13.0.88',
    file: 'nvidia_nvvm-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl',
    sha256: 'c5f41ffeb6466944a026dfa5317d7d85355c119bbec279205d22f1869d1054e0',
    bytes: 61_601_415,
  },
  {
    requirement: 'nvidia-cuda-crt==13.0.88',
    file: 'nvidia_cuda_crt-13.0.88-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
    sha256: '2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4',
    bytes: 134_086,
  },
  {
    requirement: 'nvidia-cuda-runtime==13.0.96',
    file: 'nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
    sha256: '7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548',
    bytes: 2_243_632,
  },
]

const UNPACKED_BYTES = 260_000_000

/** Merges the wheels into one tree, as a toolkit has it: bin, include, lib, nvvm. Arguments: target folder, wheels. */
const UNPACK = `
import os, shutil, sys, zipfile
target, wheels = sys.argv[1], sys.argv[2:]
for wheel in wheels:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            name = member.filename
            if member.is_dir() or not name.startswith('nvidia/cu13/') or '..' in name: continue
            path = os.path.join(target, name[len('nvidia/cu13/'):])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with archive.open(member) as source, open(path, 'wb') as sink: shutil.copyfileobj(source, sink, 1 << 20)
            if '/bin/' in name: os.chmod(path, 0o755)
`

// A machine without a network learns so in seconds: the kernels can be done without.
const PIP = ['--retries', '1', '--timeout', '15', '--python-version', '3.11']
const PLATFORM = ['manylinux_2_17', 'manylinux_2_12', 'manylinux2014', 'manylinux2010'].flatMap((tag) => [
  '--platform',
  `${tag}_x86_64`,
])
const TOLD = { what: 'nvcc', without: 'Everything but our own CUDA kernels is built without it.' }

/** The path of nvcc, fetched now if need be. Throws a `Stop` where it cannot be had. */
export async function ensureNvcc() {
  const folder = join(cacheFolder(), `nvcc-${NVCC_VERSION}`)
  if (!existsSync(join(folder, '.complete'))) await fetchNvcc(folder)
  return join(folder, 'bin', 'nvcc')
}

async function fetchNvcc(target) {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Stop(`nvcc can be fetched for Linux x64 only, and this is ${process.platform}-${process.arch}`)
  const cache = cacheFolder()
  mkdirSync(cache, { recursive: true })
  removeLeftovers(cache)
  say(`nvcc ${NVCC_VERSION} is not in ${cache}: fetching it (100 MB to download, 260 MB kept)`)
  const options = { pipOptions: [...PIP, ...PLATFORM], spare: UNPACKED_BYTES, ...TOLD }
  const wheels = await fetchWheels(WHEELS, join(cache, 'downloads'), options)
  const partial = join(cache, `nvcc-${NVCC_VERSION}.partial-${process.pid}`)
  try {
    python(['-c', UNPACK, partial, ...wheels], {}, TOLD)
    writeFileSync(join(partial, '.complete'), '')
    if (existsSync(target) && !existsSync(join(target, '.complete'))) rmSync(target, { recursive: true })
    if (!existsSync(target)) renameSync(partial, target)
  } finally {
    rmSync(partial, { recursive: true, force: true })
  }
  for (const wheel of wheels) rmSync(wheel, { force: true })
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await main(async () => {
    process.stdout.write(`${await ensureNvcc()}\n`)
  })
}
