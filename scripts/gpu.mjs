// scripts/gpu: one self-extracting file with addon, Node, the TypeScript build, tests, benches and the packages that the tests need.
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fatbin, resources } from './lib/fatbin.mjs'
import { main, must, root, run, Stop, say } from './lib/run.mjs'
import { addon, buildAll, loader } from './lib/steps.mjs'

const LIMIT_BYTES = 60e6
const HEADER_BYTES = 4096
const folder = join(root, 'build', 'gpu')
const file = join(folder, 'quarterturn-gpu.run')

/** Parts of the repository; folders as a whole. */
const PARTS = [
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'index.d.ts',
  'README.md',
  'docs',
  '.config',
  'scripts',
  'src',
  'tests',
  'dist',
  'bench',
  'examples',
  'build/ts',
  'build/index.d.ts',
]
/** Packages that tests and examples import, or run by. */
const PACKAGES = ['vitest', 'fast-check', 'cmu-pronouncing-dictionary', 'typescript']

await main(async () => {
  const built = process.argv[2] === '--built' // packs what is there, whether or not it is the newest
  const [where, ...args] = process.argv.slice(built ? 3 : 2)
  if (!built) await buildAll()
  await pack()
  if (where === undefined) return 0
  if (where === 'local') return await run('sh', [file, ...args])
  await must('scp', ['-q', file, `${where}:quarterturn-gpu.run`])
  return await run('ssh', [where, ['sh', 'quarterturn-gpu.run', ...args.map(quoted)].join(' ')])
})

async function pack() {
  const staging = join(folder, 'staging')
  rmSync(folder, { recursive: true, force: true })
  for (const part of PARTS) if (existsSync(join(root, part))) copy(part, staging)
  for (const part of packageFolders(PACKAGES)) copy(part, staging)
  for (const file of [fatbin, resources]) if (existsSync(join(root, file))) copy(file, staging)
  for (const file of [addon, loader]) copyStripped(join(root, file), join(staging, file))
  copyStripped(process.execPath, join(staging, 'bin', 'node'))
  writeFileSync(join(staging, 'commit'), commit())

  const archive = join(folder, 'payload.tar.xz')
  const program =
    'import sys, tarfile\nwith tarfile.open(sys.argv[2], "w:xz", preset=3) as tar: tar.add(sys.argv[1], ".")'
  await must(process.env.PYTHON || 'python3', ['-c', program, staging, archive])
  writeFileSync(file, Buffer.concat([header(), readFileSync(archive)]))
  chmodSync(file, 0o755)
  rmSync(staging, { recursive: true })
  rmSync(archive)
  const { size } = statSync(file)
  say(`${file}: ${(size / 1e6).toFixed(1)} MB`)
  if (size > LIMIT_BYTES)
    throw new Stop(`the pack is larger than ${LIMIT_BYTES / 1e6} MB: something that does not belong is in it`)
}

function copy(part, staging) {
  cpSync(join(root, part), join(staging, part), {
    recursive: true,
    filter: (source) => !source.endsWith('.tsbuildinfo'),
  })
}

/** The folders of packages and of all that they depend on, as far as it is installed (package-lock.json says how). */
function packageFolders(names) {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  const found = new Set()
  const add = (name, from) => {
    // Node's own rule: the nearest node_modules upwards.
    for (let base = from; ; base = base.slice(0, Math.max(0, base.lastIndexOf('node_modules')))) {
      const path = `${base}${base === '' || base.endsWith('/') ? '' : '/'}node_modules/${name}`
      if (packages[path] !== undefined) {
        if (found.has(path) || !existsSync(join(root, path))) return
        found.add(path)
        const { dependencies, optionalDependencies, peerDependencies } = packages[path]
        for (const next of Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies }))
          add(next, path)
        return
      }
      if (base === '') return
    }
  }
  for (const name of names) add(name, '')
  // A package within another's folder is copied with it.
  return [...found].filter((path) => ![...found].some((other) => path.startsWith(`${other}/`)))
}

function copyStripped(from, to) {
  mkdirSync(dirname(to), { recursive: true })
  copyFileSync(from, to)
  chmodSync(to, 0o755)
  // Without binutils the file is only larger.
  spawnSync('strip', ['--strip-unneeded', to])
}

function commit() {
  const { stdout } = spawnSync('git', ['rev-parse', '--short=10', 'HEAD'], { cwd: root, encoding: 'utf8' })
  return stdout?.trim() || 'unknown'
}

function quoted(word) {
  return `'${word.replaceAll("'", `'\\''`)}'`
}

/** The shell script at the start of the file: checks Python's torch, unpacks what follows it, runs, and removes it again. */
function header() {
  const script = `#!/bin/sh
# Quarterturn for a machine with PyTorch 2.11: sh quarterturn-gpu.run [test [vitest arguments] | bench PATTERN [options] | cuda [--quick]]
python=\${PYTHON:-python3}
torch=$("$python" -c 'import os, torch; assert torch.__version__.split("+")[0] == "2.11.0", f"torch is {torch.__version__}"; print(int(torch.cuda.is_available()), os.path.dirname(torch.__file__))') ||
  { echo "PyTorch 2.11.0 is needed: set PYTHON to the Python that has it" >&2; exit 1; }
LIBTORCH=\${torch#* }
QUARTERTURN_CUDA=\${torch%% *}
[ "$QUARTERTURN_CUDA" = 1 ] || echo "no CUDA device: its tests are skipped" >&2
folder=$(mktemp -d "\${TMPDIR:-/tmp}/quarterturn-gpu.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
"$python" -c 'import sys, tarfile
with open(sys.argv[1], "rb") as f:
    f.seek(${HEADER_BYTES})
    with tarfile.open(fileobj=f, mode="r|xz") as tar: tar.extractall(sys.argv[2])' "$0" "$folder" || exit 1
LD_LIBRARY_PATH="$LIBTORCH/lib\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
QUARTERTURN_PYTHON=$(command -v "$python")
QUARTERTURN_COMMIT=$(cat "$folder/commit")
export LIBTORCH QUARTERTURN_CUDA LD_LIBRARY_PATH QUARTERTURN_PYTHON QUARTERTURN_COMMIT
PATH="$folder/bin:$PATH"
cd "$folder" || exit 1
what=\${1:-test}
[ $# -eq 0 ] || shift
case $what in
  test) node scripts/test.mjs --built --exclude 'tests/install/**' "$@" ;;
  bench) node --enable-source-maps build/ts/bench/main.js "$@" ;;
  cuda) sh scripts/gpu-cuda.sh "$python" "$@" ;;
  *) echo "test, bench or cuda, not $what" >&2; exit 1 ;;
esac
exit $?
`
  if (Buffer.byteLength(script) > HEADER_BYTES) throw new Stop('the header of the pack is too long')
  return Buffer.from(script.padEnd(HEADER_BYTES - (Buffer.byteLength(script) - script.length), '#'))
}
