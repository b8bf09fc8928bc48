// The fat binary of the CUDA kernels: what each kernel takes of a device, and a build without nvcc.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const report = join(root, 'build/cuda/resources.json')
const fatbin = join(root, `build/quarterturn.${process.platform}-${process.arch}-gnu.fatbin`)

interface Resources {
  kernel: string
  target: string
  registers: number
  /** Bytes. */
  shared: number
  stack: number
  spills: number
}

/** Kernels that may spill, each with its reason. None may. */
const MAY_SPILL: Record<string, string> = {}

describe.skipIf(!existsSync(report))('every kernel, on each target', () => {
  const found: Resources[] = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : []

  test('spills no register to memory', () => {
    expect(found.length).toBeGreaterThan(0)
    expect(found.filter(({ kernel, spills }) => spills > 0 && MAY_SPILL[kernel] === undefined)).toEqual([])
  })

  test('is there for sm_80 and for sm_90a', () => {
    const kernels = (target: string) => found.filter((one) => one.target === target).map(({ kernel }) => kernel)
    expect(kernels('sm_80')).toEqual(kernels('sm_90a'))
    expect(new Set(kernels('sm_80')).size).toBe(kernels('sm_80').length)
  })

  test('leaves room for its threads: at most 65,536 registers for the 256 of a block', () => {
    expect(found.filter(({ registers }) => registers * 256 > 65_536)).toEqual([])
  })

  test('is in a fat binary that says its own length and is small enough for the package', () => {
    const bytes = readFileSync(fatbin)
    expect(bytes.readUInt32LE(0)).toBe(0xba55ed50)
    expect(Number(bytes.readBigUInt64LE(8)) + bytes.readUInt16LE(6)).toBe(statSync(fatbin).size)
    expect(bytes.length).toBeLessThan(3e6)
  })
})

const script = (body: string) =>
  `import * as fatbin from ${JSON.stringify(join(root, 'scripts/lib/fatbin.mjs'))}\n${body}`

test('what ptxas says is read: registers, shared memory, stack and spills, also of functions that were not inlined', () => {
  const text = `ptxas info    : Compiling entry function 'a_forward' for 'sm_80'
ptxas info    : Function properties for a_forward
    16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 16 bytes cumulative stack size, 1024 bytes smem, 368 bytes cmem[0]
ptxas info    : Function properties for helper
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Compiling entry function 'a_forward' for 'sm_90a'
ptxas info    : Function properties for a_forward
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 32 registers, used 0 barriers`
  const program = script(`console.log(JSON.stringify(fatbin.readResources(${JSON.stringify(text)})))`)
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' })
  expect(JSON.parse(out)).toEqual([
    { kernel: 'a_forward', target: 'sm_80', registers: 40, shared: 1024, stack: 16, spills: 12 },
    { kernel: 'a_forward', target: 'sm_90a', registers: 32, shared: 0, stack: 0, spills: 0 },
  ])
})

test('without pip or a network the build goes on without kernels, and says so in one line', () => {
  const folder = mkdtempSync(join(tmpdir(), 'quarterturn-nvcc-'))
  try {
    writeFileSync(join(folder, 'python'), '#!/bin/sh\necho "No module named pip" >&2\nexit 1\n', { mode: 0o755 })
    const program = script(`console.log(String(await fatbin.nvccOrWord()))`)
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
      env: { ...process.env, QUARTERTURN_CACHE: folder, PYTHON: join(folder, 'python') },
    })
    expect({ status, stdout }).toEqual({ status: 0, stdout: 'undefined\n' })
    expect(stderr.trimEnd().split('\n').at(-1)).toMatch(/^CUDA kernels: left out, since nvcc cannot be had \(.*pip.*\)/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
