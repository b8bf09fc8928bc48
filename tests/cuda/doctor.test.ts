// quarterturn doctor, with a stand-in for the driver's library (crates/kernels/cuda/tests/stand_in.c): whether our kernels run on CUDA, or why not.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, linkSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const name = `quarterturn.${process.platform}-${process.arch}-gnu`
const fatbin = join(root, `build/${name}.fatbin`)
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'quarterturn-doctor-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What doctor says of our kernels on CUDA, with a driver that was made with these settings, or without one. */
function doctor(settings?: string[], env: Record<string, string> = {}): { ok: boolean; text: string } {
  const libraries = mkdtempSync(join(folder, 'driver-'))
  if (settings !== undefined) {
    const source = join(root, 'crates/kernels/cuda/tests/stand_in.c')
    execFileSync('cc', [
      '-shared',
      '-fPIC',
      '-o',
      join(libraries, 'libcuda.so.1'),
      ...settings.map((one) => `-D${one}`),
      source,
    ])
  }
  const path = [libraries, process.env.LD_LIBRARY_PATH].filter(Boolean).join(':')
  const { stdout } = spawnSync(process.execPath, [join(root, 'dist/cli/main.js'), 'doctor', '--json'], {
    encoding: 'utf8',
    env: { ...process.env, LD_LIBRARY_PATH: path, ...env },
  })
  const { findings } = JSON.parse(stdout) as { findings: { name: string; ok: boolean; text: string }[] }
  return findings.find((finding) => finding.name === 'cuda kernels') as { ok: boolean; text: string }
}

// The stand-in would hide a real driver, but not the devices that libtorch has found through it.
describe.skipIf(!existsSync(fatbin) || existsSync('/dev/nvidiactl'))('the line "cuda kernels"', () => {
  test('names the device where everything is there', () => {
    const { ok, text } = doctor([])
    expect(ok).toBe(true)
    expect(text).toMatch(/^Stand-in, compute capability 9\.0: lstm, gru, rnn/)
  })

  test.each([
    [undefined, /no CUDA driver: libcuda\.so\.1/],
    [['DEVICES=0'], /no CUDA driver: it sees no device/],
    [['VERSION=12080'], /the CUDA driver is too old: for CUDA 12\.8, and CUDA 13\.0 is needed/],
    [['MAJOR=7'], /Stand-in has compute capability 7\.0, and the kernels need 8\.0 or newer/],
    [['LOAD=209'], /the CUDA kernels cannot be loaded: no kernel image is available/],
    [['LOAD=2'], /CUDA out of memory: loading the kernels/],
  ])(
    'says why our kernels are not in use with a driver of %j, and that libtorch computes: nothing is broken',
    (settings, why) => {
      const { ok, text } = doctor(settings)
      expect(ok).toBe(true)
      expect(text).toMatch(/^not in use: /)
      expect(text).toMatch(why)
      expect(text).toMatch(/operations of libtorch compute everything on CUDA$/)
    },
  )

  test('says so where the fat binary was not built', () => {
    // On the disk of the addon, so that it need not be copied.
    const bare = join(root, 'build/cuda/bare')
    rmSync(bare, { recursive: true, force: true })
    mkdirSync(bare, { recursive: true })
    for (const file of [name, name.replace('.', '-loader.')])
      linkSync(join(root, `build/${file}.node`), join(bare, `${file}.node`))
    try {
      const { text } = doctor([], { QUARTERTURN_ADDON: join(bare, `${name}.node`) })
      expect(text).toMatch(/^not in use: .*fatbin is not there: it was built without nvcc/)
    } finally {
      rmSync(bare, { recursive: true })
    }
  })
})
