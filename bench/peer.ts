// One side of a bench: a child process that answers requests, JSON lines on its stdin and stdout.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

export interface Peer {
  /** What it says of itself: versions, optimizer, dtype. */
  readonly about: string
  /** The losses of the next `steps` steps. */
  losses(steps: number): Promise<number[]>
  /** Milliseconds per step, over `steps` steps. */
  run(steps: number): Promise<number>
  /** The figure that answers a request which only this side knows. */
  value(request: object): Promise<number>
  /** A figure of its own, in the unit of its case. */
  measure(): Promise<number>
  /** Peak resident memory so far, in MB. */
  peak(): Promise<number>
  close(): Promise<void>
}

interface Reply {
  ready?: string
  losses?: number[]
  ms?: number
  peak?: number
  value?: number
  error?: string
}

/** Starts a peer and waits until it is ready. Its stderr is shown; if it ends too soon, that is an error. */
export async function startPeer(command: string, args: string[], env: Record<string, string>): Promise<Peer> {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'inherit'] })
  const exited = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', resolve)
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()

  async function receive(): Promise<Reply> {
    const line = await lines.next()
    if (line.done) throw new Error(`${command} ${args.join(' ')} ended with exit code ${String(await exited)}`)
    const reply = JSON.parse(line.value) as Reply
    if (reply.error !== undefined) throw new Error(`${args[0] ?? command}: ${reply.error}`)
    return reply
  }
  async function ask<K extends keyof Reply>(request: object, key: K): Promise<NonNullable<Reply[K]>> {
    child.stdin.write(`${JSON.stringify(request)}\n`)
    const value = (await receive())[key]
    if (value === undefined) throw new Error(`${args[0] ?? command}: no ${key} in the answer`)
    return value as NonNullable<Reply[K]>
  }

  const { ready } = await receive()
  return {
    about: ready ?? '',
    losses: (steps) => ask({ losses: steps }, 'losses'),
    run: (steps) => ask({ run: steps }, 'ms'),
    value: (request) => ask(request, 'value'),
    measure: () => ask({ measure: true }, 'value'),
    peak: () => ask({ peak: true }, 'peak'),
    close: async () => {
      child.stdin.end()
      await exited
    },
  }
}
