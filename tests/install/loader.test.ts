// Everything that can be wrong with the native part, and what the error says about it: one typed error each, with what mends it.
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { NativeError } from 'quarterturn'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type AddonFile, findAddon } from '../../src/loader/addon.js'
import { cacheFolder } from '../../src/loader/cache.js'
import { damage } from '../../src/loader/elf.js'
import { findLibtorch } from '../../src/loader/libtorch.js'
import { checkMachine, thisMachine } from '../../src/loader/machine.js'
import { versionOf } from '../../src/loader/version.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const small = join(root, 'build/quarterturn-loader.linux-x64-gnu.node')
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quarterturn-loader-'))
  for (const name of ['LIBTORCH', 'QUARTERTURN_ADDON', 'QUARTERTURN_USE_PYTHON']) vi.stubEnv(name, '')
  vi.stubEnv('QUARTERTURN_CACHE', join(folder, 'cache'))
})
afterEach(() => {
  vi.unstubAllEnvs()
  rmSync(folder, { recursive: true, force: true })
})

/** A folder that looks like libtorch: any whole shared library under its names. */
function fakeLibtorch(at: string, { version = '2.11.0+cpu', cuda = false } = {}): string {
  mkdirSync(join(at, 'lib'), { recursive: true })
  for (const name of ['libtorch_cpu.so', 'libc10.so', ...(cuda ? ['libtorch_cuda.so'] : [])])
    copyFileSync(small, join(at, 'lib', name))
  writeFileSync(join(at, 'build-version'), `${version}\n`)
  return at
}

/** An addon package at its place in node_modules, with or without the package of libtorch. */
function installed({ libtorch = false } = {}): AddonFile {
  const scope = join(folder, 'node_modules/@quarterturn')
  const manifest = join(scope, 'linux-x64-gnu/package.json')
  mkdirSync(dirname(manifest), { recursive: true })
  writeFileSync(manifest, '{}')
  if (libtorch) {
    const at = fakeLibtorch(join(scope, 'libtorch-linux-x64-gnu'), { version: '2.11.0' })
    writeFileSync(join(at, 'package.json'), '{}')
  }
  return { path: 'addon.node', from: '@quarterturn/linux-x64-gnu', loader: undefined, manifest }
}

function refusal(body: () => unknown): NativeError {
  try {
    body()
  } catch (error) {
    expect(error).toBeInstanceOf(NativeError)
    expect((error as NativeError).code).toBe('ERR_NATIVE')
    expect((error as NativeError).message).toContain('To mend it: ')
    return error as NativeError
  }
  throw new Error('nothing was refused')
}

const cpu = { libtorch: undefined, cuda: false }

describe('the order in which libtorch is looked for', () => {
  it('is option, LIBTORCH, npm package, cache folder', () => {
    const addon = installed({ libtorch: true })
    const cached = fakeLibtorch(join(cacheFolder(), 'libtorch-2.11.0'))
    writeFileSync(join(cached, '.complete'), '')
    const [option, variable] = [fakeLibtorch(join(folder, 'option')), fakeLibtorch(join(folder, 'variable'))]
    vi.stubEnv('LIBTORCH', variable)
    expect(findLibtorch(addon, { libtorch: option, cuda: false })?.from).toBe('configureNative')
    expect(findLibtorch(addon, cpu)).toMatchObject({ from: 'LIBTORCH', library: join(variable, 'lib/libtorch_cpu.so') })
    vi.stubEnv('LIBTORCH', '')
    expect(findLibtorch(addon, cpu)?.from).toBe('@quarterturn/libtorch-linux-x64-gnu')
    rmSync(join(folder, 'node_modules/@quarterturn/libtorch-linux-x64-gnu'), { recursive: true })
    expect(findLibtorch(addon, cpu)?.from).toBe('cache folder')
  })

  it('asks Python only where that is allowed, and says when it is not', () => {
    const torch = fakeLibtorch(join(folder, 'site/torch'))
    writeFileSync(join(folder, 'python'), `#!/bin/sh\necho ${torch}\n`, { mode: 0o755 })
    vi.stubEnv('PYTHON', join(folder, 'python'))
    expect(refusal(() => findLibtorch(installed(), cpu)).message).toContain('QUARTERTURN_USE_PYTHON=1 allows it')
    vi.stubEnv('QUARTERTURN_USE_PYTHON', '1')
    expect(findLibtorch(installed(), cpu)?.from).toBe("Python's torch")
  })

  it('leaves an addon of the repository to the libtorch that it was built with', () => {
    expect(findLibtorch({ ...installed(), manifest: undefined }, cpu)).toBeUndefined()
  })
})

describe('libtorch', () => {
  it('that is nowhere: every place that was tried is listed', () => {
    const { message } = refusal(() => findLibtorch(installed(), cpu))
    expect(message).toContain('libtorch 2.11.0 was not found')
    for (const place of ['LIBTORCH: not set', '@quarterturn/libtorch-linux-x64-gnu: not installed', 'cache folder: '])
      expect(message).toContain(place)
    expect(message).toContain('npm install quarterturn --include=optional')
  })

  it('of another version is refused where it was named, before it is opened', () => {
    vi.stubEnv('LIBTORCH', fakeLibtorch(join(folder, 'old'), { version: '2.9.1+cpu' }))
    const error = refusal(() => findLibtorch(installed({ libtorch: true }), cpu))
    expect(error).toMatchObject({ expected: 'libtorch 2.11.0', got: '2.9.1' })
    expect(error.message).toContain('unset LIBTORCH')
  })

  it('that LIBTORCH names and that is not there is refused, not ignored', () => {
    vi.stubEnv('LIBTORCH', join(folder, 'nowhere'))
    expect(refusal(() => findLibtorch(installed({ libtorch: true }), cpu)).message).toContain('no libtorch_cpu.so in')
  })

  it('that was cut short is refused before it is opened', () => {
    const torch = fakeLibtorch(join(folder, 'cut'))
    truncateSync(join(torch, 'lib/libtorch_cpu.so'), 100_000)
    vi.stubEnv('LIBTORCH', torch)
    expect(refusal(() => findLibtorch(installed(), cpu)).message).toMatch(
      /libtorch_cpu\.so is damaged: it is cut short/,
    )
  })

  it('that is no library at all is refused', () => {
    const torch = fakeLibtorch(join(folder, 'text'))
    writeFileSync(join(torch, 'lib/libc10.so'), '<html>404 Not Found</html>'.padEnd(200))
    vi.stubEnv('LIBTORCH', torch)
    expect(refusal(() => findLibtorch(installed(), cpu)).message).toContain('it is not a 64-bit ELF file')
  })

  it('half fetched into the cache is not used, and is named', () => {
    fakeLibtorch(join(cacheFolder(), 'libtorch-2.11.0'))
    expect(refusal(() => findLibtorch(installed(), cpu)).message).toMatch(
      /libtorch-2\.11\.0 was not completely fetched/,
    )
  })
})

describe('CUDA', () => {
  it('asked for and absent: what was tried, and how it is fetched', () => {
    vi.stubEnv('LIBTORCH', '')
    const { message } = refusal(() => findLibtorch(installed({ libtorch: true }), { libtorch: undefined, cuda: true }))
    expect(message).toContain('CUDA was asked for')
    expect(message).toContain('npx quarterturn cuda install')
    expect(message).toContain('unset QUARTERTURN_CUDA')
  })

  it('asked for, with a LIBTORCH for the CPU: that one is named', () => {
    vi.stubEnv('LIBTORCH', fakeLibtorch(join(folder, 'cpu')))
    const { message } = refusal(() => findLibtorch(installed(), { libtorch: undefined, cuda: true }))
    expect(message).toContain('no libtorch_cuda.so in')
  })

  it('from the cache folder is opened by libtorch_cuda, which brings the others', () => {
    const cached = join(cacheFolder(), 'libtorch-2.11.0-cuda')
    fakeLibtorch(join(cached, 'torch'), { cuda: true })
    expect(refusal(() => findLibtorch(installed(), { libtorch: undefined, cuda: true })).message).toContain(
      'was not completely fetched',
    )
    writeFileSync(join(cached, '.complete'), '')
    const found = findLibtorch(installed(), { libtorch: undefined, cuda: true })
    expect(found?.library).toBe(join(cached, 'torch/lib/libtorch_cuda.so'))
  })
})

describe('the machine', () => {
  it('of another platform is refused by name', () => {
    const { message } = refusal(() => checkMachine({ platform: 'freebsd', arch: 'x64', glibc: undefined }))
    expect(message).toContain('no native build for freebsd-x64')
    expect(message).toContain('quarterturn/js')
  })

  it('with musl is refused', () => {
    const { message } = refusal(() => checkMachine({ platform: 'linux', arch: 'x64', glibc: undefined }))
    expect(message).toContain('musl')
  })

  it('with a glibc older than the addon needs is refused, with both versions', () => {
    const error = refusal(() => checkMachine({ platform: 'linux', arch: 'x64', glibc: '2.31' }, '2.34'))
    expect(error).toMatchObject({ expected: 'glibc 2.34 or newer', got: 'glibc 2.31' })
    expect(() => checkMachine({ platform: 'linux', arch: 'x64', glibc: '2.34' }, '2.34')).not.toThrow()
  })

  it('is the one that runs this', () => {
    expect(thisMachine()).toMatchObject({ platform: process.platform, glibc: expect.stringMatching(/^2\.\d+$/) })
  })
})

describe('the addon', () => {
  const machine = { platform: 'linux', arch: 'x64', glibc: '2.36' }

  it('that is not installed: the package, from where it was looked for, and the command', () => {
    const { message } = refusal(() => findAddon(folder, join(folder, 'index.js'), machine))
    expect(message).toContain('@quarterturn/linux-x64-gnu is not installed')
    expect(message).toContain('--include=optional')
  })

  it('whose package has lost its file', () => {
    installed()
    expect(refusal(() => findAddon(folder, join(folder, 'index.js'), machine)).message).toContain('is incomplete')
  })

  it('that needs a newer glibc than this machine has is refused before it is opened', () => {
    const { manifest } = installed()
    writeFileSync(manifest as string, JSON.stringify({ config: { glibc: '2.99' } }))
    writeFileSync(join(dirname(manifest as string), 'quarterturn.linux-x64-gnu.node'), '')
    const error = refusal(() => findAddon(folder, join(folder, 'index.js'), machine))
    expect(error.expected).toBe('glibc 2.99 or newer')
  })
})

describe('in a process of its own', () => {
  const program = `import { configureNative, tensor } from 'quarterturn'
    try { await tensor([1]).item() } catch (error) { console.log(error.code, error.message) }`
  const start = (env: Record<string, string>, code = program) =>
    spawnSync(process.execPath, ['--input-type=module', '-e', code], {
      cwd: root,
      encoding: 'utf8',
      env: { PATH: '/nowhere', HOME: folder, ...env },
    })

  it('a library that the dynamic linker refuses is an error with its words, not the end of the process', () => {
    const torch = fakeLibtorch(join(folder, 'wrong'))
    const library = readFileSync(small)
    library.fill(0xff, 0x12, 0x14) // another processor
    writeFileSync(join(torch, 'lib/libtorch_cpu.so'), library)
    const { status, stdout } = start({ LIBTORCH: torch })
    expect(status).toBe(0)
    expect(stdout).toMatch(/^ERR_NATIVE quarterturn: .*libtorch_cpu\.so cannot be opened: /)
    expect(stdout).toContain('To mend it: ')
  })

  it('CUDA that is absent is an error, and the process goes on', () => {
    const { status, stdout } = start({ QUARTERTURN_CUDA: '1' })
    expect(status).toBe(0)
    expect(stdout).toMatch(/^ERR_NATIVE quarterturn: CUDA was asked for/)
  })

  it('configureNative comes too late once something is loaded, and takes nothing but folders', () => {
    const { stdout } = start(
      {},
      `import { configureNative, tensor } from 'quarterturn'
      try { configureNative({ libtorch: 3 }) } catch (error) { console.log(error.code) }
      await tensor([1]).item()
      try { configureNative({ cuda: true }) } catch (error) { console.log(error.code) }`,
    )
    expect(stdout).toBe('ERR_ARGUMENT\nERR_NATIVE\n')
  })
})

it('a whole library has no damage, and the version is read from any of the files that say it', () => {
  expect(damage(small)).toBeUndefined()
  mkdirSync(join(folder, 'torch'))
  writeFileSync(join(folder, 'torch/version.py'), "__version__ = '2.11.0+cu130'\n")
  expect(versionOf(join(folder, 'torch'))).toBe('2.11.0')
  expect(versionOf(folder)).toBeUndefined()
})
