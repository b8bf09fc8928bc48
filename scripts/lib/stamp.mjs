// Stamps: a step whose inputs have not changed since it last succeeded is not run again.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root } from './run.mjs'

/** One hash over the names and contents of files and folders (relative to the root; absent ones count as absent) and over `extra`. */
export function fingerprint(paths, extra = []) {
  const hash = createHash('sha256')
  hash.update(JSON.stringify(extra))
  for (const path of paths) add(hash, path)
  return hash.digest('hex')
}

function add(hash, path) {
  const full = join(root, path)
  if (!existsSync(full)) return
  if (!statSync(full).isDirectory()) {
    hash.update(`\0${path}\0`).update(readFileSync(full))
    return
  }
  for (const name of readdirSync(full).sort()) {
    if (name !== 'node_modules' && name !== 'target') add(hash, `${path}/${name}`)
  }
}

/** Runs `body` unless the step `name` succeeded before with the same fingerprint and all its `outputs` are still there. */
export async function step(name, print, outputs, body) {
  const stamp = join(root, 'build', 'stamps', name)
  const done = existsSync(stamp) && readFileSync(stamp, 'utf8') === print
  if (done && outputs.every((output) => existsSync(join(root, output)))) return
  await body()
  mkdirSync(dirname(stamp), { recursive: true })
  writeFileSync(stamp, print)
}
