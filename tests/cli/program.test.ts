// The program as it is installed: a process of its own, exit codes, streams, colours.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

function start(args: string[], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  })
  return { code: status, out: stdout, err: stderr }
}

it('is built', () => {
  expect(existsSync(program)).toBe(true)
})

it('answers, and says how it went by its exit code', () => {
  expect(start(['--version'])).toMatchObject({ code: 0, err: '' })
  expect(start(['nonsense'])).toMatchObject({ code: 2, out: '' })
  expect(start(['pronounce', '/nowhere', 'word'])).toMatchObject({ code: 1, out: '' })
})

it('prints no escape codes into a pipe, unless asked, and never under NO_COLOR', () => {
  expect(start(['--help']).out).not.toContain('\x1b')
  expect(start(['--help'], { FORCE_COLOR: '1' }).out).toContain('\x1b[1m')
  expect(start(['--help'], { FORCE_COLOR: '1', NO_COLOR: '1' }).out).not.toContain('\x1b')
})

it('finds the engine and computes with it', () => {
  const { code, out } = start(['doctor', '--json'])
  expect(JSON.parse(out)).toMatchObject({ ok: true })
  expect(code).toBe(0)
})

it('says in one line what is missing where the addon is', () => {
  const { code, out, err } = start(['doctor'], { QUARTERTURN_ADDON: '/nowhere.node' })
  expect(code).toBe(1)
  expect(out).toMatch(/FAIL addon +.*\/nowhere\.node does not exist/)
  expect(err).not.toMatch(/\n {4}at /)
})
