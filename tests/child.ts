// Programs run in a process of their own, against the built package: for exits, kills, workers and what is printed at the end.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface ChildOptions {
  env?: Record<string, string>
  /** Arguments of Node itself. */
  flags?: string[]
  /** Kills the child after this long. */
  killAfterMs?: number
  timeoutMs?: number
}

/** Runs an ES module given as text; `import ... from 'quarterturn'` is the built package. */
export function runModule(
  source: string,
  { env = {}, flags = [], killAfterMs, timeoutMs = 60_000 }: ChildOptions = {},
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...flags, '--input-type=module', '--eval', source], {
      cwd: root,
      env: { ...process.env, ...env },
    })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk) => (stdout += chunk))
    child.stderr.on('data', (chunk) => (stderr += chunk))
    const kill = killAfterMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfterMs)
    const limit = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`the child did not end within ${timeoutMs} ms\n${stdout}\n${stderr}`))
    }, timeoutMs)
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(kill)
      clearTimeout(limit)
      resolve({ code, signal, stdout, stderr })
    })
  })
}
