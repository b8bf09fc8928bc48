// The registry of scripts/registry.mjs, with the three packages in it, for as long as a test file runs.
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Registry {
  url: string
  /** The folder whose node_modules has the package managers. */
  tools: string
  /** The binary of each major of Node. */
  nodes: Record<string, string>
  packages: { name: string; folder: string; tarball: string }[]
  stop(): void
}

/** Packs, publishes and starts; the first time that takes minutes, later seconds. */
export async function startRegistry(): Promise<Registry> {
  const child = spawn(process.execPath, ['scripts/registry.mjs', '--json', '--built'], {
    cwd: root,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  return { ...(await firstLine(child)), stop: () => child.stdin?.end() }
}

function firstLine(child: ChildProcess): Promise<Omit<Registry, 'stop'>> {
  return new Promise((resolve, reject) => {
    let [text, errors] = ['', '']
    child.stderr?.on('data', (chunk) => (errors += chunk))
    child.stdout?.on('data', (chunk) => {
      text += chunk
      if (text.includes('\n')) resolve(JSON.parse(text))
    })
    child.on('error', reject)
    child.on('close', (code) => reject(new Error(`the registry ended with ${code}\n${errors}`)))
  })
}
