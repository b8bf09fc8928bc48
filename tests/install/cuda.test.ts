// quarterturn cuda install, with a pip that stands in: what is fetched, where it lies, what is left after a failure, and going on from there.
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { run } from '../../src/cli/run.js'

let folder: string
let cache: string

/** A pip of three wheels, one of which is no library; `$FAKE/fail` makes downloads fail, `$FAKE/spoil` spoils them, `$FAKE/log` lists them. */
const FAKE = `
import hashlib, json, os, sys, zipfile
fake = os.path.dirname(os.path.abspath(__file__))
def wheel(name, path, member):
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr(zipfile.ZipInfo(member), name)
        if name == 'torch': archive.writestr(zipfile.ZipInfo('torch/version.py'), "__version__ = '2.11.0+cu130'\\n")
        archive.writestr(zipfile.ZipInfo('torch/include/unwanted.h'), 'x')
MEMBERS = {'torch': 'torch/lib/libtorch_cuda.so', 'nvidia-cublas': 'nvidia/cu13/lib/libcublas.so.13', 'sympy': 'sympy/x.py'}
args = sys.argv[1:]
if args[0] == '-c':
    sys.argv = ['-c'] + args[2:]
    exec(args[1])
elif 'install' in args:
    report = args[args.index('--report') + 1]
    items = []
    for name, member in MEMBERS.items():
        path = os.path.join(fake, name + '-1.whl')
        wheel(name, path, member)
        digest = hashlib.sha256(open(path, 'rb').read()).hexdigest()
        items.append({'metadata': {'name': name, 'version': '1'}, 'download_info': {'url': 'https://x/' + name + '-1.whl', 'archive_info': {'hashes': {'sha256': digest}}}})
    json.dump({'install': items}, open(report, 'w'))
else:
    name = args[-1].split('==')[0]
    open(os.path.join(fake, 'log'), 'a').write(name + '\\n')
    if os.path.exists(os.path.join(fake, 'fail')) and name != 'torch': sys.exit(1)
    path = os.path.join(args[args.index('--dest') + 1], name + '-1.whl')
    wheel(name, path, MEMBERS[name])
    if os.path.exists(os.path.join(fake, 'spoil')): open(path, 'ab').write(b'x')
`

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quarterturn-cuda-'))
  cache = join(folder, 'cache', 'libtorch-2.11.0-cuda')
  writeFileSync(join(folder, 'fake.py'), FAKE)
  const python = execFileSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).trim()
  writeFileSync(join(folder, 'python'), `#!/bin/sh\nexec ${python} ${join(folder, 'fake.py')} "$@"\n`)
  chmodSync(join(folder, 'python'), 0o755)
  vi.stubEnv('PYTHON', join(folder, 'python'))
  vi.stubEnv('QUARTERTURN_CACHE', join(folder, 'cache'))
})
afterEach(() => {
  vi.unstubAllEnvs()
  rmSync(folder, { recursive: true, force: true })
})

async function install() {
  const [out, err]: [string[], string[]] = [[], []]
  const code = await run(['cuda', 'install'], {
    out: (text) => out.push(text),
    err: (text) => err.push(text),
    input: [],
    color: false,
  })
  return { code, out: out.join(''), err: err.join('') }
}
const log = () => readFileSync(join(folder, 'log'), 'utf8').trim().split('\n')

it('fetches torch and the libraries of NVIDIA, and nothing else, in the layout that libtorch_cuda needs', async () => {
  const { code, out } = await install()
  expect(code).toBe(0)
  expect(out).toContain('QUARTERTURN_CUDA=1')
  expect(log()).toEqual(['torch', 'nvidia-cublas'])
  const lib = join(cache, 'torch/lib')
  expect(existsSync(join(lib, 'libtorch_cuda.so'))).toBe(true)
  expect(existsSync(join(lib, '../../nvidia/cu13/lib/libcublas.so.13'))).toBe(true)
  expect(existsSync(join(cache, 'torch/include'))).toBe(false)
  expect(existsSync(join(cache, 'downloads'))).toBe(false)
  expect(existsSync(join(cache, '.complete'))).toBe(true)
})

it('is not complete after a failure, and then goes on without fetching again what had arrived', async () => {
  writeFileSync(join(folder, 'fail'), '')
  const failed = await install()
  expect(failed.code).toBe(1)
  expect(failed.err).toContain('goes on where it was')
  expect(existsSync(join(cache, '.complete'))).toBe(false)
  rmSync(join(folder, 'fail'))
  expect((await install()).code).toBe(0)
  expect(log()).toEqual(['torch', 'nvidia-cublas', 'nvidia-cublas'])
})

it('refuses a wheel whose checksum differs', async () => {
  writeFileSync(join(folder, 'spoil'), '')
  const { code, err } = await install()
  expect(code).toBe(1)
  expect(err).toContain('did not arrive intact')
  expect(existsSync(join(cache, 'torch'))).toBe(false)
})

it('does nothing where it is there already', async () => {
  mkdirSync(cache, { recursive: true })
  writeFileSync(join(cache, '.complete'), '')
  expect((await install()).code).toBe(0)
  expect(existsSync(join(folder, 'log'))).toBe(false)
})

it('names the folder and QUARTERTURN_CACHE where it may not write (ERR_NATIVE)', async () => {
  writeFileSync(join(folder, 'cache'), 'a file, where the folder would be')
  const { code, err } = await install()
  expect(code).toBe(1)
  expect(err).toMatch(/cannot be written.*\n.*QUARTERTURN_CACHE.*\(ERR_NATIVE\)/)
})

it('names a Python that is not there', async () => {
  vi.stubEnv('PYTHON', join(folder, 'nowhere'))
  expect(await install()).toMatchObject({ code: 1, err: expect.stringMatching(/nowhere was not found/) })
})
