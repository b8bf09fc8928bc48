// Fetching libtorch: what is there is used, what arrives broken is refused, and every way to fail says what mends it.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

const scripts = fileURLToPath(new URL('../../scripts', import.meta.url))
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quarterturn-libtorch-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

function node(args: string[], env: Record<string, string>) {
  const { LIBTORCH: _, ...rest } = process.env
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    env: { ...rest, QUARTERTURN_CACHE: folder, ...env },
  })
  return { status, stdout, stderr }
}

function libtorch(env: Record<string, string> = {}) {
  return node([join(scripts, 'libtorch.mjs')], env)
}

/** A program that stands in for Python. */
function fakePython(body: string): string {
  const path = join(folder, 'fake-python')
  writeFileSync(path, `#!/bin/sh\n${body}\n`)
  chmodSync(path, 0o755)
  return path
}

describe('finding', () => {
  test('a complete cache folder is used', () => {
    const cached = join(folder, 'libtorch-2.11.0')
    mkdirSync(cached)
    writeFileSync(join(cached, '.complete'), '')
    expect(libtorch()).toMatchObject({ status: 0, stdout: `${cached}\n` })
  })

  test('a cache folder without its marker is not used', () => {
    mkdirSync(join(folder, 'libtorch-2.11.0'))
    const { status, stderr } = libtorch({ PYTHON: join(folder, 'no-such-python') })
    expect(status).toBe(1)
    expect(stderr).toContain('no-such-python was not found')
  })

  test('LIBTORCH that holds no libtorch is refused, not ignored', () => {
    const { status, stderr } = libtorch({ LIBTORCH: folder })
    expect(status).toBe(1)
    expect(stderr).toContain('there is no lib/libtorch_cpu.so in it')
  })

  test('LIBTORCH of another version is refused with both versions', () => {
    for (const file of ['lib/libtorch_cpu.so', 'lib/libc10.so', 'include/torch/csrc/api/include/torch/torch.h']) {
      mkdirSync(join(folder, file, '..'), { recursive: true })
      writeFileSync(join(folder, file), '')
    }
    mkdirSync(join(folder, 'include/torch/headeronly'), { recursive: true })
    const version = ['MAJOR 2', 'MINOR 9', 'PATCH 1'].map((part) => `#define TORCH_VERSION_${part}\n`).join('')
    writeFileSync(join(folder, 'include/torch/headeronly/version.h'), version)
    const { status, stderr } = libtorch({ LIBTORCH: folder })
    expect(status).toBe(1)
    expect(stderr).toContain('version 2.9.1; 2.11.0 is needed')
  })
})

describe('failing', () => {
  test('another platform is named, before anything is downloaded', () => {
    const mac = `data:text/javascript,Object.defineProperty(process, 'platform', { value: 'darwin' })`
    const { status, stderr } = node(['--import', mac, join(scripts, 'libtorch.mjs')], {
      PYTHON: fakePython('echo called >> "$0.log"'),
    })
    expect(status).toBe(1)
    expect(stderr).toContain(`this is darwin-${process.arch}`)
    expect(existsSync(join(folder, 'fake-python.log'))).toBe(false)
  })

  test('a Python without pip is named with the remedy', () => {
    const { status, stderr } = libtorch({ PYTHON: fakePython('echo "$0: No module named pip" >&2; exit 1') })
    expect(status).toBe(1)
    expect(stderr).toContain('has no pip')
  })

  test('a disk that runs full is named, and nothing half done is left', () => {
    const { status, stderr } = libtorch({
      PYTHON: fakePython('echo "OSError: [Errno 28] No space left on device" >&2; exit 1'),
    })
    expect(status).toBe(1)
    expect(stderr).toContain('too full')
    expect(stderr).toContain('QUARTERTURN_CACHE')
    expect(readdirSync(join(folder, 'downloads'))).toEqual([])
  })
})

describe('wheels', () => {
  const content = 'the wheel'
  const wheel = {
    requirement: 'thing==1',
    file: 'thing-1.whl',
    sha256: createHash('sha256').update(content).digest('hex'),
    bytes: content.length,
  }
  /** Writes `text` where pip is told to put the wheel (the argument after --dest), and counts its calls. */
  const pip = (text: string) =>
    fakePython(`echo call >> "$0.log"; while [ "$1" != --dest ]; do shift; done; printf '${text}' > "$2/${wheel.file}"`)
  const calls = () => readFileSync(join(folder, 'fake-python.log'), 'utf8').trim().split('\n').length

  function fetchWheel(python: string, spare = 0) {
    const program = `
      import { fetchWheels } from ${JSON.stringify(join(scripts, 'lib/wheels.mjs'))}
      import { main } from ${JSON.stringify(join(scripts, 'lib/run.mjs'))}
      await main(async () => console.log((await fetchWheels([${JSON.stringify(wheel)}], ${JSON.stringify(join(folder, 'downloads'))}, { spare: ${spare} })).join()))`
    return node(['--input-type=module', '-e', program], { PYTHON: python })
  }

  test('one that has arrived intact is not fetched again', () => {
    const python = pip(content)
    const path = join(folder, 'downloads', wheel.file)
    expect(fetchWheel(python)).toMatchObject({ status: 0, stdout: `${path}\n` })
    expect(fetchWheel(python)).toMatchObject({ status: 0, stdout: `${path}\n` })
    expect(calls()).toBe(1)
  })

  test('one that was cut short is thrown away and fetched again', () => {
    mkdirSync(join(folder, 'downloads'))
    writeFileSync(join(folder, 'downloads', wheel.file), 'the wh')
    expect(fetchWheel(pip(content)).status).toBe(0)
    expect(readFileSync(join(folder, 'downloads', wheel.file), 'utf8')).toBe(content)
  })

  test('one with a wrong checksum is refused and not kept', () => {
    const { status, stderr } = fetchWheel(pip('the wheeL'))
    expect(status).toBe(1)
    expect(stderr).toContain('did not arrive intact')
    expect(readdirSync(join(folder, 'downloads'))).toEqual([])
  })

  test('what a killed run left behind is removed', () => {
    const dead = spawnSync(process.execPath, ['-e', '']).pid
    const leftover = join(folder, 'downloads', `partial-${dead}`)
    mkdirSync(leftover, { recursive: true })
    expect(fetchWheel(pip(content)).status).toBe(0)
    expect(existsSync(leftover)).toBe(false)
  })

  test('too little room is found out before downloading', () => {
    const python = pip(content)
    const { status, stderr } = fetchWheel(python, 1e18)
    expect(status).toBe(1)
    expect(stderr).toContain('needed')
    expect(existsSync(join(folder, 'fake-python.log'))).toBe(false)
  })
})
