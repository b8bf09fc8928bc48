// SIGINT and SIGTERM while runs with checkpoints go on: they save, and the process leaves with 130 or 143.
import { isMainThread } from 'node:worker_threads'

const exitCodes = { SIGINT: 130, SIGTERM: 143 } as const
export type StopSignal = keyof typeof exitCodes
const names = Object.keys(exitCodes) as StopSignal[]

/** A signal that comes again this soon is the same one: npm passes on what the terminal has sent to the whole group. */
const ONE_MS = 100

/** A run that can be asked to save and end. */
export interface Interruptible {
  interrupt(signal: StopSignal): void
}

const runs = new Set<Interruptible>()
let received: { signal: StopSignal; at: number; leaving: boolean } | undefined

/** Handles signals until the run leaves. Signals come to the main thread only. */
export function attend(run: Interruptible): void {
  if (!isMainThread) return
  if (runs.size === 0) for (const name of names) process.on(name, handle)
  runs.add(run)
  // One that begins while the others save has come too late.
  if (received !== undefined) run.interrupt(received.signal)
}

/**
 * The run has ended. If it was interrupted and has saved, the process leaves with the last such run, and this never resolves; where the program
 * handles the signal itself, it goes on.
 */
export async function leave(run: Interruptible, saved: boolean): Promise<void> {
  if (!runs.delete(run)) return
  const leaving = saved && received?.leaving === true ? received.signal : undefined
  if (runs.size === 0) {
    received = undefined
    for (const name of names) process.off(name, handle)
    if (leaving !== undefined) process.exit(exitCodes[leaving])
  } else if (leaving !== undefined) await new Promise<never>(() => {})
}

function handle(signal: StopSignal): void {
  const leaving = process.listenerCount(signal) === 1
  const again = received !== undefined && performance.now() - received.at > ONE_MS
  if (again && leaving) process.exit(exitCodes[signal])
  if (received !== undefined) return
  received = { signal, at: performance.now(), leaving }
  if (leaving && process.stderr.isTTY) process.stderr.write(`\n${signal}: saving; once more leaves at once\n`)
  for (const run of runs) run.interrupt(signal)
}
