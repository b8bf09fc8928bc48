// quarterturn cuda install: libtorch with CUDA from the wheels of PyTorch, by pip, into the cache folder. Nothing else ever fetches it.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { cachedCuda } from '../loader/cache.js'
import { failure, firstLine } from '../loader/failure.js'
import { TORCH } from '../loader/version.js'
import { type Command, Failure, type Terminal, UsageError } from './command.js'

export const cuda: Command = {
  summary: `fetch libtorch ${TORCH} with CUDA (about 3 GB) into the cache folder`,
  positionals: 'install',
  options: {},
  describe: {},
  notes: `Needs Python 3 with pip (PYTHON names another interpreter); QUARTERTURN_CACHE names another folder. What was broken off goes on where it was.
Afterwards QUARTERTURN_CUDA=1 uses it.`,

  async run(args, terminal) {
    if (args.positionals.length !== 1 || args.positionals[0] !== 'install')
      throw new UsageError('cuda: there is one thing to do: install\nTry: quarterturn cuda --help')
    const { folder, complete } = cachedCuda()
    if (complete) {
      terminal.out(`${folder} is there already. QUARTERTURN_CUDA=1 uses it\n`)
      return 0
    }
    await install(folder, terminal)
    terminal.out(`${folder}\nQUARTERTURN_CUDA=1 uses it; quarterturn doctor checks it\n`)
    return 0
  },
}

/** One wheel, as pip resolved it. */
interface Wheel {
  requirement: string
  file: string
  sha256: string
}

/** Which interpreter and platform the wheels are chosen for, whatever Python runs pip. */
const PLATFORM = [
  ...['--only-binary=:all:', '--python-version', '3.11', '--implementation', 'cp', '--abi', 'cp311', '--abi', 'none'],
  ...['--abi', 'abi3'],
  ...['manylinux_2_28', 'manylinux_2_27', 'manylinux_2_25', 'manylinux_2_17', 'manylinux2014'].flatMap((tag) => [
    '--platform',
    `${tag}_x86_64`,
  ]),
]

/** Takes the libraries out of a wheel, in the layout of pip: torch/lib/libtorch_cuda.so finds NVIDIA's at ../../nvidia. */
const UNPACK = `
import os, shutil, sys, zipfile
target, wheel = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for member in archive.infolist():
        name = member.filename
        library = '/lib/' in name and ('.so' in name) and name.startswith(('torch/', 'nvidia/'))
        if member.is_dir() or not (library or name == 'torch/version.py'): continue
        path = os.path.normpath(os.path.join(target, name))
        if not path.startswith(os.path.normpath(target) + os.sep): sys.exit('a path outside the wheel: ' + name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with archive.open(member) as source, open(path, 'wb') as sink: shutil.copyfileobj(source, sink, 1 << 20)
`

async function install(folder: string, terminal: Terminal): Promise<void> {
  const downloads = join(folder, 'downloads')
  make(downloads)
  const wheels = resolve(join(downloads, 'wheels.json'), terminal)
  for (const [i, wheel] of wheels.entries()) {
    const done = join(downloads, `${wheel.file}.unpacked`)
    if (existsSync(done)) continue // a wheel is gone once it is unpacked: half the disk
    const path = await fetchWheel(wheel, downloads, `${i + 1} of ${wheels.length}`, terminal)
    python(['-c', UNPACK, folder, path], 'could not be unpacked')
    writeFileSync(done, '')
    rmSync(path)
  }
  if (!existsSync(join(folder, 'torch/lib/libtorch_cuda.so')))
    throw new Failure(`pip gave a torch without CUDA: there is no libtorch_cuda.so in ${join(folder, 'torch/lib')}`)
  writeFileSync(join(folder, '.complete'), '')
  rmSync(downloads, { recursive: true })
}

function make(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'test'), '')
    rmSync(join(folder, 'test'))
  } catch (cause) {
    throw failure(`${folder} cannot be written: ${firstLine(cause)}`, {
      cause,
      got: folder,
      remedy: 'set QUARTERTURN_CACHE to a folder that can be written, now and when it is used',
    })
  }
}

/** The wheels of torch and of the libraries of NVIDIA that it needs, with their checksums: asked for once, then read from the file. */
function resolve(file: string, terminal: Terminal): Wheel[] {
  if (!existsSync(file)) {
    terminal.err(`asking pip what torch ${TORCH} needs\n`)
    const report = `${file}.report`
    const target = ['--target', join(file, '..', 'none')]
    pip(['install', '--dry-run', '--ignore-installed', '--report', report, ...target, ...PLATFORM, `torch==${TORCH}`])
    const { install } = JSON.parse(readFileSync(report, 'utf8')) as { install: Resolved[] }
    const wanted = install.filter(({ metadata: { name } }) => /^(torch$|nvidia[-_])/.test(name))
    writeFileSync(`${file}.new`, JSON.stringify(wanted.map(asWheel)))
    renameSync(`${file}.new`, file)
  }
  return JSON.parse(readFileSync(file, 'utf8'))
}

interface Resolved {
  metadata: { name: string; version: string }
  download_info: { url: string; archive_info?: { hashes?: { sha256?: string } } }
}

function asWheel({ metadata, download_info: { url, archive_info } }: Resolved): Wheel {
  const sha256 = archive_info?.hashes?.sha256
  const file = decodeURIComponent(basename(new URL(url).pathname))
  if (sha256 === undefined) throw new Failure(`pip gives no checksum for ${file}: its index is not usable for this`)
  return { requirement: `${metadata.name}==${metadata.version}`, file, sha256 }
}

async function fetchWheel({ requirement, file, sha256 }: Wheel, folder: string, which: string, terminal: Terminal) {
  const path = join(folder, file)
  if (existsSync(path) && (await checksum(path)) === sha256) return path
  terminal.err(`downloading ${file} (${which})\n`)
  const partial = join(folder, 'partial')
  rmSync(partial, { recursive: true, force: true })
  mkdirSync(partial)
  pip(['download', '--no-deps', '--no-cache-dir', '--dest', partial, ...PLATFORM, requirement])
  const got = join(partial, readdirSync(partial)[0] ?? file)
  if (!existsSync(got) || (await checksum(got)) !== sha256)
    throw new Failure(`${file} did not arrive intact: its checksum differs. Run this again`)
  renameSync(got, path)
  return path
}

async function checksum(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  return hash.digest('hex')
}

function pip(args: string[]): void {
  python(['-m', 'pip', '--disable-pip-version-check', ...args], 'failed')
}

/** Runs Python; what it prints goes to stderr, so that a download's progress is seen. */
function python(args: string[], what: string): void {
  const name = process.env.PYTHON || 'python3'
  const { status, error } = spawnSync(name, args, { stdio: ['ignore', 2, 2] })
  const remedy = 'Run this again when the cause is mended: it goes on where it was'
  if (error !== undefined) throw new Failure(`${name} was not found: Python 3 with pip is needed. ${remedy}`)
  if (status !== 0) throw new Failure(`${name} ${args.slice(0, 4).join(' ').split('\n')[0]} ${what}. ${remedy}`)
}
