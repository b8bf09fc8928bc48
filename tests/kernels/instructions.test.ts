// How much work the kernels do: instructions of one pass, which do not depend on how busy the machine is. valgrind counts them.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test } from 'vitest'

interface Figures {
  rustc: string
  counts: Record<string, number>
}

const TOLERANCE = 0.05
const RENEW = 'node scripts/instructions.mjs --write'

const script = fileURLToPath(new URL('../../scripts/instructions.mjs', import.meta.url))
const committed = JSON.parse(readFileSync(new URL('./instructions.json', import.meta.url), 'utf8')) as Figures
const possible =
  existsSync('/proc/cpuinfo') &&
  readFileSync('/proc/cpuinfo', 'utf8').includes('avx2') &&
  ['valgrind', 'cargo'].every((name) => spawnSync(name, ['--version']).status === 0)

describe.skipIf(!possible)('instructions of one pass, AVX2, one thread', () => {
  let now: Figures

  beforeAll(() => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [script], { encoding: 'utf8' })
    if (status !== 0) throw new Error(`${script} failed:\n${stderr}`)
    now = JSON.parse(stdout) as Figures
  }, 180_000)

  test('the same passes are counted as were recorded', () => {
    expect(Object.keys(now.counts)).toEqual(Object.keys(committed.counts))
  })

  test.each(Object.entries(committed.counts))('%s', (kernel, recorded) => {
    const count = now.counts[kernel] as number
    const change = `${kernel}: ${count} instructions, ${recorded} recorded (${now.rustc}, then ${committed.rustc})`
    expect(count / recorded, `${change}: too many; if they are needed, ${RENEW}`).toBeLessThanOrEqual(1 + TOLERANCE)
    expect(count / recorded, `${change}: an improvement; keep it with ${RENEW}`).toBeGreaterThanOrEqual(1 - TOLERANCE)
  })
})
