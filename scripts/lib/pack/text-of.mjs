// What a program prints, for the programs of binutils.
import { spawnSync } from 'node:child_process'
import { Stop } from '../run.mjs'

/** The standard output of a program that must succeed. */
export function textOf(command, args) {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28 })
  if (status !== 0) throw new Stop(`${command} failed: ${stderr?.trim() || 'not found. Install binutils and gcc'}`)
  return stdout
}
